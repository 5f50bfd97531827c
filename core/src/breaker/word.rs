//! A breaker's word: what state it is in, without its atomics.
//!
//! ```text
//!   63     61 60       55 54          37 36                                     0
//!   ┌────────┬───────────┬──────────────┬──────────────────────────────────────┐
//!   │ state  │ permits   │ generation   │ deadline, in ms since the origin     │
//!   └────────┴───────────┴──────────────┴──────────────────────────────────────┘
//! ```
//!
//! | state | permits | deadline |
//! |---|---|---|
//! | closed, forced open, disabled | 0 | 0 |
//! | open | 0 | when the first probe may go |
//! | half-open | probes that may still go | when the trial is void |
//! | metrics only | 0 | until when calls would be refused |
//!
//! Every change of state is a new generation, and so is every trial. Generations come
//! round after 2¹⁸; the shortest time open is 50 ms, so a right that meets another
//! generation of its number has slept for nearly two hours at least. The deadline
//! holds 4 years and saturates.

use std::fmt;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Admits, and counts what becomes of the calls.
    Closed,
    /// Refuses, until a deadline.
    Open,
    /// Admits a few calls, to see what becomes of them.
    HalfOpen,
    /// Refuses until an operator says otherwise.
    ForcedOpen,
    /// Admits, and counts nothing, until an operator says otherwise.
    Disabled,
    /// Admits, counts, and says what it would have refused.
    MetricsOnly,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::Disabled,
        Self::MetricsOnly,
    ];

    /// As it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// What an operator holds it to, if it is that.
    #[must_use]
    pub const fn forced(self) -> Option<Forced> {
        match self {
            Self::Closed | Self::Open | Self::HalfOpen => None,
            Self::ForcedOpen => Some(Forced::Open),
            Self::Disabled => Some(Forced::Disabled),
            Self::MetricsOnly => Some(Forced::MetricsOnly),
        }
    }

    const fn bits(self) -> u64 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
            Self::ForcedOpen => 3,
            Self::Disabled => 4,
            Self::MetricsOnly => 5,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an operator may hold a breaker to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forced {
    /// Refuses every call.
    Open,
    /// Admits every call and counts nothing.
    Disabled,
    /// Admits every call, counts, and says what it would have refused.
    MetricsOnly,
}

impl Forced {
    const fn state(self) -> State {
        match self {
            Self::Open => State::ForcedOpen,
            Self::Disabled => State::Disabled,
            Self::MetricsOnly => State::MetricsOnly,
        }
    }
}

/// Which stay in a state: outcomes of another one change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Generation(u32);

impl Generation {
    pub(super) const BITS: u32 = 18;
    const MASK: u32 = (1 << Self::BITS) - 1;

    /// From the wire; any number, of which one is the current generation's.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::MASK)
    }

    /// As it stands on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The one that begins at bit `at` of a word.
    #[inline]
    pub(super) const fn of_word(word: u64, at: u32) -> Self {
        const MASK: u64 = (1 << Generation::BITS) - 1;
        Self((word >> at & MASK) as u32)
    }

    #[must_use]
    const fn next(self) -> Self {
        Self::from_bits(self.0.wrapping_add(1))
    }

    /// Generations that somebody may be late by, between two instructions. What seems
    /// to be further ahead is behind: a slot that was not used for long.
    const LATE: u32 = 1_024;

    /// Whether it has come after `other`.
    pub(super) const fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0) & Self::MASK;
        ahead != 0 && ahead <= Self::LATE
    }
}

/// A point in time: milliseconds since the breaker's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Millis(pub(super) u64);

impl Millis {
    #[cfg(test)]
    pub(super) const END: Self = Self(DEADLINE);

    pub(super) const fn plus(self, more: u64) -> Self {
        let sum = self.0.saturating_add(more);
        Self(if sum > DEADLINE { DEADLINE } else { sum })
    }
}

const DEADLINE_BITS: u32 = 37;
const DEADLINE: u64 = (1 << DEADLINE_BITS) - 1;
const PERMITS_AT: u32 = DEADLINE_BITS + Generation::BITS;
const PERMITS: u64 = (1 << 6) - 1;
const STATE_AT: u32 = PERMITS_AT + 6;

/// The most permits a word can hold.
pub(super) const MAX_PERMITS: u32 = 63;

/// One reading of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot(u64);

impl Snapshot {
    pub(super) const fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn to_bits(self) -> u64 {
        self.0
    }

    #[must_use]
    const fn made(state: State, permits: u32, generation: Generation, deadline: Millis) -> Self {
        Self(
            state.bits() << STATE_AT
                | (permits as u64 & PERMITS) << PERMITS_AT
                | (generation.0 as u64) << DEADLINE_BITS
                | deadline.0 & DEADLINE,
        )
    }

    /// Of a breaker that was just made.
    #[must_use]
    pub(super) const fn first() -> Self {
        Self::made(State::Closed, 0, Generation(1), Millis(0))
    }

    #[inline]
    pub(super) const fn state(self) -> State {
        match self.0 >> STATE_AT {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::ForcedOpen,
            4 => State::Disabled,
            _ => State::MetricsOnly,
        }
    }

    /// Whether it is closed: nothing but the state's bits is looked at.
    #[inline]
    pub(super) const fn is_closed(self) -> bool {
        self.0 >> STATE_AT == 0
    }

    #[inline]
    pub(super) const fn permits(self) -> u32 {
        (self.0 >> PERMITS_AT & PERMITS) as u32
    }

    #[inline]
    pub(super) const fn generation(self) -> Generation {
        Generation::of_word(self.0, DEADLINE_BITS)
    }

    #[inline]
    pub(super) const fn deadline(self) -> Millis {
        Millis(self.0 & DEADLINE)
    }

    /// Opened, until then.
    #[must_use]
    pub(super) const fn tripped(self, until: Millis) -> Self {
        Self::made(State::Open, 0, self.generation().next(), until)
    }

    /// A trial of so many probes, which is void from then on.
    #[must_use]
    pub(super) const fn tried(self, probes: u32, until: Millis) -> Self {
        Self::made(State::HalfOpen, probes, self.generation().next(), until)
    }

    /// Closed, with nothing counted yet.
    #[must_use]
    pub(super) const fn closed(self) -> Self {
        Self::made(State::Closed, 0, self.generation().next(), Millis(0))
    }

    /// Held to what an operator says.
    #[must_use]
    pub(super) const fn forced(self, forced: Forced) -> Self {
        Self::made(forced.state(), 0, self.generation().next(), Millis(0))
    }

    /// Admitting as before, and saying until then that it would not.
    #[must_use]
    pub(super) const fn would_trip(self, until: Millis) -> Self {
        Self::made(State::MetricsOnly, 0, self.generation().next(), until)
    }

    /// With one permit fewer, of the same trial; none when there is none.
    #[must_use]
    pub(super) const fn permit_taken(self) -> Option<Self> {
        match self.permits() {
            0 => None,
            left => Some(self.with_permits(left - 1)),
        }
    }

    /// With one permit more, of the same trial.
    #[must_use]
    pub(super) const fn permit_returned(self) -> Self {
        let permits = self.permits();
        self.with_permits(if permits < MAX_PERMITS {
            permits + 1
        } else {
            permits
        })
    }

    #[must_use]
    const fn with_permits(self, permits: u32) -> Self {
        Self::made(self.state(), permits, self.generation(), self.deadline())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("state", &self.state())
            .field("permits", &self.permits())
            .field("generation", &self.generation().0)
            .field("deadline", &self.deadline().0)
            .finish()
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_word_is_kept_beside_the_others_at_their_largest() {
        let last = Generation(Generation::MASK);
        for state in State::ALL {
            let word = Snapshot::made(state, MAX_PERMITS, last, Millis::END);
            assert_eq!(word.state(), state);
            assert_eq!(word.permits(), MAX_PERMITS);
            assert_eq!(word.generation(), last);
            assert_eq!(word.deadline(), Millis::END);
            assert_eq!(word.is_closed(), state == State::Closed);
            let word = Snapshot::made(state, 0, Generation(0), Millis(0));
            assert_eq!((word.state(), word.permits()), (state, 0));
        }
    }

    #[test]
    fn every_change_of_state_is_a_new_generation_and_a_permit_is_not() {
        let first = Snapshot::first();
        let open = first.tripped(Millis(7));
        let trial = open.tried(2, Millis(9));
        let changed = [
            open,
            trial,
            trial.closed(),
            trial.forced(Forced::Disabled),
            trial.would_trip(Millis(1)),
        ];
        let before = [first, open, trial, trial, trial];
        for (after, before) in changed.into_iter().zip(before) {
            assert!(after.generation().is_after(before.generation()));
        }
        let one = trial.permit_taken().expect("two left");
        let none = one.permit_taken().expect("one left");
        assert_eq!(none.permit_taken(), None);
        assert_eq!(none.permit_returned(), one);
        assert_eq!(one.generation(), trial.generation());
        assert_eq!(one.deadline(), Millis(9));
    }

    #[test]
    fn generations_come_round_and_what_seems_far_ahead_is_behind() {
        let last = Generation(Generation::MASK);
        assert_eq!(last.next(), Generation(0));
        assert!(last.next().is_after(last));
        assert!(!last.is_after(last.next()));
        assert!(!last.is_after(last));
        assert!(!Generation(1).is_after(Generation(1 << 17)));
        assert!(!Generation(1 << 17).is_after(Generation(1)));
    }

    #[test]
    fn a_deadline_beyond_the_last_one_is_the_last_one() {
        assert_eq!(Millis(5).plus(u64::MAX), Millis::END);
    }
}
