//! Tenants and their caches as the process knows them.
//!
//! A [`Scope`] is one (tenant, cache) pair: its number, its barriers, and the rules
//! that it shares with the other tenants' caches of the same name. Any pair of valid
//! names has one from its first use on, so the table is bounded, and scopes that nobody
//! uses are forgotten by the sweep. A scope may only be forgotten when nothing refers to
//! it (no entry, no load, no handle), because its barriers must outlive what they cover.
//!
//! Forgetting races with a reader that is just taking a handle. The reader
//! counts itself in (the `Arc`'s count) and then looks whether the scope is
//! retired; the sweep retires it and then looks at the count. With a fence
//! between the two steps on both sides, one of them sees the other.
//!
//! What a hit asks of the rules (the mode, whether to refresh early, where it is
//! counted) is copied into the scope, so that a hit touches no other line for it. Copies are written under
//! the table's lock, under which scopes are also made: none misses a change.
//!
//! Cost: a look-up is one probe of a lock-free map, about 25 ns; handles keep it
//! off the path of callers that hold one. About 400 bytes a scope.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::barrier::Barrier;
use super::budget::Budget;
use super::key::ScopeId;
use super::name::{BadField, CacheName, TenantId};
use super::policy::{Mode, Policy};
use super::reconfigure::Ruling;
use super::rules::Rules;
use super::share::Place;
use super::stats::Slot;
use super::tags::TagTable;
use crate::clock::Time;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::version::Version;

mod table;

pub(super) use table::Scopes;

/// Until when something must be remembered although nobody refers to it. That is
/// the end of a settle time: a load that began inside it refers to its scope, and
/// so to its tenant, for as long as it may be stored.
#[derive(Debug)]
struct Keep(AtomicU64);

impl Keep {
    fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    fn until(&self, end: Time) {
        self.0.fetch_max(end.as_nanos(), Ordering::Relaxed);
    }

    fn is_over(&self, now: Time) -> bool {
        now.as_nanos() >= self.0.load(Ordering::Relaxed)
    }
}

/// What a tenant's caches share.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) barrier: Barrier,
    pub(crate) tags: TagTable,
    /// Its share of L1.
    pub(crate) place: Place,
    /// What its loads cost it.
    pub(super) budget: Budget,
    keep: Keep,
}

impl Tenant {
    fn new(id: &TenantId, tags: usize, place: Place) -> Self {
        Self {
            id: id.clone(),
            place,
            budget: Budget::default(),
            barrier: Barrier::at(Version::NONE),
            tags: TagTable::new(tags),
            keep: Keep::none(),
        }
    }
}

/// One cache of one tenant.
#[derive(Debug)]
pub struct Scope {
    pub(crate) id: ScopeId,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) barrier: Barrier,
    /// Of the rules, with the operator's word over the policy's.
    mode: AtomicU32,
    /// Of the rules: the bits of an `f32`.
    early_refresh: AtomicU32,
    /// Of the rules: where the cache is counted.
    slot: AtomicU32,
    retired: AtomicBool,
    keep: Keep,
}

impl Scope {
    /// The tenant's name.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant.id
    }

    /// The cache's name.
    #[must_use]
    pub fn cache(&self) -> &CacheName {
        &self.rules.cache
    }

    /// The policy in force: one that was, whole, at some moment of this call.
    #[inline]
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.rules.policy()
    }

    /// What the cache does with reads: what an operator switched it to, else what
    /// its policy says.
    #[inline]
    #[must_use]
    pub fn mode(&self) -> Mode {
        // Relaxed: a switch takes effect on each thread within nanoseconds and
        // orders nothing else.
        Mode::of_word(self.mode.load(Ordering::Relaxed))
    }

    /// The policy's `early_refresh`, without reading the rest of it.
    #[inline]
    #[must_use]
    pub fn early_refresh(&self) -> f64 {
        // Relaxed: as the mode.
        f32::from_bits(self.early_refresh.load(Ordering::Relaxed)).into()
    }

    /// Where the cache is counted.
    #[inline]
    pub(super) fn slot(&self) -> Slot {
        // Relaxed: as the mode.
        Slot::of_word(self.slot.load(Ordering::Relaxed))
    }

    /// In [`Mode::Observe`]: how many loaded values of this cache, over all tenants,
    /// were equal to, and how many differed from, what would have been served.
    #[must_use]
    pub fn observed(&self) -> (u64, u64) {
        self.rules.observed()
    }

    /// At least as long as any load of this cache may take that is under way at
    /// `now`, which must have been read before.
    pub(crate) fn longest_load(&self, now: Time) -> Duration {
        self.rules.longest_load(now)
    }

    /// Not to be forgotten before its settle times, and those of its tags, are over.
    pub(crate) fn keep_until(&self, settled: Time) {
        self.keep.until(settled);
    }

    fn obey(&self, ruling: &Ruling) {
        let (mode, early_refresh, slot) = ruling.for_hits();
        self.mode.store(mode, Ordering::Relaxed);
        self.early_refresh.store(early_refresh, Ordering::Relaxed);
        self.slot.store(slot, Ordering::Relaxed);
    }

    /// The version below which every load of this cache is void.
    #[inline]
    pub(crate) fn floor(&self) -> Version {
        self.barrier.hard().max(self.tenant.barrier.hard())
    }

    #[inline]
    pub(crate) fn soft_floor(&self) -> Version {
        self.barrier.soft().max(self.tenant.barrier.soft())
    }
}

/// The table of tenants and caches is full, and none of them is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyCaches {
    /// The limit.
    pub limit: usize,
}

impl fmt::Display for TooManyCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cache: {} caches over all tenants are in use, limit {}",
            self.limit, self.limit
        )
    }
}

impl std::error::Error for TooManyCaches {}

/// Why a tenant and a cache that came from outside have no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// A name is not of its form.
    Field(BadField),
    /// There is no room for another scope.
    TooManyCaches(TooManyCaches),
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::TooManyCaches(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ScopeError {}
