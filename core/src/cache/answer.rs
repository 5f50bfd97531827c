//! What a read asks for and what it comes to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Node};
use super::fill::lease::Lease;
use super::fill::waiter::Waiter;
use crate::clock::Time;

/// The longest error a failed load hands to its waiters, in bytes.
pub const MAX_LOAD_ERROR_LEN: usize = 256;

/// Who loads what is not held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBy {
    /// Nobody: answer from what is held.
    #[default]
    Nobody,
    /// The caller, if it is granted the lease.
    Caller,
}

/// A read's wishes.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// Who loads on a miss.
    pub load: LoadBy,
    /// How long to wait for another's load, by
    /// [`Clock::precise`](crate::clock::Clock::precise). In the past: not at all.
    pub deadline: Time,
    /// Take nothing stale.
    pub fresh_only: bool,
    /// Instead of the policy's lease, at most `max_load`.
    pub lease: Option<Duration>,
}

impl Want {
    /// What is held, and nothing else.
    #[must_use]
    pub fn held() -> Self {
        Self {
            load: LoadBy::Nobody,
            deadline: Time::ZERO,
            fresh_only: false,
            lease: None,
        }
    }

    /// A value: loading it if it is this caller's turn, waiting until `deadline`
    /// if it is another's.
    #[must_use]
    pub fn load_until(deadline: Time) -> Self {
        Self {
            load: LoadBy::Caller,
            deadline,
            ..Self::held()
        }
    }
}

/// Why an answer is stale, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Stale: one caller refreshes it.
    Revalidating,
    /// The load failed.
    LoadFailed,
    /// Nothing is held, and no lease was asked for.
    NotHeld,
    /// The cache is switched off: load privately.
    Bypass,
    /// Another's load did not end in time.
    WaitExpired,
    /// Too many loads are under way already.
    Shed,
    /// The tenant's budget of loads is spent.
    OverBudget,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Memory.
    L1,
    /// The store behind it.
    L2,
    /// A load that just ended.
    Loaded,
}

/// Why a load failed, in its loader's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    message: Arc<str>,
    /// When the origin asks to be tried again.
    pub retry_after: Option<Duration>,
}

impl LoadError {
    /// An error with at most [`MAX_LOAD_ERROR_LEN`] bytes of `message`.
    #[must_use]
    pub fn new(message: &str, retry_after: Option<Duration>) -> Self {
        let end = message.floor_char_boundary(MAX_LOAD_ERROR_LEN);
        Self {
            message: Arc::from(&message[..end]),
            retry_after,
        }
    }

    /// The loader's words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LoadError {}

/// A held entry. Cheap to clone; keeps the value alive, not in the cache.
#[derive(Clone, Debug)]
pub struct Hit(pub(crate) Arc<Node>);

impl std::ops::Deref for Hit {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0.entry
    }
}

/// The whole contract of a read: found: use it; lease: load and settle it (in the
/// background when found is there too); neither: obey the reason.
#[derive(Debug, Default)]
#[must_use]
pub struct Answer {
    /// What is held.
    pub found: Option<Hit>,
    /// Where it comes from.
    pub source: Option<Source>,
    /// Whether it is past its freshness.
    pub stale: bool,
    /// The right, and the duty, to load.
    pub lease: Option<Lease>,
    /// Why it is stale, or why there is neither value nor lease.
    pub reason: Option<Reason>,
    /// What the failed load said.
    pub error: Option<LoadError>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Answer {
    pub(crate) fn fresh(node: Arc<Node>) -> Self {
        Self {
            found: Some(Hit(node)),
            source: Some(Source::L1),
            ..Self::default()
        }
    }

    pub(crate) fn loaded(node: Arc<Node>) -> Self {
        Self {
            found: Some(Hit(node)),
            source: Some(Source::Loaded),
            ..Self::default()
        }
    }

    pub(crate) fn stale(node: Arc<Node>, reason: Reason) -> Self {
        Self {
            stale: true,
            reason: Some(reason),
            ..Self::fresh(node)
        }
    }

    pub(crate) fn lead(lease: Lease) -> Self {
        Self {
            lease: Some(lease),
            ..Self::default()
        }
    }

    pub(crate) fn refused(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }
}

/// What a look-up says to do.
#[derive(Debug)]
#[must_use]
pub enum Lookup {
    /// This is the answer.
    Answer(Answer),
    /// Somebody else loads: wait.
    Follow(Waiter),
}
