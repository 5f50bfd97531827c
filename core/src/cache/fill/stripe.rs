//! The fill table's stripes: short locks, each over a share of the keys.
//!
//! A key's stripe also orders the writes of that key to L1, so that "the entry
//! changed" and "the load is void" are one step.

use std::collections::HashMap;
use std::sync::Arc;

use super::flight::Flight;
use crate::cache::key::{Hashed, Key, KeyRef};
use crate::cache::recorder::Ring;
use crate::cache::scope::Scope;
use crate::clock::Time;
use crate::sync::{AtomicU64, CachePadded, Mutex, Ordering};
use crate::version::Version;

/// How many keys of a stripe may be inside their settle time at once; beyond it
/// the invalidation's settle time goes to the whole cache instead.
pub(crate) const MAX_SETTLING: usize = 4_096;

/// A share of the keys.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) state: Mutex<State>,
    /// The version of the last invalidation or `Set` of a key of this stripe.
    moved: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) flights: HashMap<Key, Flight, Hashed>,
    /// Keys whose replicas may lag.
    pub(crate) settling: HashMap<Key, Settling, Hashed>,
    /// What last happened to this stripe's keys.
    pub(crate) ring: Ring,
}

/// The settle time of one key.
#[derive(Debug)]
pub(crate) struct Settling {
    /// Loads that begin before it may have read a replica that lags.
    pub(crate) end: Time,
    pub(crate) scope: Arc<Scope>,
}

impl Settling {
    /// Whether one of those loads may be under way.
    pub(crate) fn matters(&self, now: Time) -> bool {
        now < self.end.after(self.scope.longest_load(now))
    }
}

impl Stripe {
    /// Notes a write. Under the stripe's lock.
    pub(crate) fn moved(&self, version: Version) {
        self.moved.fetch_max(version.get(), Ordering::Release);
    }

    /// Whether a key of this stripe was written since `as_of`. Asked by a waiter
    /// before it uses what it was handed: between the handing over and its waking
    /// the key may have been invalidated.
    pub(crate) fn moved_since(&self, as_of: Version) -> bool {
        self.moved.load(Ordering::Acquire) > as_of.get()
    }
}

/// All stripes.
#[derive(Debug)]
pub(crate) struct Stripes(Box<[CachePadded<Stripe>]>);

impl Stripes {
    /// `count` stripes, a power of two.
    pub(crate) fn new(count: usize) -> Self {
        let stripe = || {
            CachePadded::new(Stripe {
                state: Mutex::new(State::default()),
                moved: AtomicU64::new(0),
            })
        };
        Self((0..count.next_power_of_two()).map(|_| stripe()).collect())
    }

    pub(crate) fn of(&self, key: &KeyRef<'_>) -> &Stripe {
        &self.0[key.stripe(self.0.len())]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stripe> {
        self.0.iter().map(|stripe| &**stripe)
    }
}
