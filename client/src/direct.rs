//! Loading while the sidecar is away.
//!
//! Every hit of a cache that is gone becomes a load, so an origin that was asked
//! now and then is asked by everybody at once. Three things keep that in bounds:
//! callers of one key share its load, no more loaders than a set number run at
//! once, and no more than another number wait for that.
//!
//! Nothing is kept and nothing old is answered. This process hears of no
//! invalidation while the sidecar is away, and others may be invalidating: so what
//! is loaded answers those who asked *before that load began* and nobody else. Who
//! finds a load of the key under way waits for its end and then shares the next
//! one. A herd on one key makes two loads, not one (more only where a load is over
//! before those who waited have asked again), and whatever a caller gets was read
//! from the origin after it asked.
//!
//! The sharing is the core's: a pond of its own in which everything expires as it
//! is stored. A leader that is cancelled or panics hands over there as everywhere.

mod gate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{
    Answer, CacheName, Config, Hit, LoadBy, Policy, Pond, Reason, Source, TenantId, Times,
};
use millpond_core::clock::{Clock, Time};

use crate::embedded::{self, Embedded, Local};
use crate::error::Error;
use crate::loaded::{Body, Item, Loaded};
use crate::options::Options;
use crate::reply::{self, Fill, Reply, Settled};
use crate::value::{About, Told, Value};

use gate::Gate;
pub(crate) use gate::Pass;

/// What reads do while the sidecar is away: it cannot be reached, does not answer in
/// time, or the connection to it broke.
///
/// Writes and invalidations fail in either case: one that was not delivered must not
/// look delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// They fail with [`Error::Unavailable`]. The default: whether the origin can
    /// bear the load that the cache kept from it is known to its owner alone.
    #[default]
    Fail,
    /// Reads with a loader load, and nothing is kept. Callers of one key share a
    /// load that began after they asked, so nobody is answered what was old when it
    /// asked; at most [`direct_loads`](crate::RemoteConfig::direct_loads) loaders run
    /// and wait, and beyond that reads fail with [`Error::Shed`]. Reads without a
    /// loader find nothing.
    LoadDirectly,
}

/// The loads of one process without its sidecar.
#[derive(Debug)]
pub(crate) struct DirectLoads {
    home: Arc<Embedded>,
    gate: Arc<Gate>,
}

impl DirectLoads {
    pub(crate) fn new(at_once: usize, queued: usize) -> Self {
        let nothing_kept = Policy {
            fresh: Duration::ZERO,
            max_value: usize::MAX,
            ..Policy::undeclared()
        };
        let pond = Pond::new(Config {
            undeclared: nothing_kept,
            ..Config::default()
        });
        Self {
            home: Arc::new(Embedded::unswept(pond)),
            gate: Arc::new(Gate::new(at_once, queued)),
        }
    }
}

/// One tenant's cache while the sidecar is away.
#[derive(Clone, Debug)]
pub(crate) struct Direct {
    loads: Arc<DirectLoads>,
    tenant: TenantId,
    cache: CacheName,
}

impl Direct {
    pub(crate) fn new(loads: &Arc<DirectLoads>, tenant: &TenantId, cache: &CacheName) -> Self {
        Self {
            loads: Arc::clone(loads),
            tenant: tenant.clone(),
            cache: cache.clone(),
        }
    }

    fn clock(&self) -> &Clock {
        self.loads.home.pond().clock()
    }

    fn local(&self) -> Result<Local, Error> {
        let (tenant, cache) = (self.tenant.as_str(), self.cache.as_str());
        Ok(Local::new(&self.loads.home, tenant, cache)?)
    }

    pub(crate) async fn read(&self, key: &[u8], options: &Options, load: LoadBy) -> Reply {
        if load == LoadBy::Nobody {
            return Reply::Nothing;
        }
        let local = match self.local() {
            Ok(local) => local,
            Err(error) => return Reply::Refused(error),
        };
        let asked = self.clock().precise();
        let deadline = asked.after(options.patience());
        loop {
            let answer = local.ask(key, options, load, deadline).await;
            if let Some(reply) = self.reply(&local, answer, options, asked) {
                return reply;
            }
        }
    }

    /// As [`Self::read`], for keys of which no two are alike.
    pub(crate) async fn read_many(
        &self,
        keys: &[Bytes],
        options: &Options,
        load: LoadBy,
        wait: Duration,
    ) -> Vec<Reply> {
        if load == LoadBy::Nobody {
            return keys.iter().map(|_| Reply::Nothing).collect();
        }
        let local = match self.local() {
            Ok(local) => local,
            Err(error) => {
                let refused = |_| Reply::Refused(error.clone());
                return keys.iter().map(refused).collect();
            }
        };
        let asked = self.clock().precise();
        let deadline = asked.after(wait);
        let mut found: HashMap<Bytes, Reply> = HashMap::new();
        let mut left = keys.to_vec();
        while !left.is_empty() {
            let answers = local.ask_many(&left, options, load, deadline).await;
            let (mut again, mut leads) = (Vec::new(), false);
            for (key, answer) in left.into_iter().zip(answers) {
                let reply = match answer {
                    Some(answer) => self.reply(&local, answer, options, asked),
                    None => Some(Reply::LedElsewhere),
                };
                leads |= matches!(reply, Some(Reply::Turn(_)));
                match reply {
                    Some(reply) => drop(found.insert(key, reply)),
                    None => again.push(key),
                }
            }
            left = again;
            if leads {
                break; // what is led is loaded before anything is waited for
            }
        }
        let reply = |key| found.remove(key).unwrap_or(Reply::LedElsewhere);
        keys.iter().map(reply).collect()
    }

    /// What an answer comes to; `None`: ask again, for it is of a load that began
    /// before the caller asked.
    fn reply(
        &self,
        local: &Local,
        answer: Answer,
        options: &Options,
        asked: Time,
    ) -> Option<Reply> {
        if let Some(lease) = answer.lease {
            let turn = Turn {
                turn: local.turn(lease, options),
                gate: Arc::clone(&self.loads.gate),
                patience: options.patience(),
            };
            return Some(Reply::Turn(reply::Turn::Direct(turn)));
        }
        if let Some(hit) = answer.found {
            let now = self.clock().precise();
            return (began(&hit, now) >= asked).then(|| Reply::Held(told(&hit, now), None));
        }
        let retry_after = answer.retry_after;
        Some(Reply::Refused(match answer.reason {
            Some(Reason::LoadFailed) => Error::failed(answer.error, retry_after),
            Some(Reason::WaitExpired) => Error::WaitExpired,
            _ => Error::Shed { retry_after },
        }))
    }
}

/// When the load of what was handed over began, or a little earlier.
fn began(hit: &Hit, now: Time) -> Time {
    /// Load times are kept in whole microseconds, rounded down.
    const ROUNDING: Duration = Duration::from_micros(1);
    now.before(hit.age(now))
        .before(hit.load_time())
        .before(ROUNDING)
}

/// What another caller loaded: not stored anywhere.
fn told(hit: &Hit, now: Time) -> Option<Value> {
    let value = hit.body().value()?.clone();
    let told = Told {
        version: None,
        age: hit.age(now),
        fresh_for: None,
        etag: hit.etag().clone(),
    };
    let about = About::Told(Box::new(told));
    Some(Value::new(value, Source::Loaded, None, about))
}

/// A turn to load for those who wait, and to keep nothing.
#[derive(Debug)]
pub(crate) struct Turn {
    turn: embedded::Turn,
    gate: Arc<Gate>,
    patience: Duration,
}

impl Turn {
    /// Waits for a place among the loaders that may run at once.
    pub(crate) async fn pass(&self) -> Result<Pass, Error> {
        self.gate.pass(self.patience).await
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.turn.lasts()
    }

    pub(crate) fn renew(&self) -> Option<Duration> {
        self.turn.renew()
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        self.turn.settle(unkept(fill)).await;
        Settled::Done(None)
    }
}

/// What was loaded without what would keep it.
fn unkept(fill: Fill) -> Fill {
    /// A loader's own times must not outdo the pond's policy.
    const AT_ONCE: Times = Times {
        fresh: Some(Duration::ZERO),
        stale: Some(Duration::ZERO),
        stale_if_error: Some(Duration::ZERO),
    };
    match fill {
        Fill::Loaded(Loaded(Body::Item(item))) => Fill::Loaded(Loaded(Body::Item(Item {
            times: AT_ONCE,
            tags: Vec::new(),
            ..item
        }))),
        Fill::Loaded(Loaded(Body::Absent { .. })) => Fill::Loaded(Loaded(Body::Absent {
            fresh: AT_ONCE.fresh,
        })),
        other => other,
    }
}
