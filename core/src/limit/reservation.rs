//! Tokens held for a cost that is not known yet.
//!
//! ```text
//!               commit                      commit, within an hour
//!   held ───────────────► committed ◄──────────────────────── ended
//!    │ │                                                        ▲
//!    │ └── its time is over: what refill has not given back ────┘
//!    │     goes back
//!    └── release: the same ──► released
//! ```
//!
//! A reservation has spent already; committing it settles the difference to the real
//! cost, which may leave a debt. One whose time is over has given its tokens back, so
//! a late commit charges all of the cost. Each is settled once: the same settlement
//! again changes nothing and is told so, another one is void.
//!
//! Bounded by number; those that are over are remembered for [`Reservations::KEPT`],
//! or for as long as there is room.
//!
//! What is held is let go of when it is settled; only the settlement is remembered.
//!
//! One a tenant, under its ledger's lock. Cost: about 100 bytes a reservation, and what
//! it holds, half a kilobyte, until it is settled.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::quota::Ticks;
use crate::fence::Token;
use crate::planted::{Bug, planted};

/// The reservations of one tenant, each of which holds an `H`.
#[derive(Debug)]
pub(crate) struct Reservations<H> {
    known: HashMap<u64, Reservation<H>>,
    /// Those that are held, by when that ends.
    holding: BTreeSet<(Ticks, u64)>,
    /// Those that are over, by when they are forgotten.
    over: BTreeSet<(Ticks, u64)>,
}

#[derive(Debug)]
struct Reservation<H> {
    /// Until it is settled.
    held: Option<H>,
    stage: Stage,
    ends: Ticks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Held,
    Ended,
    Committed,
    Released,
}

/// What a settlement comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled<H> {
    /// The tokens are held: this is to be settled now.
    Held(H),
    /// They went back when its time was over: what is settled now is charged anew.
    Ended(H),
    /// The same was settled before.
    Again,
    /// Something else was, or it is not known.
    Void,
}

/// There is no room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<H: Clone> Reservations<H> {
    /// How long one that is over is remembered.
    pub(crate) const KEPT: Duration = Duration::from_secs(3_600);

    /// Reservations of a tenant, those that are over included.
    pub(crate) const MOST: usize = 65_536;

    pub(crate) fn new() -> Self {
        Self {
            known: HashMap::new(),
            holding: BTreeSet::new(),
            over: BTreeSet::new(),
        }
    }

    /// Whether another one would be taken.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.known.len() < Self::MOST {
            return true;
        }
        // One that is over makes room.
        let Some((_, token)) = self.over.pop_first() else {
            return false;
        };
        self.known.remove(&token);
        true
    }

    pub(crate) fn hold(&mut self, token: Token, held: H, ends: Ticks) -> Result<(), Full> {
        if !self.has_room() {
            return Err(Full);
        }
        let token = token.to_bits();
        self.holding.insert((ends, token));
        let (held, stage) = (Some(held), Stage::Held);
        self.known.insert(token, Reservation { held, stage, ends });
        Ok(())
    }

    /// What is held under a token and not settled.
    pub(crate) fn get(&self, token: Token) -> Option<&H> {
        self.known.get(&token.to_bits())?.held.as_ref()
    }

    pub(crate) fn commit(&mut self, token: Token) -> Settled<H> {
        self.settle(token, Stage::Committed)
    }

    pub(crate) fn release(&mut self, token: Token) -> Settled<H> {
        self.settle(token, Stage::Released)
    }

    fn settle(&mut self, token: Token, by: Stage) -> Settled<H> {
        let token = token.to_bits();
        let Some(known) = self.known.get_mut(&token) else {
            return Settled::Void;
        };
        let was = known.stage;
        let held = if planted(Bug::SettledTwice) {
            known.held.clone()
        } else {
            known.held.take()
        };
        let Some(held) = held else {
            return if was == by {
                Settled::Again
            } else {
                Settled::Void
            };
        };
        known.stage = by;
        if was == Stage::Ended {
            return Settled::Ended(held);
        }
        self.over(token);
        Settled::Held(held)
    }

    /// Ends those whose time is over, at most `most`: their tokens are to be given
    /// back. Forgets those that have been over for long.
    pub(crate) fn end(&mut self, now: Ticks, most: usize) -> Vec<H> {
        let due =
            |set: &BTreeSet<(Ticks, u64)>| set.first().copied().filter(|(end, _)| *end <= now);
        while let Some((_, token)) = due(&self.over) {
            self.over.pop_first();
            self.known.remove(&token);
        }
        let mut ended = Vec::new();
        while ended.len() < most
            && let Some((_, token)) = due(&self.holding)
        {
            if let Some(known) = self.known.get_mut(&token) {
                known.stage = Stage::Ended;
                ended.extend(known.held.clone());
            }
            self.over(token);
        }
        ended
    }

    /// To be remembered for some time after its hold.
    fn over(&mut self, token: u64) {
        let Some(known) = self.known.get(&token) else {
            return;
        };
        self.holding.remove(&(known.ends, token));
        let forgotten = known.ends.plus(Ticks::of(Self::KEPT));
        self.over.insert((forgotten, token));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Those whose tokens are held now.
    pub(crate) fn held(&self) -> usize {
        self.holding.len()
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Ticks {
        Ticks::of(Duration::from_secs(seconds))
    }

    fn token(bits: u64) -> Token {
        Token::from_bits(bits)
    }

    fn one() -> Reservations<&'static str> {
        let mut reservations = Reservations::new();
        assert_eq!(reservations.hold(token(1), "five", s(10)), Ok(()));
        reservations
    }

    #[test]
    fn a_reservation_is_settled_once_and_repeats_are_told_so() {
        for stage in [Stage::Committed, Stage::Released] {
            let mut reservations = one();
            assert_eq!(reservations.settle(token(1), stage), Settled::Held("five"));
            for _ in 0..3 {
                assert_eq!(reservations.settle(token(1), stage), Settled::Again);
            }
            let other = match stage {
                Stage::Committed => Stage::Released,
                _ => Stage::Committed,
            };
            assert_eq!(reservations.settle(token(1), other), Settled::Void);
            assert_eq!(reservations.end(s(10_000), 100), Vec::<&str>::new());
            assert!(reservations.is_empty());
        }
        assert_eq!(one().commit(token(2)), Settled::Void);
    }

    #[test]
    fn one_whose_time_is_over_goes_back_once_and_a_late_commit_charges_anew() {
        let mut reservations = one();
        assert_eq!(reservations.end(s(9), 100), Vec::<&str>::new());
        assert_eq!(reservations.held(), 1);
        assert_eq!(reservations.end(s(10), 100), ["five"]);
        assert_eq!(reservations.end(s(11), 100), Vec::<&str>::new());
        assert_eq!(reservations.held(), 0);
        assert_eq!(reservations.commit(token(1)), Settled::Ended("five"));
        assert_eq!(reservations.commit(token(1)), Settled::Again);
        assert_eq!(reservations.end(s(3_609), 100), Vec::<&str>::new());
        assert_eq!(reservations.commit(token(1)), Settled::Again);
        assert_eq!(reservations.end(s(3_610), 100), Vec::<&str>::new());
        assert_eq!(reservations.commit(token(1)), Settled::Void, "forgotten");
    }

    #[test]
    fn what_was_held_is_kept_until_it_is_settled_and_no_longer() {
        let held = std::sync::Arc::new(());
        let mut reservations = Reservations::new();
        for number in 1..=3 {
            let held = std::sync::Arc::clone(&held);
            assert_eq!(reservations.hold(token(number), held, s(10)), Ok(()));
        }
        drop(reservations.release(token(1)));
        assert_eq!(std::sync::Arc::strong_count(&held), 3);
        drop(reservations.end(s(10), 100));
        assert_eq!(std::sync::Arc::strong_count(&held), 3, "for a late commit");
        drop(reservations.commit(token(2)));
        drop(reservations.release(token(3)));
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
        assert_eq!(
            reservations.known.len(),
            3,
            "the settlements are remembered"
        );
    }

    #[test]
    fn those_that_are_over_make_room_and_those_that_are_held_do_not() {
        let mut reservations = Reservations::new();
        let most = Reservations::<u64>::MOST as u64;
        for number in 0..most {
            assert_eq!(reservations.hold(token(number), number, s(10)), Ok(()));
        }
        assert_eq!(reservations.hold(token(most), most, s(10)), Err(Full));
        assert_eq!(reservations.release(token(7)), Settled::Held(7));
        assert_eq!(reservations.hold(token(most), most, s(10)), Ok(()));
        assert_eq!(reservations.hold(token(most + 1), most, s(10)), Err(Full));
        assert_eq!(
            reservations.release(token(7)),
            Settled::Void,
            "it made room"
        );
        assert_eq!(reservations.end(s(10), 10).len(), 10, "a bounded step");
    }
}
