//! Counters. Each thread has its own cache lines and is their only writer, so that
//! counting a hit costs a nanosecond whatever the other cores count.
//!
//! Reads are counted by cache, in place of a count over all of them: that is their
//! sum. `stats/of_cache.rs` says which caches have a slot of their own.

// std's atomics even under loom: statistics order nothing.
use std::sync::atomic::{AtomicU64, Ordering};

use super::local::Local;
use super::scope::Scope;
use crate::sync::CachePadded;

mod of_cache;

pub use of_cache::{CacheCounts, MAX_CACHES_COUNTED, OTHER_CACHES};
pub(super) use of_cache::{Of, Slot, Slots};

use of_cache::ByCache;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident $field:ident,)*) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Count { $($variant,)* }

        const COUNTERS: usize = [$(Count::$variant,)*].len();

        /// What the cache has done since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Totals {
            /// Reads answered fresh from L1.
            pub hits: u64,
            /// Reads answered stale, for whatever reason.
            pub stale: u64,
            /// Reads that found nothing usable.
            pub misses: u64,
            $($(#[doc = $doc])* pub $field: u64,)*
        }

        impl Counters {
            /// The sums over all threads; each exact once its writers are done.
            pub(crate) fn totals(&self) -> Totals {
                let mut reads = CacheCounts::default();
                for line in &self.0 {
                    line.by_cache.add_all_to(&mut reads);
                }
                let CacheCounts { hits, stale, misses, .. } = reads;
                Totals { hits, stale, misses, $($field: self.sum(Count::$variant),)* }
            }
        }
    };
}

counters! {
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
    /// Reads refused because the tenant's budget of loads was spent, and refreshes
    /// put off for it.
    OverBudget over_budget,
    /// Entries removed by the sweep because they were gone.
    Expired expired,
    /// Entries taken over from L2.
    Adopted adopted,
    /// Of the stale answers: because the load failed, or did not end in time.
    StaleFailed stale_load_failed,
    /// Of the stale answers: because too many loads were under way.
    StaleShed stale_shed,
    /// Of the stale answers: because the tenant's budget of loads was spent.
    StaleOverBudget stale_over_budget,
    /// In observing caches: loads that brought what would have been served.
    Match matches,
    /// In observing caches: loads that brought something else.
    Mismatch mismatches,
}

impl Totals {
    /// Of the stale answers: while one caller refreshes. Not counted by itself, so
    /// that the most frequent stale answer costs one count.
    #[must_use]
    pub fn stale_revalidating(&self) -> u64 {
        let others = self
            .stale_load_failed
            .saturating_add(self.stale_shed)
            .saturating_add(self.stale_over_budget);
        self.stale.saturating_sub(others)
    }
}

/// Threads that count on a line of their own; the others share the last one.
const LINES: usize = 64;
const SHARED: usize = LINES - 1;

/// The lines that no living thread owns, as bits.
static FREE: AtomicU64 = AtomicU64::new(u64::MAX >> 1);

/// A thread's line, in every [`Counters`] alike, until the thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line(usize);

impl Default for Line {
    fn default() -> Self {
        Self::COMMON
    }
}

impl Line {
    /// The line of threads that have none of their own.
    const COMMON: Self = Self(SHARED);

    pub(super) fn take() -> Self {
        let mut free = FREE.load(Ordering::Relaxed);
        while free != 0 {
            let line = free.trailing_zeros();
            // Acquire and Release hand the line's counts from its last owner to
            // its next, who adds to them without a locked instruction.
            let taken = FREE.compare_exchange_weak(
                free,
                free & !(1 << line),
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => return Self(line as usize),
                Err(seen) => free = seen,
            }
        }
        Self::COMMON
    }

    pub(super) fn number(self) -> usize {
        self.0
    }

    /// Adds to a counter of this line.
    #[inline]
    fn add(self, counter: &AtomicU64, n: u64) {
        if self == Self::COMMON {
            counter.fetch_add(n, Ordering::Relaxed);
        } else {
            // The only writer of this line: no locked instruction is needed.
            counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        }
    }

    pub(super) fn give_back(self) {
        if self != Self::COMMON {
            FREE.fetch_or(1 << self.0, Ordering::Release);
        }
    }
}

/// What the threads of one line counted.
#[derive(Debug)]
struct OfLine {
    counts: [AtomicU64; COUNTERS],
    by_cache: ByCache,
}

#[derive(Debug)]
pub(crate) struct Counters(Box<[CachePadded<OfLine>]>);

impl Counters {
    pub(crate) fn new() -> Self {
        let line = || {
            CachePadded::new(OfLine {
                counts: [const { AtomicU64::new(0) }; COUNTERS],
                by_cache: ByCache::new(),
            })
        };
        Self((0..LINES).map(|_| line()).collect())
    }

    #[inline]
    pub(crate) fn one(&self, count: Count) {
        let line = Local::with(|local| local.map(Local::line));
        self.add_at(line, count, 1);
    }

    /// Counts on this thread's line.
    pub(crate) fn add(&self, count: Count, n: u64) {
        self.add_at(Local::with(|local| local.map(Local::line)), count, n);
    }

    #[inline]
    fn add_at(&self, line: Option<Line>, count: Count, n: u64) {
        let line = line.unwrap_or(Line::COMMON);
        line.add(&self.0[line.0].counts[count as usize], n);
    }

    /// Counts for the scope's cache, on this thread's line.
    #[inline]
    pub(super) fn of(&self, scope: &Scope, of: Of) {
        self.of_at(Local::with(|local| local.map(Local::line)), scope, of);
    }

    /// The same on a line that is known to be this thread's.
    #[inline]
    pub(super) fn of_at(&self, line: Option<Line>, scope: &Scope, of: Of) {
        let line = line.unwrap_or(Line::COMMON);
        line.add(self.0[line.0].by_cache.counter(scope.slot(), of), 1);
    }

    /// Makes room for the counts of so many caches. Whoever counts before it is
    /// there counts for the others.
    pub(super) fn make_room(&self, slots: &Slots) {
        for line in &self.0 {
            line.by_cache.make_room(slots);
        }
    }

    /// What was counted in one slot, over all threads.
    pub(super) fn at(&self, slot: Slot) -> CacheCounts {
        let mut counts = CacheCounts::default();
        for line in &self.0 {
            line.by_cache.add_to(slot, &mut counts);
        }
        counts
    }

    fn sum(&self, count: Count) -> u64 {
        self.0
            .iter()
            .map(|line| line.counts[count as usize].load(Ordering::Relaxed))
            .sum()
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_however_many_threads_count() {
        let counters = Counters::new();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..2 * LINES {
                    scope.spawn(|| (0..1_000).for_each(|_| counters.one(Count::Set)));
                }
            });
        }
        assert_eq!(counters.totals().sets, 3 * 2 * LINES as u64 * 1_000);
    }
}
