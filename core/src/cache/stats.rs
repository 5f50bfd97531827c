//! Counters. Each thread has its own cache line, so that counting a hit costs a
//! nanosecond whatever the other cores count.

use std::cell::Cell;
// std's atomics even under loom: statistics order nothing.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::sync::CachePadded;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident $field:ident,)*) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Count { $($variant,)* }

        const COUNTERS: usize = [$(Count::$variant,)*].len();

        /// What the cache has done since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Totals { $($(#[doc = $doc])* pub $field: u64,)* }

        impl Counters {
            /// The sums over all threads; each exact once its writers are done.
            pub(crate) fn totals(&self) -> Totals {
                Totals { $($field: self.sum(Count::$variant),)* }
            }
        }
    };
}

counters! {
    /// Reads answered fresh from L1.
    Hit hits,
    /// Reads answered stale, for whatever reason.
    Stale stale,
    /// Reads that found nothing usable.
    Miss misses,
    /// Leases granted for a key that nothing usable was held for.
    Lead leads,
    /// Leases granted to refresh what was still answered.
    Refresh refreshes,
    /// Reads that waited for another's load.
    Coalesced coalesced,
    /// Leases that went to a waiter because the leader gave up, died or was
    /// invalidated.
    Promoted promoted,
    /// Fills that were stored.
    Stored stored,
    /// Fills that came too late for something that moved.
    Superseded superseded,
    /// Loads that failed.
    Failed failed,
    /// Loads given up.
    GivenUp given_up,
    /// Values too large to keep.
    TooLarge too_large,
    /// Entries set by a caller.
    Set sets,
    /// Invalidation calls.
    Invalidate invalidations,
    /// Reads refused because too many loads were under way.
    Shed shed,
    /// Entries removed by the sweep because they were gone.
    Expired expired,
    /// Entries taken over from L2.
    Adopted adopted,
}

/// A power of two, above the cores of most machines this runs on.
const SHARDS: usize = 32;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn shard() -> usize {
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        shard.get()
    })
}

#[derive(Debug)]
pub(crate) struct Counters(Box<[CachePadded<[AtomicU64; COUNTERS]>]>);

impl Counters {
    pub(crate) fn new() -> Self {
        Self(
            (0..SHARDS)
                .map(|_| CachePadded::new([const { AtomicU64::new(0) }; COUNTERS]))
                .collect(),
        )
    }

    #[inline]
    pub(crate) fn add(&self, count: Count, n: u64) {
        self.0[shard()][count as usize].fetch_add(n, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    fn sum(&self, count: Count) -> u64 {
        self.0
            .iter()
            .map(|shard| shard[count as usize].load(Ordering::Relaxed))
            .sum()
    }
}
