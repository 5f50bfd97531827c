//! How many failures or slow calls may still come before it is worth a look.
//!
//! ```text
//!   63          46 45          28 27        16 15                   0
//!   ┌─────────────┬──────────────┬────────────┬──────────────────────┐
//!   │ generation  │ epoch        │ turn       │ left                 │
//!   └─────────────┴──────────────┴────────────┴──────────────────────┘
//! ```
//!
//! Whoever sums up and finds the thresholds not met also knows how many more it takes
//! at least ([`Thresholds::needed`]): that many are *left*, and each spends one. With
//! none left, the next sums up. So an outage that does not trip costs a sum once in a
//! while, and a healthy window one a slot's time, and still nobody misses the call at
//! which a threshold is met.
//!
//! Invariant: of all who counted, the last to change this word before it is granted
//! anew has seen the others' counts. Each first counts and then changes the word, the
//! one who sums changes it before it sums, and what is granted is void if anybody changed
//! the word meanwhile: he will sum up, or has been left to.
//!
//! An epoch is a slot's number: when one begins, calls have left the window, and what
//! is left says nothing any more. Who is late by a slot looks as the others do. (A word
//! that nobody touched for 2¹⁸ epochs, or up to eight fewer, is taken for later by as
//! many: 3 days in windows of 10 s. The look then leaves those slots out.)
//!
//! [`Thresholds::needed`]: super::super::policy::Thresholds::needed

use super::super::word::Generation;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Credit(AtomicU64);

const LEFT: u64 = (1 << 16) - 1;
const TURN: u64 = 1 << 16;
const TURN_MASK: u64 = ((1 << 12) - 1) << 16;
const EPOCH_AT: u32 = 28;
const EPOCH: u64 = (1 << 18) - 1;
/// Slots that a caller may be late by.
const LATE: u64 = 8;
const GENERATION_AT: u32 = EPOCH_AT + 18;

/// The right to sum up, and the word it was had at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    word: u64,
    epoch: u64,
}

impl Look {
    /// The newest that anybody has reported in.
    pub(super) fn epoch(self) -> u64 {
        self.epoch
    }
}

impl Credit {
    pub(super) fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Spends one, by whoever has counted something bad. If none was left, the caller is
    /// to sum up.
    pub(super) fn spend(&self, generation: Generation, epoch: u64) -> Option<Look> {
        // Relaxed: the compare-and-swap reads it again.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let of = Generation::of_word(seen, GENERATION_AT);
            if of.is_after(generation) {
                return None; // late: nothing of this generation counts any more
            }
            let ahead = (seen >> EPOCH_AT).wrapping_sub(epoch) & EPOCH;
            let same = of == generation && ahead <= LATE;
            let epoch = if same { epoch + ahead } else { epoch };
            let left = seen & LEFT;
            let valid = same && (ahead > 0 || seen >> EPOCH_AT & EPOCH == epoch & EPOCH);
            let new = if valid && left > 1 {
                seen - 1
            } else {
                let stamp =
                    u64::from(generation.to_bits()) << GENERATION_AT | (epoch & EPOCH) << EPOCH_AT;
                stamp | seen.wrapping_add(TURN) & TURN_MASK
            };
            // Release: what the caller counted is seen by whoever changes the word next.
            // Acquire: and it sees what those before it counted.
            match self
                .0
                .compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if valid && left > 1 => return None,
                Ok(_) => return Some(Look { word: new, epoch }),
                Err(other) => seen = other,
            }
        }
    }

    /// The thresholds cannot be met before so many more are spent.
    pub(super) fn grant(&self, look: Look, needed: u64) {
        let left = needed.min(LEFT);
        let new = look.word & !LEFT | left;
        if planted(Bug::CreditUnchecked) {
            self.0.store(new, Ordering::Relaxed);
            return;
        }
        // Release, with `spend`'s Acquire: a count that this sum saw stays behind it.
        // Failed: somebody has counted since, and sums up.
        let _ = self
            .0
            .compare_exchange(look.word, new, Ordering::Release, Ordering::Relaxed);
    }

    /// What is left says nothing any more.
    pub(super) fn void(&self) {
        // AcqRel: whoever spends next sees the thresholds that were set before.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                Some(word & !(LEFT | TURN_MASK) | word.wrapping_add(TURN) & TURN_MASK)
            });
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    const FIRST: Generation = Generation::from_bits(1);
    const SECOND: Generation = Generation::from_bits(2);

    #[test]
    fn as_many_as_are_needed_pass_before_the_next_one_looks() {
        let credit = Credit::none();
        let look = credit.spend(FIRST, 5).expect("nothing was granted");
        credit.grant(look, 3);
        assert!(credit.spend(FIRST, 5).is_none());
        assert!(credit.spend(FIRST, 5).is_none());
        assert!(credit.spend(FIRST, 5).is_some());
        assert!(credit.spend(FIRST, 5).is_some(), "nobody has granted");
    }

    #[test]
    fn a_new_slot_a_new_generation_and_other_thresholds_are_each_worth_a_look() {
        let granted = || {
            let credit = Credit::none();
            let look = credit.spend(FIRST, 5).expect("nothing was granted");
            credit.grant(look, 1_000_000);
            assert!(credit.spend(FIRST, 5).is_none());
            credit
        };
        assert!(granted().spend(FIRST, 6).is_some());
        assert!(granted().spend(SECOND, 5).is_some());
        let credit = granted();
        credit.void();
        assert!(credit.spend(FIRST, 5).is_some());
    }

    #[test]
    fn who_is_late_by_a_slot_looks_as_the_others_do_and_by_a_generation_not_at_all() {
        let credit = Credit::none();
        let look = credit.spend(SECOND, 6).expect("nothing was granted");
        assert_eq!(look.epoch(), 6);
        assert_eq!(credit.spend(SECOND, 5).map(Look::epoch), Some(6));
        assert!(credit.spend(FIRST, 6).is_none());
        // Round the end of the epochs that are kept.
        let credit = Credit::none();
        let end = 1 << 18;
        assert!(credit.spend(SECOND, end).is_some());
        assert_eq!(credit.spend(SECOND, end - 1).map(Look::epoch), Some(end));
    }

    #[test]
    fn what_is_granted_is_void_when_somebody_counted_meanwhile() {
        let credit = Credit::none();
        let first = credit.spend(FIRST, 5).expect("nothing was granted");
        let second = credit.spend(FIRST, 5).expect("nothing was granted");
        credit.grant(first, 100);
        assert!(credit.spend(FIRST, 5).is_some(), "the second may have seen");
        credit.grant(second, 100);
        assert!(credit.spend(FIRST, 5).is_some(), "nor does that one count");
    }
}
