//! Calls that were answered, so that a retry of one is charged once.
//!
//! A call that names itself (`request_id`) is remembered with its answer for
//! [`Replays::KEPT`]; a retry in that time is given the same answer and spends
//! nothing. Denials are not remembered: they spent nothing, and a retry may have
//! better luck. The id alone says that a call is a retry; what else it asks for is
//! not looked at again.
//!
//! A call whose turn has not come is *waiting*, and so may its retry be. Each counts
//! as a holder; who leaves before the turn stops holding, and when nobody holds it the
//! call is forgotten and what it spent goes back. That is the caller's part.
//!
//! Ids are known by 128 bits of a hash under random seeds: that two calls of one tenant
//! meet is as likely as guessing the seeds. Bounded by number; the oldest is
//! forgotten first, and its retry then spends again, which denies too much, never too
//! little.
//!
//! One a tenant, under its ledger's lock. Cost: about 150 bytes a call remembered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::quota::Ticks;

/// A call's name for itself, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(pub(crate) u128);

/// The calls of one tenant that are remembered.
#[derive(Debug)]
pub(crate) struct Replays<A> {
    answers: HashMap<RequestId, Remembered<A>>,
    /// In the order they were first given. May name some that were forgotten since.
    order: VecDeque<(RequestId, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Remembered<A> {
    answer: A,
    given: Ticks,
    /// Until then the callers that hold it may still leave.
    turn: Ticks,
    holders: u32,
    number: u64,
}

impl<A: Clone> Replays<A> {
    /// How long an answer is remembered.
    pub(crate) const KEPT: Duration = Duration::from_secs(60);

    /// Calls remembered at once. At about 150 bytes each: 10 MiB.
    pub(crate) const MOST: usize = 65_536;

    pub(crate) fn new() -> Self {
        Self {
            answers: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    /// What was answered, and how long its turn is off. The caller holds it now too.
    pub(crate) fn again(&mut self, id: RequestId, now: Ticks) -> Option<(A, Ticks)> {
        self.forget_old(now);
        let known = self.answers.get_mut(&id)?;
        known.holders = known.holders.saturating_add(1);
        Some((known.answer.clone(), known.turn.minus(now)))
    }

    /// Remembers an answer, whose turn is `wait` off, with one holder.
    pub(crate) fn remember(&mut self, id: RequestId, answer: A, now: Ticks, wait: Ticks) {
        self.forget_old(now);
        if self.answers.len() >= Self::MOST {
            self.forget_oldest();
        }
        if self.order.len() >= 2 * Self::MOST {
            let answers = &self.answers;
            self.order.retain(|(id, number)| {
                answers.get(id).is_some_and(|known| known.number == *number)
            });
        }
        let number = self.next;
        self.next += 1;
        self.order.push_back((id, number));
        self.answers.insert(
            id,
            Remembered {
                answer,
                given: now,
                turn: now.plus(wait),
                holders: 1,
                number,
            },
        );
    }

    /// A holder leaves before its turn. Whether it was the last one: then the call is
    /// forgotten, and what it spent is to be given back.
    pub(crate) fn leave(&mut self, id: RequestId) -> bool {
        let Some(known) = self.answers.get_mut(&id) else {
            // Forgotten for want of room or time: a retry spends again, so nobody else
            // holds it.
            return true;
        };
        known.holders = known.holders.saturating_sub(1);
        if known.holders > 0 {
            return false;
        }
        self.answers.remove(&id);
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Calls remembered.
    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Forgets what was given too long ago.
    pub(crate) fn forget_old(&mut self, now: Ticks) {
        let kept = Ticks::of(Self::KEPT);
        while let Some((id, number)) = self.order.front() {
            match self.answers.get(id) {
                Some(known) if known.number == *number => {
                    if now.minus(known.given.max(known.turn)) < kept {
                        return;
                    }
                    let id = *id;
                    self.answers.remove(&id);
                }
                _ => {}
            }
            self.order.pop_front();
        }
    }

    fn forget_oldest(&mut self) {
        while let Some((id, number)) = self.order.pop_front() {
            if self
                .answers
                .get(&id)
                .is_some_and(|known| known.number == number)
            {
                self.answers.remove(&id);
                return;
            }
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Ticks {
        Ticks::of(Duration::from_secs(seconds))
    }

    fn id(id: u128) -> RequestId {
        RequestId(id)
    }

    #[test]
    fn a_retry_is_answered_as_before_for_a_minute() {
        let mut replays = Replays::new();
        replays.remember(id(1), "first", s(0), Ticks::ZERO);
        assert_eq!(replays.again(id(1), s(59)), Some(("first", Ticks::ZERO)));
        assert_eq!(replays.again(id(2), s(59)), None);
        assert_eq!(replays.again(id(1), s(60)), None);
        assert!(replays.is_empty());
    }

    #[test]
    fn a_waiting_call_goes_back_when_the_last_of_its_callers_has_left() {
        let mut replays = Replays::new();
        replays.remember(id(1), "turn", s(0), s(10));
        assert_eq!(replays.again(id(1), s(4)), Some(("turn", s(6))));
        assert!(!replays.leave(id(1)), "its retry waits on");
        assert!(replays.leave(id(1)));
        assert_eq!(replays.again(id(1), s(4)), None);
        // The id is free for another call, whose place in the order is its own.
        replays.remember(id(1), "another", s(50), Ticks::ZERO);
        assert_eq!(replays.again(id(1), s(100)), Some(("another", Ticks::ZERO)));
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut replays = Replays::new();
        let most = Replays::<()>::MOST as u128;
        for number in 0..=most {
            replays.remember(id(number), (), s(0), Ticks::ZERO);
        }
        assert_eq!(replays.len(), Replays::<()>::MOST);
        assert!(replays.again(id(0), s(0)).is_none());
        assert!(replays.again(id(1), s(0)).is_some());
        // Ids that come and go leave little behind.
        for number in 0..3 * most {
            replays.remember(id(most), (), s(0), s(1));
            assert!(replays.leave(id(most)), "{number}");
            assert!(replays.order.len() <= 2 * Replays::<()>::MOST);
        }
    }
}
