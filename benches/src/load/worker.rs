//! The callers of a replay: tasks that take accesses from one list, in its order, and
//! check every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use millpond_client::{Error, Source, TenantCache, Value};

use super::origin::Loading;
use super::plan::Plan;
use super::process::cpu_time;
use super::report::{Cpu, Replay};
use super::target::{Target, TargetError};
use super::value::{Stamp, key_of};
use crate::report::Latencies;
use crate::stopwatch::Stopwatch;

/// How long loads behind stale answers may still take once the callers are done.
const TO_REST: Duration = Duration::from_secs(30);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A replay as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Accesses answered.
    pub done: u64,
    /// Accesses in all.
    pub total: u64,
    /// Those answered from what was held.
    pub hits: u64,
    /// Loads begun.
    pub loads: u64,
    /// Accesses answered a second, since this was last told.
    pub rate: f64,
}

// The counters here are Relaxed: they order nothing, and are read for good once the
// tasks that count were joined.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    origin: Arc<Loading>,
    next: AtomicUsize,
    done: AtomicU64,
    hits: AtomicU64,
}

/// What one caller found.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) fresh: u64,
    pub(super) stale: u64,
    pub(super) loaded: u64,
    pub(super) wrong: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    /// Of what was held.
    pub(super) hit: Latencies,
    /// Of what was loaded, without the origin's time.
    pub(super) miss: Latencies,
}

/// Replays `plan` against `target`, and tells how far it is about once a second.
///
/// # Errors
/// When the cache is full of caches, or its counters are not to be had.
///
/// # Panics
/// When a caller does.
pub async fn replay(
    plan: Plan,
    target: &Target,
    tell: impl Fn(Progress) + Send + 'static,
) -> Result<Replay, TargetError> {
    let cache = target.cache().map_err(TargetError::Connect)?;
    let watch = Stopwatch::start();
    let callers = plan.callers;
    let shared = Arc::new(Shared {
        origin: Loading::new(plan.origin, watch),
        plan,
        next: AtomicUsize::new(0),
        done: AtomicU64::new(0),
        hits: AtomicU64::new(0),
    });
    // What an earlier run left behind is of another origin.
    cache.invalidate_all().await.map_err(TargetError::Connect)?;
    let (before, others) = target.counters()?.unzip();
    let (server, client) = (target.server_cpu(), cpu_time(std::process::id()));
    let begun = watch.elapsed();

    let telling = tokio::spawn(told(Arc::clone(&shared), watch, tell));
    let tasks: Vec<_> = (0..callers)
        .map(|_| tokio::spawn(call(Arc::clone(&shared), cache.clone(), watch)))
        .collect();
    let mut all = Caller::new();
    for task in tasks {
        let caller = task.await.expect("a caller does not panic");
        all.merge(caller);
    }
    let elapsed = watch.elapsed().saturating_sub(begun);
    telling.abort();

    let used = |before: Option<Duration>, now: Option<Duration>| Some(now? - before?);
    let cpu = Cpu {
        server: used(server, target.server_cpu()),
        client: used(client, cpu_time(std::process::id())),
    };
    let after = target.at_rest(others.unwrap_or(0), TO_REST).await?;
    let counted = after.zip(before).map(|(after, before)| after - before);
    let loads = shared.origin.loads();
    Ok(Replay::new(
        &shared.plan,
        elapsed,
        &all,
        loads,
        counted,
        cpu,
    ))
}

async fn call(shared: Arc<Shared>, cache: TenantCache, watch: Stopwatch) -> Caller {
    let mut caller = Caller::new();
    loop {
        let place = shared.next.fetch_add(1, Relaxed);
        let Some(&key) = shared.plan.accesses.get(place) else {
            return caller;
        };
        let asked = watch.elapsed();
        let origin = Arc::clone(&shared.origin);
        let answer = cache
            .get_or_load(key_of(key), move || async move { origin.load(key).await })
            .await;
        let hit = caller.record(&shared, key, answer, asked, watch.elapsed());
        shared.done.fetch_add(1, Relaxed);
        shared.hits.fetch_add(hit.into(), Relaxed);
        if hit {
            // A hit in this process never waits: let the others, and the origin's
            // timer, have their turn.
            tokio::task::coop::consume_budget().await;
        }
    }
}

async fn told(shared: Arc<Shared>, watch: Stopwatch, tell: impl Fn(Progress)) {
    let (mut before, mut then) = (0, watch.elapsed());
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let (done, now) = (shared.done.load(Relaxed), watch.elapsed());
        tell(Progress {
            done,
            total: shared.plan.accesses.len() as u64,
            hits: shared.hits.load(Relaxed),
            loads: shared.origin.loads(),
            rate: (done - before) as f64 / now.saturating_sub(then).as_secs_f64(),
        });
        (before, then) = (done, now);
    }
}

impl Caller {
    fn new() -> Self {
        Self {
            fresh: 0,
            stale: 0,
            loaded: 0,
            wrong: 0,
            errors: 0,
            first_error: None,
            hit: Latencies::new("hit"),
            miss: Latencies::new("miss, without the origin's time"),
        }
    }

    /// Whether it was answered from what was held.
    fn record(
        &mut self,
        shared: &Shared,
        key: u64,
        answer: Result<Option<Value>, Error>,
        asked: Duration,
        answered: Duration,
    ) -> bool {
        let value = match answer {
            Ok(Some(value)) => value,
            Ok(None) => {
                self.wrong += 1; // the origin has every key
                return false;
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
                return false;
            }
        };
        let stamp = Stamp::decode(key, shared.plan.origin.value_bytes, &value);
        let Some(stamp) = stamp.filter(|stamp| stamp.load <= shared.origin.loads()) else {
            self.wrong += 1;
            return false;
        };
        let waited = answered.saturating_sub(asked);
        if value.source() == Source::Loaded {
            self.loaded += 1;
            let origins = stamp.overlap(asked, answered);
            self.miss.record(waited.saturating_sub(origins));
            return false;
        }
        let count = match value.stale() {
            Some(_) => &mut self.stale,
            None => &mut self.fresh,
        };
        *count += 1;
        self.hit.record(waited);
        true
    }

    fn merge(&mut self, other: Self) {
        self.fresh += other.fresh;
        self.stale += other.stale;
        self.loaded += other.loaded;
        self.wrong += other.wrong;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.hit.merge(&other.hit);
        self.miss.merge(&other.miss);
    }
}
