//! A bulk read that loads: the protocol of [`read`](crate::read), for many keys.
//!
//! ```text
//!  ask for all ──► found ── use it; with a turn ── spawn: load, settle
//!     ▲       ├──► turns ── one loader call for all of them ── settle each
//!     │       ├──► refused ── that key's error
//!     │       └──► led elsewhere ──┐
//!     └── once nothing is led here ┘
//! ```
//!
//! Invariants: what is led here is settled before anything is waited for, so two
//! callers whose keys cross wait no longer than a load; each round ends at least
//! one key or is the last; a key's failure is its own.
//!
//! Keys go in lots of as many as a call takes (512), one lot after the other: a
//! loader never gets more than a lot.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use millpond_core::cache::{LoadBy, check_key};
use tokio::time::Instant;

use crate::error::{Error, shortened};
use crate::loaded::{Body, LoadedMany};
use crate::options::Options;
use crate::place::Place;
use crate::read::own;
use crate::renewal::keeping;
use crate::reply::{Fill, Reply, Turn, settle_many};
use crate::value::Value;

/// What a bulk read found under one key.
pub(crate) type One<E> = Result<Option<Value>, Error<E>>;

/// The keys as asked: which are alike, and which are none.
pub(crate) struct Keys {
    /// No two alike, all checked.
    pub(crate) keys: Vec<Bytes>,
    /// For each key asked, which of the above it is, or what is wrong with it.
    asked: Vec<Result<usize, Error>>,
}

impl Keys {
    pub(crate) fn new<K: AsRef<[u8]>>(asked: impl IntoIterator<Item = K>) -> Self {
        let mut keys = Vec::new();
        let mut known: HashMap<Bytes, usize> = HashMap::new();
        let asked = asked
            .into_iter()
            .map(|key| {
                let key = key.as_ref();
                check_key(key)?;
                if let Some(at) = known.get(key) {
                    return Ok(*at);
                }
                let key = Bytes::copy_from_slice(key);
                known.insert(key.clone(), keys.len());
                keys.push(key);
                Ok(keys.len() - 1)
            })
            .collect();
        Self { keys, asked }
    }

    /// Whether any key was asked for more than once.
    #[cfg(feature = "json")]
    pub(crate) fn repeat(&self) -> bool {
        self.asked.iter().filter(|asked| asked.is_ok()).count() > self.keys.len()
    }

    /// The answers in the order asked. The first of keys that are alike gets the
    /// answer itself, the others a `copy`.
    pub(crate) fn spread<T, E>(
        self,
        answers: Vec<Result<T, Error<E>>>,
        copy: impl Fn(usize, &T) -> Result<T, Error<E>>,
    ) -> Vec<Result<T, Error<E>>>
    where
        E: Display,
    {
        let mut firsts: Vec<Option<usize>> = vec![None; answers.len()];
        let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
        let mut spread: Vec<Result<T, Error<E>>> = Vec::with_capacity(self.asked.len());
        for asked in self.asked {
            let answer = match asked {
                Err(error) => Err(error.widen()),
                Ok(at) => match (answers[at].take(), firsts[at]) {
                    (Some(answer), _) => {
                        firsts[at] = Some(spread.len());
                        answer
                    }
                    (None, Some(first)) => match &spread[first] {
                        Ok(found) => copy(at, found),
                        Err(error) => Err(error.echo()),
                    },
                    (None, None) => Err(Error::WaitExpired),
                },
            };
            spread.push(answer);
        }
        spread
    }
}

/// Answers each of the keys from the cache, or through `load`.
pub(crate) async fn get_many_or_load<F, Fut, E>(
    place: &Place,
    keys: &[Bytes],
    options: &Options,
    load: &Arc<F>,
) -> Vec<One<E>>
where
    F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<LoadedMany<E>, E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let patience = options.patience();
    // `None`: further off than can be said.
    let until = Instant::now().checked_add(patience);
    let mut read = Read {
        place: place.clone(),
        options,
        load,
        found: keys.iter().map(|_| None).collect(),
        keys,
    };
    let mut pending: Vec<usize> = (0..keys.len()).collect();
    while !pending.is_empty() {
        let before = pending.len();
        let mut later = Vec::new();
        for lot in pending.chunks(read.place.most_keys()) {
            let left = |until: Instant| until.saturating_duration_since(Instant::now());
            let wait = until.map_or(patience, left);
            later.extend(read.lot(lot, wait).await);
        }
        if later.len() == before {
            break; // nothing moved: patience is at an end
        }
        pending = later;
    }
    let expired = |one: Option<One<E>>| one.unwrap_or(Err(Error::WaitExpired));
    read.found.into_iter().map(expired).collect()
}

struct Read<'a, F, E> {
    place: Place,
    options: &'a Options,
    load: &'a Arc<F>,
    keys: &'a [Bytes],
    found: Vec<Option<One<E>>>,
}

impl<F, Fut, E> Read<'_, F, E>
where
    F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<LoadedMany<E>, E>> + Send + 'static,
    E: Display + Send + 'static,
{
    /// Asks for a lot of keys and loads what is to be loaded here; what is led
    /// elsewhere is left.
    async fn lot(&mut self, lot: &[usize], wait: std::time::Duration) -> Vec<usize> {
        let replies = match self.ask(lot, wait).await {
            Ok(replies) => replies,
            Err(error) => {
                for at in lot {
                    self.found[*at] = Some(Err(error.echo()));
                }
                return Vec::new();
            }
        };
        let (mut left, mut leads, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for (at, reply) in lot.iter().copied().zip(replies) {
            match reply {
                Reply::Held(found, turn) => {
                    self.found[at] = Some(Ok(found));
                    behind.extend(turn.map(|turn| (self.keys[at].clone(), Some(turn))));
                }
                Reply::Turn(turn) => leads.push((at, Some(turn))),
                Reply::Nothing => leads.push((at, None)),
                Reply::LedElsewhere => left.push(at),
                Reply::Refused(error) => self.found[at] = Some(Err(error.widen())),
            }
        }
        if !behind.is_empty() {
            let (load, renew) = (Arc::clone(self.load), self.options.renew);
            tokio::spawn(async move { drop(lead(behind, &*load, renew).await) });
        }
        if !leads.is_empty() {
            self.lead(leads).await;
        }
        left
    }

    async fn ask(&mut self, lot: &[usize], wait: std::time::Duration) -> Result<Vec<Reply>, Error> {
        let keys: Vec<Bytes> = lot.iter().map(|at| self.keys[*at].clone()).collect();
        let options = self.options;
        let asked = self.place.read_many(&keys, options, LoadBy::Caller, wait);
        match asked.await {
            Err(Error::Unavailable { message }) => match self.place.stand_in(options) {
                Some(direct) => {
                    self.place = direct;
                    let wait = options.patience();
                    let asked = self.place.read_many(&keys, options, LoadBy::Caller, wait);
                    asked.await
                }
                None => Err(Error::Unavailable { message }),
            },
            // Whatever is loaded from now on is as new as it is asked for.
            Err(Error::Unconfirmed { .. }) => Ok(lot.iter().map(|_| Reply::Nothing).collect()),
            told => told,
        }
    }

    async fn lead(&mut self, leads: Vec<(usize, Option<Turn>)>) {
        let at: Vec<usize> = leads.iter().map(|(at, _)| *at).collect();
        let turns = leads
            .into_iter()
            .map(|(at, turn)| (self.keys[at].clone(), turn));
        let loaded = lead(turns.collect(), &**self.load, self.options.renew).await;
        let mut failed = Vec::new();
        for (at, one) in at.into_iter().zip(loaded) {
            if matches!(one, Err(Error::Load(_) | Error::Failed { .. })) {
                failed.push(at);
            }
            self.found[at] = Some(one);
        }
        if failed.is_empty() {
            return;
        }
        // Whether something is held that may stand in for it.
        let keys: Vec<Bytes> = failed.iter().map(|at| self.keys[*at].clone()).collect();
        let (options, none) = (self.options, std::time::Duration::ZERO);
        let held = self.place.read_many(&keys, options, LoadBy::Nobody, none);
        let held = held.await.unwrap_or_default();
        for (at, reply) in failed.into_iter().zip(held) {
            if let Reply::Held(found, _) = reply {
                self.found[at] = Some(Ok(found));
            }
        }
    }
}

/// Loads keys, those with a turn for everybody and the others for this caller, and
/// settles each turn.
async fn lead<F, Fut, E>(leads: Vec<(Bytes, Option<Turn>)>, load: &F, renew: bool) -> Vec<One<E>>
where
    F: Fn(Vec<Bytes>) -> Fut,
    Fut: Future<Output = Result<LoadedMany<E>, E>>,
    E: Display,
{
    let turns = leads.iter().filter_map(|(_, turn)| turn.as_ref());
    let keys: Vec<Bytes> = leads.iter().map(|(key, _)| key.clone()).collect();
    let mut first = turns.clone();
    let loading = async {
        // One place for the one loader call.
        let _pass = match first.next() {
            Some(turn) => turn.pass().await?,
            None => None,
        };
        Ok(load(keys).await)
    };
    let loaded = match keeping(renew, turns, loading).await {
        Ok(loaded) => loaded,
        Err(error) => return refused(&leads, &error),
    };
    let (mut found, fills) = judge(loaded, leads.iter().map(|(key, _)| key));
    let mut settled = Vec::new();
    let mut whose = Vec::new();
    for (at, ((_, turn), fill)) in leads.into_iter().zip(fills).enumerate() {
        if let Some(turn) = turn {
            settled.push((turn, fill));
            whose.push(at);
        }
    }
    for (at, version) in whose.into_iter().zip(settle_many(settled).await) {
        found[at] = match std::mem::replace(&mut found[at], Ok(None)) {
            Ok(Some(value)) => Ok(Some(value.stored_as(version))),
            other => other,
        };
    }
    found
}

/// Nobody may load now: that is said of each key.
fn refused<E>(leads: &[(Bytes, Option<Turn>)], error: &Error) -> Vec<One<E>> {
    leads.iter().map(|_| Err(error.echo())).collect()
}

/// What each key's caller gets, and what its turn is settled with.
fn judge<'a, E: Display>(
    loaded: Result<LoadedMany<E>, E>,
    keys: impl Iterator<Item = &'a Bytes>,
) -> (Vec<One<E>>, Vec<Fill>) {
    let failed = |message: String| Fill::Failed { message };
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            // One error for all: the first key's caller gets it, the others its words.
            let message = shortened(&error);
            let first = Error::Load(error);
            let echoed: Vec<_> = keys.skip(1).map(|_| Err(first.echo())).collect();
            let fills = (0..=echoed.len()).map(|_| failed(message.clone()));
            let fills = fills.collect();
            return (std::iter::once(Err(first)).chain(echoed).collect(), fills);
        }
    };
    keys.map(|key| match loaded.take(key) {
        Err(error) => {
            let message = shortened(&error);
            (Err(Error::Load(error)), failed(message))
        }
        Ok(loaded) => {
            if let Body::Item(item) = &loaded.0
                && let Err(bad) = item.check()
            {
                let message = shortened(&bad);
                return (Err(bad.into()), failed(message));
            }
            (Ok(own(&loaded)), Fill::Loaded(loaded))
        }
    })
    .unzip()
}
