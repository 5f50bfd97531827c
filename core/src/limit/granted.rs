//! Tokens in the hands of a process, spent without asking anybody.
//!
//! ```text
//!   63            32 31             0
//!   ┌───────────────┬────────────────┐
//!   │ deadline, ms  │ tokens left    │
//!   └───────────────┴────────────────┘
//! ```
//!
//! Whoever grants has debited its bucket before: what is spent here was admitted
//! there. Tokens live to one deadline, counted in whole milliseconds of the clock the
//! holder was made with; a process that was stopped beyond it finds nothing. A later
//! grant is added to what is left and renews all of it.
//!
//! Reports are cumulative since the beginning ([`Report`]), so one that is lost, sent
//! twice or overtaken harms nothing. Used is what was granted less what is left and
//! what was returned; tokens that expire here count as used, as they do for whoever
//! granted them, which hears no more of them.
//!
//! Cost: spending is the coarse clock, one load and one compare-and-swap; a refusal
//! writes nothing.

use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// The tokens that one process holds of one bucket.
#[derive(Debug)]
pub struct Granted {
    word: AtomicU64,
    origin: Time,
    clock: Clock,
    totals: Mutex<Totals>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    granted: u64,
    returned: u64,
}

/// What became of all tokens that were ever granted, as it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Spent, or held beyond their deadline.
    pub used: u64,
    /// Handed back.
    pub returned: u64,
}

/// Tokens that can be held at once.
const MOST: u64 = u32::MAX as u64;

const fn word(deadline: u64, tokens: u64) -> u64 {
    deadline << 32 | tokens
}

const fn deadline(word: u64) -> u64 {
    word >> 32
}

const fn tokens(word: u64) -> u64 {
    word & MOST
}

impl Granted {
    /// None, on this clock.
    #[must_use]
    pub fn none(clock: Clock) -> Self {
        Self {
            word: AtomicU64::new(0),
            origin: clock.now(),
            clock,
            totals: Mutex::new(Totals::default()),
        }
    }

    /// Whole milliseconds since the origin; 49 days of them fit, after which nothing
    /// is granted any more and whoever asks makes a new holder.
    fn now(&self) -> u64 {
        let elapsed = self.clock.now().since(self.origin).as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    /// Spends `cost` tokens. How many are left, or `None` when there are fewer than
    /// that or their time is over.
    #[inline]
    pub fn spend(&self, cost: u32) -> Option<u32> {
        let cost = u64::from(cost);
        let now = self.now();
        // Relaxed, here and below: the word alone counts; nothing is published with it.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let expired = now >= deadline(seen) && !planted(Bug::ExpiredSpent);
            if tokens(seen) < cost || expired {
                return None;
            }
            match self.word.compare_exchange_weak(
                seen,
                seen - cost,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let left = tokens(seen) - cost;
                    return Some(u32::try_from(left).unwrap_or(u32::MAX));
                }
                Err(other) => seen = other,
            }
        }
    }

    /// Tokens that could be spent now.
    #[must_use]
    pub fn left(&self) -> u32 {
        let seen = self.word.load(Ordering::Relaxed);
        if self.now() >= deadline(seen) {
            return 0;
        }
        u32::try_from(tokens(seen)).unwrap_or(u32::MAX)
    }

    /// Adds a grant, asked for at `asked`, and renews what is left to `lives` after
    /// that: what the reply took to come counts against it.
    ///
    /// What expired before is gone and is not revived. What would be too many to hold
    /// counts as used.
    pub fn add(&self, grant: u32, asked: Time, lives: Duration) {
        let end = asked.after(lives).since(self.origin).as_millis();
        let Ok(end) = u32::try_from(end) else {
            return;
        };
        let mut totals = self.totals.lock();
        totals.granted += u64::from(grant);
        let now = self.now();
        let renewed = |seen: u64| {
            let left = if now >= deadline(seen) && !planted(Bug::ExpiredSpent) {
                0
            } else {
                tokens(seen)
            };
            let held = (left + u64::from(grant)).min(MOST);
            word(deadline(seen).max(u64::from(end)), held)
        };
        if planted(Bug::GrantOverwrites) {
            let seen = self.word.load(Ordering::Relaxed);
            self.word.store(renewed(seen), Ordering::Relaxed);
            return;
        }
        let update = |seen| Some(renewed(seen));
        let _updated = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Takes up to `count` tokens out to hand them back; counted in the next report.
    pub fn take_back(&self, count: u32) -> u32 {
        let mut totals = self.totals.lock();
        let now = self.now();
        let mut taken = 0;
        let update = |seen: u64| {
            taken = if now >= deadline(seen) {
                0
            } else {
                tokens(seen).min(u64::from(count))
            };
            Some(seen - taken)
        };
        let _updated = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        totals.returned += taken;
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    /// What to tell whoever granted.
    #[must_use]
    pub fn report(&self) -> Report {
        let totals = self.totals.lock();
        let seen = self.word.load(Ordering::Relaxed);
        let left = if self.now() >= deadline(seen) {
            0
        } else {
            tokens(seen)
        };
        Report {
            used: totals.granted.saturating_sub(totals.returned + left),
            returned: totals.returned,
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn holder() -> (Granted, ManualClock) {
        let clock = ManualClock::starting_at(Time::ZERO.after(100 * SECOND));
        (Granted::none(Clock::Manual(clock.clone())), clock)
    }

    fn report(used: u64, returned: u64) -> Report {
        Report { used, returned }
    }

    #[test]
    fn what_is_granted_is_spent_and_no_more() {
        let (granted, clock) = holder();
        assert_eq!(granted.spend(1), None);
        granted.add(5, clock.now(), SECOND);
        assert_eq!(granted.spend(2), Some(3));
        assert_eq!(granted.spend(4), None, "all or none");
        assert_eq!(granted.spend(0), Some(3));
        assert_eq!(granted.report(), report(2, 0));
        granted.add(5, clock.now(), SECOND);
        assert_eq!(granted.spend(8), Some(0));
        assert_eq!(granted.spend(1), None);
        assert_eq!(granted.report(), report(10, 0));
    }

    #[test]
    fn a_process_that_slept_finds_nothing() {
        let (granted, clock) = holder();
        granted.add(5, clock.now(), SECOND);
        clock.advance(SECOND);
        assert_eq!((granted.spend(1), granted.left()), (None, 0));
        assert_eq!(granted.take_back(5), 0);
        assert_eq!(granted.report(), report(5, 0));
        granted.add(3, clock.now(), SECOND);
        assert_eq!(granted.left(), 3, "what was gone stays gone");
        assert_eq!(granted.report(), report(5, 0));
    }

    #[test]
    fn a_grant_renews_what_is_left_from_when_it_was_asked_for() {
        let (granted, clock) = holder();
        granted.add(5, clock.now(), SECOND);
        let asked = clock.now();
        clock.advance(SECOND / 2);
        granted.add(5, asked, SECOND + SECOND / 4);
        clock.advance(SECOND / 2);
        assert_eq!(granted.left(), 10);
        clock.advance(SECOND / 4);
        assert_eq!(granted.left(), 0);
    }

    #[test]
    fn what_is_handed_back_is_reported_once() {
        let (granted, clock) = holder();
        granted.add(5, clock.now(), SECOND);
        assert_eq!(granted.spend(1), Some(4));
        assert_eq!(granted.take_back(3), 3);
        assert_eq!(granted.take_back(3), 1);
        assert_eq!(granted.report(), report(1, 4));
        clock.advance(SECOND);
        assert_eq!(granted.report(), report(1, 4));
    }
}
