//! What is held under a key.
//!
//! An [`Entry`] never changes: a new value, a soft invalidation or a renewal is a
//! new entry. A [`Node`] is an entry in its place in L1, with the two words that
//! do change: whether a refresh is due, and whether the eviction policy has heard
//! of its use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::expiry::{Deadlines, Phase};
use super::key::Key;
use super::residency::Ticket;
use super::scope::Scope;
use super::tags::Tag;
use crate::clock::Time;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::version::Version;

/// What a load found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A value.
    Value(Bytes),
    /// There is no such thing.
    Absent,
}

impl Body {
    /// The value, unless absent.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.value().map_or(0, Bytes::len)
    }
}

/// An origin's validator: one word where there is none, as mostly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Etag(Option<Box<Bytes>>);

impl Etag {
    pub(crate) fn get(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl From<Bytes> for Etag {
    fn from(etag: Bytes) -> Self {
        Self((!etag.is_empty()).then(|| Box::new(etag)))
    }
}

/// How long a load took, in microseconds, at most about 71 minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadTime(u32);

impl LoadTime {
    pub(crate) fn get(self) -> Duration {
        Duration::from_micros(u64::from(self.0))
    }
}

impl From<Duration> for LoadTime {
    fn from(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    }
}

/// A value, its age and what it answers for.
///
/// In this order: what every read looks at comes first and shares a cache line
/// with the node's count and marks.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Entry {
    /// The version at which its load began; for a `Set`, the version of the set.
    pub(crate) began: Version,
    pub(crate) tags: Box<[Arc<Tag>]>,
    pub(crate) deadlines: Deadlines,
    pub(crate) body: Body,
    pub(crate) scope: Arc<Scope>,
    pub(crate) version: Version,
    pub(crate) stored_at: Time,
    pub(crate) load_time: LoadTime,
    pub(crate) etag: Etag,
}

impl Entry {
    /// What is held.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The version under which it was stored.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The origin's validator, empty if it gave none.
    #[must_use]
    pub fn etag(&self) -> &Bytes {
        self.etag.get()
    }

    /// The tags it carries.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.tags.iter().map(|tag| &*tag.name)
    }

    /// How long ago it was stored.
    #[must_use]
    pub fn age(&self, now: Time) -> Duration {
        now.since(self.stored_at)
    }

    /// How long it stays fresh, if nothing invalidates it.
    #[must_use]
    pub fn fresh_for(&self, now: Time) -> Duration {
        self.deadlines.fresh_until().since(now)
    }

    /// How long its load took.
    #[must_use]
    pub fn load_time(&self) -> Duration {
        self.load_time.get()
    }

    /// Where it stands: its deadlines under the barriers that cover it.
    #[inline]
    pub(crate) fn phase(&self, now: Time) -> Phase {
        self.phase_in(&self.scope, now)
    }

    /// The same, for a reader that holds the entry's scope: it saves a hop.
    #[inline]
    pub(crate) fn phase_in(&self, scope: &Scope, now: Time) -> Phase {
        let mut hard = scope.floor();
        let mut soft = scope.soft_floor();
        for tag in &*self.tags {
            hard = hard.max(tag.barrier.hard());
            soft = soft.max(tag.barrier.soft());
        }
        if self.began <= hard && !planted(Bug::BarrierUnread) {
            if planted(Bug::StaleAfterInvalidate) {
                return self.deadlines.phase(now, true);
            }
            return Phase::Gone;
        }
        self.deadlines.phase(now, self.began <= soft)
    }

    /// What it costs beyond its key, in bytes.
    pub(crate) fn size(&self) -> usize {
        let tags = size_of_val(&*self.tags);
        self.body.len() + self.etag.get().len() + tags
    }
}

/// An entry in L1.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node {
    /// The insert epoch in which the eviction policy last heard of a use.
    fed: AtomicU32,
    /// Bytes charged for it.
    pub(crate) weight: u32,
    pub(crate) entry: Entry,
    pub(crate) key: Key,
    pub(crate) ticket: Arc<Ticket>,
    failures: AtomicU32,
    /// No refresh before this time: one is under way, or the last one failed.
    refresh_after: AtomicU64,
}

impl Node {
    pub(crate) fn new(entry: Entry, ticket: Arc<Ticket>, weight: u32, epoch: u32) -> Self {
        Self {
            key: ticket.key.clone(),
            entry,
            ticket,
            weight,
            // The first read after a write is always told: it decides admission.
            fed: AtomicU32::new(epoch.wrapping_sub(1)),
            failures: AtomicU32::new(0),
            refresh_after: AtomicU64::new(0),
        }
    }

    /// Whether this is the first use in this insert epoch.
    #[inline]
    pub(crate) fn first_use_in(&self, epoch: u32) -> bool {
        // Relaxed, and not a swap: two threads that both see the old epoch feed
        // the policy twice, which costs less than a locked instruction per read.
        if self.fed.load(Ordering::Relaxed) == epoch {
            return false;
        }
        self.fed.store(epoch, Ordering::Relaxed);
        true
    }

    pub(crate) fn refresh_due(&self, now: Time) -> bool {
        now.as_nanos() >= self.refresh_after.load(Ordering::Relaxed)
    }

    /// How long a failed refresh still holds the next one back, if it does.
    pub(crate) fn backing_off(&self, now: Time) -> Option<Duration> {
        let until = Time::from_nanos(self.refresh_after.load(Ordering::Relaxed));
        (self.failures() > 0 && now < until).then(|| until.since(now))
    }

    /// Failed refreshes in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    // The writers below run under the key's stripe lock, which orders them;
    // readers take what they see as a hint and decide under that lock.

    /// Takes over a predecessor's refresh: under way, or backing off.
    pub(crate) fn inherit(&self, other: &Self) {
        self.failures.store(other.failures(), Ordering::Relaxed);
        let after = other.refresh_after.load(Ordering::Relaxed);
        self.refresh_after.store(after, Ordering::Relaxed);
    }

    pub(crate) fn refreshing_until(&self, deadline: Time) {
        self.refresh_after
            .store(deadline.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn refresh_failed(&self, retry_at: Time) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.refresh_after
            .store(retry_at.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn refresh_given_up(&self) {
        self.refresh_after.store(0, Ordering::Relaxed);
    }
}
