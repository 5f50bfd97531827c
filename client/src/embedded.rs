//! The cache in this process: the core with tokio's timer around it.
//!
//! Decisions are the core's; this file translates. A read of a fresh value takes
//! no lock, allocates nothing and counts up two references: the entry's and the
//! value's. [`Local::with`] counts none.

mod config;
mod limits;
mod many;
mod turn;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::lookup::Levels;
use millpond_core::cache::{
    Answer, Entry, Hit, Lease, LoadBy, Mode, Pond, Reason, Scope, ScopeError, Source, Sweeper,
    Want, Write, WriteError, Written,
};
use millpond_core::clock::Time;
use millpond_core::limit::{self, Limiter};
use millpond_core::tenant::{self, Directory};
use millpond_core::version::{Position, Version as CoreVersion};

use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target};
use crate::loaded::Item;
use crate::options::Options;
use crate::reply::{self, Reply};
use crate::timer::Timer;
use crate::value::{About, Stale, StaleReason, Value, Version};

pub use config::EmbeddedConfig;
use limits::Limits;
pub(crate) use turn::Turn;

/// One cache in this process.
#[derive(Debug)]
pub(crate) struct Embedded {
    levels: Levels,
    timer: Timer,
    /// `None` when the system refused a thread: gone entries then stay until the
    /// budget pushes them out.
    _sweeper: Option<Sweeper>,
    /// The tenants, if they were given.
    directory: Option<Arc<Directory>>,
    /// Made when they are first needed: most processes never do.
    limits: OnceLock<Limits>,
}

impl Embedded {
    pub(crate) fn new(pond: Arc<Pond>, directory: Option<Arc<Directory>>) -> Self {
        Self {
            _sweeper: Sweeper::start(&pond).ok(),
            directory,
            ..Self::unswept(pond)
        }
    }

    /// For a pond that keeps nothing.
    pub(crate) fn unswept(pond: Arc<Pond>) -> Self {
        Self {
            timer: Timer::new(pond.clock().clone()),
            _sweeper: None,
            directory: None,
            limits: OnceLock::new(),
            levels: Levels::new(pond, None),
        }
    }

    fn limits(&self) -> &Limits {
        self.limits.get_or_init(|| {
            let directory = self.directory.clone().unwrap_or_else(|| {
                let nobody = tenant::Config {
                    clock: self.pond().clock().clone(),
                    ..tenant::Config::default()
                };
                Directory::new(nobody).expect("the tiers that ship fit each other")
            });
            Limits::new(Limiter::new(directory, limit::Config::default()))
        })
    }

    pub(crate) fn pond(&self) -> &Arc<Pond> {
        self.levels.pond()
    }
}

/// One tenant's cache in this process.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    home: Arc<Embedded>,
    scope: Arc<Scope>,
}

impl Local {
    /// Finds the tenant's cache, or makes it on its first use.
    pub(crate) fn new(home: &Arc<Embedded>, tenant: &str, cache: &str) -> Result<Self, ScopeError> {
        Ok(Self {
            scope: home.pond().scope_named(tenant, cache)?,
            home: Arc::clone(home),
        })
    }

    /// Runs `read` on the fresh value under `key`.
    #[inline]
    pub(crate) fn with<R>(&self, key: &[u8], read: impl FnOnce(&Bytes) -> R) -> Option<R> {
        if self.scope.mode() != Mode::On {
            return None;
        }
        let read = |entry: &Entry| entry.body().value().map(read);
        self.home.pond().with(&self.scope, key, read).flatten()
    }

    /// The fresh value under `key`; the inner `None` is absence.
    #[inline]
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Option<Value>> {
        if self.scope.mode() != Mode::On {
            return None;
        }
        let hit = self.home.pond().peek(&self.scope, key)?;
        Some(self.value(hit, None, Source::L1))
    }

    /// What [`Self::read`] would answer at once, without the machinery of waiting;
    /// `None`: ask it. Under an early refresh each read has to be asked.
    #[inline]
    pub(crate) fn hit(&self, key: &[u8]) -> Option<Option<Value>> {
        if self.scope.early_refresh() > 0.0 {
            return None;
        }
        self.peek(key)
    }

    pub(crate) async fn read(
        &self,
        key: &[u8],
        options: &Options,
        load: LoadBy,
    ) -> Result<Reply, Error> {
        self.confirm(options)?;
        let deadline = match load {
            LoadBy::Nobody => Time::ZERO,
            LoadBy::Caller => self.in_time(options.patience()),
        };
        let answer = self.ask(key, options, load, deadline).await;
        Ok(self.reply(answer, options))
    }

    /// What the core answers.
    pub(crate) async fn ask(
        &self,
        key: &[u8],
        options: &Options,
        load: LoadBy,
        deadline: Time,
    ) -> Answer {
        let want = want(options, load, deadline);
        let home = &self.home;
        home.levels.get(&home.timer, &self.scope, key, want).await
    }

    /// Whether what is held here is as new as the caller wants it: all that this
    /// process vouches for it has applied.
    fn confirm(&self, options: &Options) -> Result<(), Error> {
        let known = |version| {
            Position::decode(version).is_some_and(|position| self.home.pond().confirms(position))
        };
        match &options.at_least {
            Some(version) if !known(version.as_bytes()) => Err(Error::Unconfirmed {
                message: "the version was issued by another process".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn in_time(&self, patience: Duration) -> Time {
        self.home.pond().clock().precise().after(patience)
    }

    /// Takes hold of a lease.
    pub(crate) fn turn(&self, lease: Lease, options: &Options) -> Turn {
        Turn::new(&self.home, lease, options)
    }

    fn reply(&self, answer: Answer, options: &Options) -> Reply {
        let turn = answer
            .lease
            .map(|lease| reply::Turn::Embedded(self.turn(lease, options)));
        if let Some(hit) = answer.found {
            let stale = answer.stale.then(|| {
                Box::new(Stale {
                    reason: stale_reason(answer.reason),
                    error: answer.error.map(|error| error.message().to_owned()),
                    retry_after: answer.retry_after,
                })
            });
            let source = answer.source.unwrap_or(Source::L1);
            return Reply::Held(self.value(hit, stale, source), turn);
        }
        if let Some(turn) = turn {
            return Reply::Turn(turn);
        }
        let retry_after = answer.retry_after;
        match answer.reason {
            Some(Reason::LoadFailed) => Reply::Refused(Error::failed(answer.error, retry_after)),
            Some(Reason::WaitExpired) => Reply::Refused(Error::WaitExpired),
            Some(Reason::Shed) => Reply::Refused(Error::Shed { retry_after }),
            Some(Reason::OverBudget) => Reply::Refused(Error::OverBudget { retry_after }),
            Some(Reason::NotHeld | Reason::Bypass | Reason::Revalidating) | None => Reply::Nothing,
        }
    }

    #[inline]
    fn value(&self, hit: Hit, stale: Option<Box<Stale>>, source: Source) -> Option<Value> {
        let value = hit.body().value()?.clone();
        let about = About::Held {
            at: self.home.pond().clock().now(),
            boot: self.home.pond().boot(),
            hit,
        };
        Some(Value::new(value, source, stale, about))
    }

    pub(crate) async fn set(
        &self,
        key: &[u8],
        item: Item,
        if_version: Option<Version>,
    ) -> Result<Option<Version>, WriteError> {
        let if_version = if_version.map(|version| self.home.own_version(version));
        if if_version == Some(None) {
            return Ok(None); // of another process: nothing here has it
        }
        let write = Write {
            value: item.value,
            times: item.times,
            tags: item.tags,
            etag: item.etag,
            if_version: if_version.flatten(),
        };
        let (written, _) = self.home.levels.set(&self.scope, key, write).await?;
        Ok(match written {
            Written::Stored(version) => Some(self.version(version)),
            Written::OtherVersion => None,
        })
    }

    pub(crate) async fn invalidate(&self, target: &Target, how: Invalidation) -> Invalidated {
        let (version, durability) = self
            .home
            .levels
            .invalidate(&self.scope, target.as_core(), how)
            .await;
        Invalidated {
            version: self.version(version),
            durability,
        }
    }

    fn version(&self, version: CoreVersion) -> Version {
        self.home.version(version)
    }
}

fn want(options: &Options, load: LoadBy, deadline: Time) -> Want {
    Want {
        load,
        deadline,
        fresh_only: options.fresh_only,
        lease: options.lease,
    }
}

impl Embedded {
    fn version(&self, version: CoreVersion) -> Version {
        Version::from_position(self.pond().position(version).encode())
    }

    fn own_version(&self, version: Version) -> Option<CoreVersion> {
        Position::decode(version.as_bytes())
            .filter(|position| position.boot == self.pond().boot())
            .map(|position| position.version)
    }
}

fn stale_reason(reason: Option<Reason>) -> StaleReason {
    match reason {
        Some(Reason::Revalidating) => StaleReason::Revalidating,
        Some(Reason::LoadFailed) => StaleReason::LoadFailed,
        Some(Reason::Shed) => StaleReason::Shed,
        Some(Reason::OverBudget) => StaleReason::OverBudget,
        Some(Reason::NotHeld | Reason::Bypass | Reason::WaitExpired) | None => StaleReason::Other,
    }
}
