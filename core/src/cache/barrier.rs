//! Barriers: an invalidation that covers many entries by moving one number.
//!
//! A barrier holds the version of the last invalidation of a tag, a cache or a
//! tenant. An entry lives iff the version at which its load began is above every
//! barrier that covers it; readers compare, so raising costs the same whatever
//! is covered, reaches values that are still being loaded, and cannot be raced:
//! a load that began before the invalidation has the smaller version for ever.
//!
//! Three numbers, each of which only grows:
//! - `hard`: what began at or before it is gone.
//! - `soft`: what began at or before it is stale at best.
//! - `settle_until`: replicas may lag until then; what began to load before that
//!   time expires at it.
//!
//! `settle_until` is written before the version is drawn and the version is
//! published after: whoever draws a later version sees the settle time
//! ([`Versions::next`](crate::version::Versions::next) orders them).
//!
//! Cost: a reader loads two numbers per barrier that covers the entry.

use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Ordering};
use crate::version::{Version, Versions};

/// What an invalidation does to what it covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invalidation {
    /// Make stale instead of removing.
    pub soft: bool,
    /// How long replicas may lag behind the write that this invalidation is for:
    /// values whose load begins within it expire at its end. A further
    /// invalidation of the same target extends it.
    pub settle: Duration,
}

#[derive(Debug)]
pub(crate) struct Barrier {
    hard: AtomicU64,
    soft: AtomicU64,
    settle_until: AtomicU64,
}

impl Barrier {
    /// A barrier that covers what began at or before `floor`.
    pub(crate) fn at(floor: Version) -> Self {
        Self {
            hard: AtomicU64::new(floor.get()),
            soft: AtomicU64::new(0),
            settle_until: AtomicU64::new(0),
        }
    }

    /// Raises it by one invalidation; returns the invalidation's version.
    pub(crate) fn raise(
        &self,
        versions: &Versions,
        clock: &Clock,
        invalidation: Invalidation,
    ) -> Version {
        if !invalidation.settle.is_zero() && !planted(Bug::SettleLate) {
            self.settle_by(clock.precise().after(invalidation.settle));
        }
        let version = versions.next(clock);
        self.raise_to(version, invalidation.soft);
        if planted(Bug::SettleLate) && !invalidation.settle.is_zero() {
            self.settle_by(clock.precise().after(invalidation.settle));
        }
        version
    }

    /// Replicas may lag until `end`.
    pub(crate) fn settle_by(&self, end: Time) {
        self.settle_until
            .fetch_max(end.as_nanos(), Ordering::Release);
    }

    pub(crate) fn raise_to(&self, version: Version, soft: bool) {
        let word = if soft { &self.soft } else { &self.hard };
        // Release: a reader that sees the version sees the settle time.
        word.fetch_max(version.get(), Ordering::Release);
    }

    /// Everything it covered or will cover is gone: its tag was forgotten.
    pub(crate) fn kill(&self) {
        self.raise_to(Version::MAX, false);
    }

    #[inline]
    pub(crate) fn hard(&self) -> Version {
        Version::from_raw(self.hard.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn soft(&self) -> Version {
        Version::from_raw(self.soft.load(Ordering::Acquire))
    }

    pub(crate) fn settle_until(&self) -> Time {
        Time::from_nanos(self.settle_until.load(Ordering::Acquire))
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_barrier_only_rises() {
        let clock = Clock::Manual(ManualClock::default());
        let versions = Versions::starting_at(100);
        let barrier = Barrier::at(Version::from_raw(50));
        assert_eq!(barrier.hard(), Version::from_raw(50));
        let raised = barrier.raise(&versions, &clock, Invalidation::default());
        barrier.raise_to(Version::from_raw(1), false);
        assert_eq!(barrier.hard(), raised);
        assert_eq!(barrier.soft(), Version::NONE);
        let softened = barrier.raise(
            &versions,
            &clock,
            Invalidation {
                soft: true,
                settle: Duration::from_secs(2),
            },
        );
        assert_eq!((barrier.hard(), barrier.soft()), (raised, softened));
        assert_eq!(
            barrier.settle_until(),
            Time::ZERO.after(Duration::from_secs(2))
        );
    }
}
