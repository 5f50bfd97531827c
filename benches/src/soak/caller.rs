//! What one caller of a soak does, drawn at random.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_client::{Error, Invalidation, Target, TenantCache, Value};
use millpond_core::cache::{Body, Fill, Lookup, Pond, Scope, Times, Want};
use tokio::sync::Mutex;

use super::findings::Deeds;
use super::source::{Source, TAGS, decode, encode, item, tag};
use crate::load::oracle::Noted;
use crate::stopwatch::Stopwatch;
use crate::zipf::Ranks;

/// How long a load keeps its key to itself.
pub(super) const LEASE: Duration = Duration::from_millis(100);
/// A caller that walks away does so within this time.
const SOON: Duration = Duration::from_millis(8);
/// The pause after one deed in so many, at most: without any, nothing would live long
/// enough to become stale.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_EVERY: u32 = 8;
/// As [`Target`](crate::load::target::Target) names them.
const PLACE: &str = "bench";

/// Writers of one key take turns; see [`Oracle`](crate::load::oracle::Oracle).
pub(super) type Turns = Arc<[Mutex<()>]>;

pub(super) fn turns(keys: usize) -> Turns {
    (0..keys).map(|_| Mutex::new(())).collect()
}

pub(super) struct Caller {
    number: u64,
    cache: TenantCache,
    source: Arc<Source>,
    writers: Turns,
    /// Where leases can be kept: an embedded cache, by its core.
    core: Option<(Arc<Pond>, Arc<Scope>)>,
    deeds: Deeds,
}

/// How a read is made.
#[derive(Clone, Copy)]
enum Way {
    Plain,
    FreshOnly,
    /// What is held, without waiting.
    Peek,
    /// Dropped half-way.
    WalkAway,
}

impl Caller {
    pub(super) fn new(
        number: u64,
        cache: &TenantCache,
        source: &Arc<Source>,
        writers: &Turns,
        pond: Option<Arc<Pond>>,
    ) -> Self {
        let core = pond.and_then(|pond| {
            let scope = pond.scope_named(PLACE, PLACE).ok()?;
            Some((pond, scope))
        });
        Self {
            number,
            cache: cache.clone().lease(LEASE),
            source: Arc::clone(source),
            writers: Arc::clone(writers),
            core,
            deeds: Deeds::default(),
        }
    }

    /// At it until `duration` has passed; then says what it did.
    pub(super) async fn run(
        mut self,
        mut keys: Ranks,
        watch: Stopwatch,
        duration: Duration,
    ) -> Deeds {
        while watch.elapsed() < duration {
            let key = keys.next().unwrap_or_default() as usize;
            match fastrand::u32(..1_000) {
                0..200 => self.write(key).await,
                200..250 => self.read(key, Way::WalkAway).await,
                250..255 => self.keep_lease(key),
                255..355 => self.read(key, Way::FreshOnly).await,
                355..455 => self.read(key, Way::Peek).await,
                _ => self.read(key, Way::Plain).await,
            }
            if fastrand::u32(..PAUSE_EVERY) == 0 {
                let micros = fastrand::u64(..u64::try_from(PAUSE.as_micros()).unwrap_or(1));
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            tokio::task::coop::consume_budget().await;
        }
        self.deeds
    }

    async fn read(&mut self, key: usize, way: Way) {
        let oracle = Arc::clone(&self.source.oracle);
        let (cache, source) = (self.cache.clone(), Arc::clone(&self.source));
        let load = move || async move { source.load(key).await };
        let noted = oracle.note(key);
        let answer = match way {
            Way::Plain => cache.get_or_load(name(key), load).await,
            Way::FreshOnly => cache.fresh_only().get_or_load(name(key), load).await,
            Way::Peek => match cache.peek(name(key)) {
                Some(value) => Ok(Some(value)),
                None => return,
            },
            Way::WalkAway => {
                let reading = cache.get_or_load(name(key), load);
                match tokio::time::timeout(SOON.mul_f64(fastrand::f64()), reading).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        self.deeds.walked_away += 1;
                        return;
                    }
                }
            }
        };
        self.check(key, noted, answer);
    }

    fn check(
        &mut self,
        key: usize,
        noted: Noted,
        answer: Result<Option<Value>, Error<&'static str>>,
    ) {
        match answer {
            Ok(value) => {
                let value = value.as_deref();
                let Some(generation) = value.and_then(|value| decode(key, value)) else {
                    self.deeds.wrong += 1;
                    return;
                };
                self.deeds.answered += 1;
                if !self.source.oracle.check(noted, generation) {
                    let told = || format!("caller {}: {noted:?}, got {generation}", self.number);
                    self.deeds.first_old.get_or_insert_with(told);
                }
            }
            Err(Error::Load(_) | Error::Failed { .. }) => self.deeds.failed += 1,
            Err(error) => {
                self.deeds.errors += 1;
                self.deeds.first_error.get_or_insert(error.to_string());
            }
        }
    }

    /// The truth first, then the cache, as a service does.
    async fn write(&mut self, key: usize) {
        let (source, writers) = (Arc::clone(&self.source), Arc::clone(&self.writers));
        let oracle = &source.oracle;
        let _turn = writers[key].lock().await;
        let generation = oracle.write(key);
        let written = match fastrand::u32(..10_000) {
            0..10 => {
                let covered = truths(oracle, 0..writers.len());
                let done = self.cache.invalidate_all().await;
                self.invalidated(done.map(|_| covered))
            }
            10..300 => {
                let covered = truths(oracle, (key % TAGS..writers.len()).step_by(TAGS));
                let done = self.cache.invalidate_tags([tag(key)]).await;
                self.invalidated(done.map(|_| covered))
            }
            300..1_300 => {
                self.deeds.sets += 1;
                let set = self.cache.set(name(key), item(key, generation)).await;
                set.map(|_| vec![(key, generation)])
            }
            1_300..1_600 => {
                // Stale is what a soft one asks for: no floor.
                let soft = Invalidation {
                    soft: true,
                    ..Invalidation::default()
                };
                let target = Target::keys([name(key)]);
                let done = self.cache.invalidate_with(target, soft).await;
                self.invalidated(done.map(|_| Vec::new()))
            }
            _ => {
                let done = self.cache.invalidate(name(key)).await;
                self.invalidated(done.map(|_| vec![(key, generation)]))
            }
        };
        match written {
            Ok(covered) => {
                for (key, generation) in covered {
                    oracle.invalidated(key, generation);
                }
            }
            Err(error) => {
                self.deeds.errors += 1;
                self.deeds.first_error.get_or_insert(error.to_string());
            }
        }
    }

    fn invalidated<C>(&mut self, done: Result<C, Error>) -> Result<C, Error> {
        self.deeds.invalidations += 1;
        done
    }

    /// Takes a lease, if it is its turn, and dies with it; or settles it when it has
    /// long run out, with what was true when the load began.
    fn keep_lease(&mut self, key: usize) {
        let Some((pond, scope)) = self.core.clone() else {
            return;
        };
        let name = name(key);
        let want = Want {
            lease: Some(LEASE),
            ..Want::load_until(pond.clock().precise())
        };
        let Lookup::Answer(answer) = pond.get(&scope, &name, want) else {
            return; // a waiter, dropped
        };
        let Some(lease) = answer.lease else { return };
        let generation = self.source.oracle.truth(key);
        let grant = lease.detach();
        if fastrand::bool() {
            self.deeds.kept += 1;
            return;
        }
        self.deeds.settled_late += 1;
        let late = LEASE.mul_f64(3.0 * fastrand::f64());
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            let fill = Fill::Found {
                body: Body::Value(encode(key, generation)),
                times: Times::default(),
                tags: vec![Bytes::from(tag(key))],
                etag: Bytes::new(),
            };
            pond.fill(&scope, &name, grant, fill)
        });
    }
}

fn truths(
    oracle: &crate::load::oracle::Oracle,
    keys: impl Iterator<Item = usize>,
) -> Vec<(usize, u64)> {
    keys.map(|key| (key, oracle.truth(key))).collect()
}

fn name(key: usize) -> [u8; crate::load::value::KEY_BYTES] {
    crate::load::value::key_of(key as u64)
}
