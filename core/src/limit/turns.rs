//! The turns that were given to callers who wait for one bucket.
//!
//! A caller that waits is charged when it asks and spends at its turn. In between its
//! tokens are spent by the bucket's word and are in the bucket in truth. As long as
//! nothing is refunded nobody can tell: a turn is given only by an empty bucket, which
//! is not full again before the turn. But a refund, while callers wait, could let the
//! word count refill that a bucket with their tokens still in it has no room for.
//!
//! So a refund leaves the word at least as spent as the *floor*:
//!
//! ```text
//!   floor = max over turns k to come of (turn_k + the tokens of k and all given after it)
//! ```
//!
//! Then up to the last turn the word says "full less what waits" or less, the refill it
//! counts is real, and each turn comes to a bucket that has its tokens: the word was
//! never higher at that time than when the turn was given, but for turns that come later
//! and are still in the bucket then. What a floor keeps back of a refund is what
//! the bucket had no room for.
//!
//! A change of rates forgets the queue: those who wait then have no floor.
//!
//! Charges need not look: they only raise the word, and as they raise it so do they the
//! floor.
//!
//! Cost: a few instructions a turn; a refund looks at one number. Of turns whose numbers
//! can never be the greatest again nothing is kept: callers that come one after the
//! other keep one for all, and each refund between them adds at most one. about 200 bytes while
//! somebody waits, 8 otherwise.

use std::collections::VecDeque;

use super::quota::Ticks;

/// Whoever waits for one bucket, if anybody does.
#[derive(Debug, Default)]
pub(crate) struct Queue(Option<Box<Turns>>);

#[derive(Debug, Default)]
struct Turns {
    /// In the order of their turns, each with a lesser sum than the one before.
    peaks: VecDeque<Peak>,
    /// The tokens of all of them, in time.
    given: i128,
    /// Callers who have neither come to their turn nor left; or more, of those who wait
    /// for another bucket as well.
    callers: usize,
    /// When the first of them came: a turn until then was that of a caller before, who
    /// was late to take it.
    began: Ticks,
}

#[derive(Debug)]
struct Peak {
    turn: Ticks,
    /// Its turn less the tokens given before: with all that were given, its sum.
    over: i128,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Whether a turn is still to come.
    pub(crate) fn is_waited_in(&mut self, now: Ticks) -> bool {
        if let Some(turns) = &mut self.0 {
            while turns.peaks.front().is_some_and(|peak| peak.turn <= now) {
                turns.peaks.pop_front();
            }
            if turns.peaks.is_empty() {
                self.0 = None;
            }
        }
        self.0.is_some()
    }

    /// The last of the turns to come.
    pub(crate) fn last(&self) -> Option<Ticks> {
        Some(self.0.as_ref()?.peaks.back()?.turn)
    }

    /// How spent the bucket must stay.
    pub(crate) fn floor(&mut self, now: Ticks) -> Ticks {
        if !self.is_waited_in(now) {
            return Ticks::ZERO;
        }
        let highest = self.0.as_ref().and_then(|turns| {
            let first = turns.peaks.front()?;
            Some(first.over + turns.given)
        });
        let floor = u64::try_from(highest.unwrap_or_default().max(0));
        floor.map_or(Ticks::END, |floor| Ticks(floor).min(Ticks::END))
    }

    /// Gives a turn to a caller with tokens that take `cost` to come back.
    pub(crate) fn give(&mut self, now: Ticks, turn: Ticks, cost: Ticks) {
        self.is_waited_in(now);
        let turns = self.0.get_or_insert_with(|| {
            Box::new(Turns {
                began: now,
                ..Turns::default()
            })
        });
        let over = i128::from(turn.0) - turns.given;
        turns.given += i128::from(cost.0);
        turns.callers += 1;
        // An earlier turn with a lesser sum is never the greatest any more.
        while turns
            .peaks
            .back()
            .is_some_and(|peak| peak.turn <= turn && peak.over <= over)
        {
            turns.peaks.pop_back();
        }
        if turns.peaks.back().is_none_or(|peak| peak.turn < turn) {
            turns.peaks.push_back(Peak { turn, over });
        }
    }

    /// A caller took its turn.
    pub(crate) fn came(&mut self, turn: Ticks) {
        if let Some(turns) = &mut self.0
            && turn > turns.began
        {
            turns.callers = turns.callers.saturating_sub(1);
        }
    }

    /// A caller left before its turn. Its tokens keep counting while others wait; with
    /// the last of them all is forgotten.
    pub(crate) fn left(&mut self, turn: Ticks) {
        self.came(turn);
        if self.0.as_ref().is_some_and(|turns| turns.callers == 0) {
            self.0 = None;
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Ticks {
        Ticks(ms * 16_000_000)
    }

    #[test]
    fn callers_one_after_the_other_are_kept_as_one() {
        let mut queue = Queue::new();
        for nth in 1..=1_000 {
            queue.give(ms(0), ms(nth), ms(1));
        }
        assert_eq!(queue.floor(ms(0)), ms(1_001), "the last turn and its token");
        assert_eq!(queue.0.as_ref().expect("waited in").peaks.len(), 1);
    }

    #[test]
    fn the_floor_is_the_greatest_of_the_turns_to_come() {
        let mut queue = Queue::new();
        queue.give(ms(0), ms(10), ms(9));
        // A refund came between: its turn is earlier than that before it.
        queue.give(ms(0), ms(4), ms(2));
        assert_eq!(queue.floor(ms(0)), ms(21));
        queue.give(ms(0), ms(11), ms(5));
        assert_eq!(queue.floor(ms(4)), ms(26));
        assert_eq!(queue.floor(ms(10)), ms(16), "of the last alone");
        assert!(!queue.is_waited_in(ms(11)));
        assert_eq!(queue.floor(ms(11)), Ticks::ZERO);
    }

    #[test]
    fn with_the_last_caller_that_leaves_the_floor_goes() {
        let mut queue = Queue::new();
        queue.give(ms(0), ms(10), ms(9));
        queue.give(ms(0), ms(12), ms(2));
        queue.came(ms(10));
        assert_eq!(queue.last(), Some(ms(12)));
        queue.left(ms(12));
        assert_eq!(queue.floor(ms(0)), Ticks::ZERO);
        assert!(!queue.is_waited_in(ms(0)));
    }
}
