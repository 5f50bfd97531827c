//! Writing entries: the one way into L1, and `Set`.
//!
//! A write takes the entry, the records of loads that it overtakes and the waiters
//! in one step under the stripe's lock. What it leaves to be told is an
//! [`Aftermath`], worked off after unlocking.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::{LoadError, Source};
use super::entry::{Body, Entry, LoadTime};
use super::expiry::{Deadlines, Phase};
use super::fill::lease::Filled;
use super::fill::stripe::State;
use super::fill::waiter::{Cell, Handed, Outcome};
use super::index::Residue;
use super::key::Key;
use super::name::{BadField, at_most};
use super::policy::Times;
use super::pond::Pond;
use super::recorder::What;
use super::scope::Scope;
use super::stats::Count;
use crate::clock::Time;
use crate::planted::{Bug, planted};
use crate::version::Version;

/// The longest etag, in bytes.
pub const MAX_ETAG_LEN: usize = 256;

/// Checks an origin's validator.
///
/// # Errors
/// When it is longer than [`MAX_ETAG_LEN`].
pub fn check_etag(etag: &[u8]) -> Result<(), BadField> {
    at_most("etag", etag.len(), MAX_ETAG_LEN, "bytes")
}

/// A value to set.
#[derive(Clone, Debug)]
pub struct Write {
    /// The value.
    pub value: Bytes,
    /// Instead of the policy's times.
    pub times: Times,
    /// At most [`MAX_TAGS`](super::MAX_TAGS).
    pub tags: Vec<Bytes>,
    /// A validator; empty for none.
    pub etag: Bytes,
    /// Only if the held entry has this version.
    pub if_version: Option<Version>,
}

impl Write {
    /// A value with the policy's times and nothing else.
    #[must_use]
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self {
            value: value.into(),
            times: Times::default(),
            tags: Vec::new(),
            etag: Bytes::new(),
            if_version: None,
        }
    }
}

/// What became of a `Set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Stored, under this version.
    Stored(Version),
    /// Nothing is held under `if_version`; nothing was written.
    OtherVersion,
}

/// Why a value was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// It is larger than the policy's `max_value`. What was held is gone: the
    /// caller said that it is no longer right.
    TooLarge {
        /// The most a value may be, in bytes.
        limit: usize,
        /// What it was.
        size: usize,
    },
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::TooLarge { limit, size } = self;
        write!(f, "value: {size} bytes, limit {limit}")
    }
}

impl std::error::Error for WriteError {}

/// What waiters and the eviction policy are told after unlocking.
#[derive(Default)]
pub(super) struct Aftermath {
    pub(super) residue: Residue,
    pub(super) waiters: Vec<Arc<Cell>>,
    pub(super) outcome: Option<ToTell>,
    pub(super) promote: bool,
}

pub(super) enum ToTell {
    Value(Handed),
    Failed(LoadError),
}

impl Pond {
    /// Puts an admitted entry in its place and takes the waiters along.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is stored, where, and what is to be told of it"
    )]
    pub(super) fn store(
        &self,
        state: &mut State,
        key: &Key,
        entry: Entry,
        softened: bool,
        now: Time,
        what: What,
        after: &mut Aftermath,
    ) -> Filled {
        let (began, version) = (entry.began, entry.version);
        let limit = entry.scope.policy().max_value;
        let size = entry.body.len();
        // Expired at birth, as absence is where it is not remembered: it answers
        // those who wait for it, and nobody after them.
        let lives = entry.deadlines.phase(now, false) != Phase::Gone;
        let node = if lives && size <= limit {
            let (node, residue) = self.l1.insert(key, entry);
            after.residue = residue;
            node
        } else {
            after.residue = self.l1.remove(&key.borrow());
            self.l1.unkept(key, entry)
        };
        if let Some(flight) = state.flights.get_mut(key) {
            if !planted(Bug::LateLoadWins) {
                self.loads_ended(flight.void_before(began));
            }
            after.waiters = flight.take_waiters();
        }
        after.outcome = Some(ToTell::Value(Handed {
            node,
            as_of: self.versions.latest(),
            lives,
            stale: softened,
            source: Source::Loaded,
        }));
        let what = if size > limit { What::TooLarge } else { what };
        state.ring.record(key, now, what, version);
        if size > limit {
            Filled::TooLarge { limit, size }
        } else {
            Filled::Stored(version)
        }
    }

    /// Tells the policy and the waiters. No stripe may be locked.
    pub(super) fn after(self: &Arc<Self>, key: &Key, after: Aftermath) {
        self.settle(after.residue);
        for waiter in after.waiters {
            let outcome = match &after.outcome {
                Some(ToTell::Value(handed)) => Outcome::Value(handed.clone()),
                Some(ToTell::Failed(error)) => Outcome::Failed(error.clone()),
                None => continue,
            };
            // One that left meanwhile needs nothing.
            drop(waiter.offer(outcome));
        }
        if after.promote {
            self.promote(key);
        }
    }

    /// Sets a value. Every load of the key that is under way is void; its waiters
    /// get this value.
    ///
    /// # Errors
    /// When the value is larger than the policy allows.
    pub fn set(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &[u8],
        write: Write,
    ) -> Result<Written, WriteError> {
        let (limit, size) = (scope.policy().max_value, write.value.len());
        if size > limit {
            let over = |wanted| {
                self.held(scope, key)
                    .is_some_and(|hit| hit.version() == wanted)
            };
            if !write.if_version.is_none_or(over) {
                return Ok(Written::OtherVersion);
            }
            // What is held is wrong by the caller's own word.
            self.invalidate_key(scope, key, super::Invalidation::default());
            return Err(WriteError::TooLarge { limit, size });
        }
        let tags = scope.tenant.tags.resolve(scope.id, &write.tags);
        let key = self.key(scope, key).to_key();
        let _late = self.l1.defer_drops();
        let mut after = Aftermath::default();
        let version = {
            let stripe = self.stripes.of(&key.borrow());
            let mut state = stripe.state.lock();
            let now = self.clock.precise();
            if let Some(wanted) = write.if_version {
                let held = self.l1.with(&key.borrow(), |node| {
                    (node.entry.phase(now) != Phase::Gone).then_some(node.entry.version)
                });
                if held.flatten() != Some(wanted) {
                    return Ok(Written::OtherVersion);
                }
            }
            let version = self.versions.next(&self.clock);
            let entry = Entry {
                scope: Arc::clone(scope),
                deadlines: Deadlines::for_value(
                    now,
                    &scope.policy(),
                    write.times,
                    self.entropy.unit(),
                ),
                body: Body::Value(write.value),
                began: version,
                version,
                stored_at: now,
                load_time: LoadTime::default(),
                tags,
                etag: write.etag.into(),
            };
            stripe.moved(version);
            self.store(&mut state, &key, entry, false, now, What::Set, &mut after);
            Self::tidy(&mut state, &key);
            version
        };
        self.counters.one(Count::Set);
        self.after(&key, after);
        Ok(Written::Stored(version))
    }
}
