//! What became of the calls of late, and whether it is time to look.
//!
//! Two ways to count, as the policy says: `slots` by time, each thread on a shard of
//! its own; `ring` the last so many calls, exactly, in one place for all. Both know the
//! [`Generation`] of what they count, so that a change of state empties them by doing
//! nothing: what has another generation is taken over by whoever counts first.
//!
//! A breaker is judged when a call failed or was slow, never at a success: it opens
//! on bad news only. Sums are taken only when the answer can have changed: see
//! `credit`. That is exact, also when threads race: whoever is the last of several to
//! report bad news sees what the others counted.
//!
//! Cost: a success is one load and one store of the thread's own line; a failure in
//! addition a compare-and-swap on a line that all share, and a sum of all slots when the
//! rate comes near the threshold, and once a slot's time.

mod credit;
mod ring;
mod slots;

use super::policy::{self, Thresholds};
use super::word::{Generation, Millis};
use crate::sync::CachePadded;
use credit::Credit;
use ring::Ring;
use slots::Slots;

/// What became of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fine,
    Failed,
    Slow,
    FailedSlow,
    /// A call that was counted as slow when it was still on its way, and failed in the
    /// end: one failure more, and no call.
    FailedLate,
}

impl Kind {
    pub(super) fn of(failed: bool, slow: bool) -> Self {
        match (failed, slow) {
            (false, false) => Self::Fine,
            (true, false) => Self::Failed,
            (false, true) => Self::Slow,
            (true, true) => Self::FailedSlow,
        }
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Calls that ended, or were slow before they did.
    pub calls: u64,
    /// Of them, failed or timed out.
    pub failures: u64,
    /// Of them, slow.
    pub slow: u64,
}

/// Where a call was counted, should more be known of it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    /// Of what is not counted by places.
    pub(super) const NONE: Self = Self(0);
}

#[derive(Debug)]
pub(super) struct Outcomes {
    counts: Counts,
    credit: CachePadded<Credit>,
}

#[derive(Debug)]
enum Counts {
    Slots(Slots),
    Ring(Box<Ring>),
}

impl Outcomes {
    pub(super) fn new(window: policy::Window) -> Self {
        let counts = match window {
            policy::Window::Time(time) => Counts::Slots(Slots::new(time)),
            policy::Window::Count(calls) => Counts::Ring(Box::new(Ring::new(calls))),
        };
        Self {
            counts,
            credit: CachePadded::new(Credit::none()),
        }
    }

    /// Counts a call that was answered well and in time; false when the generation is
    /// over.
    #[inline]
    pub(super) fn count_fine(&self, generation: Generation, now: Millis) -> bool {
        match &self.counts {
            Counts::Slots(slots) => slots.count(Kind::Fine, generation, now),
            Counts::Ring(ring) => ring.count(Kind::Fine, generation).is_some(),
        }
    }

    /// Counts a call; nothing when the generation is over.
    pub(super) fn count(&self, kind: Kind, generation: Generation, now: Millis) -> Option<Place> {
        match &self.counts {
            Counts::Slots(slots) => slots.count(kind, generation, now).then_some(Place::NONE),
            Counts::Ring(ring) => ring.count(kind, generation).map(Place),
        }
    }

    /// A call that was counted as slow has failed.
    pub(super) fn failed_late(&self, place: Place, generation: Generation, now: Millis) -> bool {
        match &self.counts {
            Counts::Slots(slots) => slots.count(Kind::FailedLate, generation, now),
            Counts::Ring(ring) => ring.failed_late(place.0, generation),
        }
    }

    pub(super) fn sum(&self, generation: Generation, now: Millis) -> Counted {
        match &self.counts {
            Counts::Slots(slots) => slots.sum(generation, slots.epoch(now)),
            Counts::Ring(ring) => ring.sum(generation),
        }
    }

    /// Whether the thresholds are met, after something bad was counted.
    pub(super) fn are_bad(
        &self,
        generation: Generation,
        now: Millis,
        thresholds: Thresholds,
    ) -> bool {
        let epoch = match &self.counts {
            Counts::Slots(slots) => slots.epoch(now),
            Counts::Ring(_) => 0,
        };
        let Some(look) = self.credit.spend(generation, epoch) else {
            return false;
        };
        let counted = match &self.counts {
            Counts::Slots(slots) => slots.sum(generation, look.epoch()),
            Counts::Ring(ring) => ring.sum(generation),
        };
        if thresholds.met(counted) {
            return true;
        }
        self.credit.grant(look, thresholds.needed(counted));
        false
    }

    /// Other thresholds are in force from now on.
    pub(super) fn look_again(&self) {
        self.credit.void();
    }
}
