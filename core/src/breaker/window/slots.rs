//! A window of time: eight slots, and of them a shard for each thread.
//!
//! ```text
//!   shard ──► slot (epoch mod 8) ──► one word for each kind of outcome:
//!
//!   63          46 45          28 27                    0
//!   ┌─────────────┬──────────────┬───────────────────────┐
//!   │ generation  │ lap          │ outcomes              │
//!   └─────────────┴──────────────┴───────────────────────┘
//! ```
//!
//! An *epoch* is time divided by an eighth of the window, a *lap* is that by eight. What
//! has another stamp is of another time and counts as nothing; whoever counts first takes
//! the word over, by the same store or compare-and-swap that counts. So no outcome is lost when a
//! slot comes round, and none of before is counted again. An outcome whose stamp is older
//! than the word's is late and goes nowhere.
//!
//! A kind has a word of its own, so that no count comes near its end: 268 million in
//! one slot of one shard, where it stays. (Packed into one word they would have to be
//! halved at some thousands, and a busy slot would weigh as little as a quiet one.)
//!
//! A word that nobody touched for 2¹⁸ laps, a month of windows of 10 s, or four fewer,
//! is taken for new for as long as those last.
//!
//! The first threads have a shard each, of which they are the only writers, so that they
//! need no locked instruction; those that came later share the last one.
//!
//! Cost: 384 bytes a shard; twice as many shards as cores, 4 to 16. A sum reads 40 words a
//! shard.

use std::time::Duration;

use super::super::policy::millis;
use super::super::word::{Generation, Millis};
use super::{Counted, Kind};
use crate::cache::local::thread_number;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, CachePadded, Ordering};

const PLACES: usize = 8;
const SLOTS: u64 = PLACES as u64;
const KINDS: usize = 5;
const MIN_SHARDS: usize = 4;
const MAX_SHARDS: usize = 16;

const COUNT_BITS: u32 = 28;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const LAP_BITS: u32 = 18;
const LAP: u64 = (1 << LAP_BITS) - 1;
/// Laps that a caller may be late by. What seems to be further ahead is behind: a word
/// that nobody touched for as many laps as there are numbers for.
const LATE: u64 = 4;

type Shard = [[AtomicU64; KINDS]; PLACES];

#[derive(Debug)]
pub(super) struct Slots {
    shards: Box<[CachePadded<Shard>]>,
    /// 2⁶⁴ divided by a slot's milliseconds, rounded up: a multiplication by it is the
    /// division, exactly so for all times that a [`Millis`] holds.
    reciprocal: u64,
}

/// Generation (18) | lap (18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64);

impl Stamp {
    #[inline]
    fn new(generation: Generation, epoch: u64) -> Self {
        Self(u64::from(generation.to_bits()) << LAP_BITS | (epoch / SLOTS) & LAP)
    }

    #[inline]
    fn of_word(word: u64) -> Self {
        Self(word >> COUNT_BITS)
    }

    fn generation(self) -> Generation {
        Generation::of_word(self.0, LAP_BITS)
    }

    /// Whether it is of a later generation, or of a later lap of the same.
    fn is_after(self, other: Self) -> bool {
        if self.generation() != other.generation() {
            return self.generation().is_after(other.generation());
        }
        let ahead = self.0.wrapping_sub(other.0) & LAP;
        ahead != 0 && ahead <= LATE
    }
}

impl Slots {
    pub(super) fn new(window: Duration) -> Self {
        let shard = || {
            let slot = || [(); KINDS].map(|()| AtomicU64::new(0));
            CachePadded::new([(); PLACES].map(|()| slot()))
        };
        let slot = millis(window).div_ceil(SLOTS).max(2);
        Self {
            shards: (0..shards()).map(|_| shard()).collect(),
            reciprocal: u64::MAX / slot + 1,
        }
    }

    /// The number of the slot's time that `now` is in.
    #[inline]
    pub(super) fn epoch(&self, now: Millis) -> u64 {
        let product = u128::from(now.0) * u128::from(self.reciprocal);
        (product >> 64) as u64
    }

    /// Counts a call on this thread's shard; false when it is late.
    #[inline]
    pub(super) fn count(&self, kind: Kind, generation: Generation, now: Millis) -> bool {
        let epoch = self.epoch(now);
        let stamp = Stamp::new(generation, epoch);
        let last = self.shards.len() - 1;
        let thread = thread_number();
        let word = &self.shards[thread.min(last)][(epoch % SLOTS) as usize][kind as usize];
        // Relaxed throughout: a count publishes nothing. Whoever counted something bad
        // changes the credit's word after it, and whoever sums does so after that.
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let held = Stamp::of_word(seen);
            let new = if held == stamp {
                seen + u64::from(seen & COUNT != COUNT)
            } else if seen != 0 && held.is_after(stamp) {
                return false;
            } else if planted(Bug::SlotResetApart) {
                // Emptied in one step, and counted in another.
                word.store(stamp.0 << COUNT_BITS, Ordering::Relaxed);
                word.fetch_add(1, Ordering::Relaxed);
                return true;
            } else {
                stamp.0 << COUNT_BITS | 1
            };
            if thread < last {
                // The only writer of this shard: no locked instruction is needed.
                word.store(new, Ordering::Relaxed);
                return true;
            }
            match word.compare_exchange_weak(seen, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }

    /// All shards' counts of the eight slots that end with `epoch`.
    pub(super) fn sum(&self, generation: Generation, epoch: u64) -> Counted {
        let mut kinds = [0_u64; KINDS];
        for shard in &self.shards {
            for back in 0..SLOTS.min(epoch + 1) {
                let epoch = epoch - back;
                let stamp = Stamp::new(generation, epoch);
                let slot = &shard[(epoch % SLOTS) as usize];
                for (sum, word) in kinds.iter_mut().zip(slot) {
                    // Relaxed: see `count`.
                    let word = word.load(Ordering::Relaxed);
                    if Stamp::of_word(word) == stamp {
                        *sum += word & COUNT;
                    }
                }
            }
        }
        let of = |kind: Kind| kinds[kind as usize];
        let calls = of(Kind::Fine) + of(Kind::Failed) + of(Kind::Slow) + of(Kind::FailedSlow);
        let failures = of(Kind::Failed) + of(Kind::FailedSlow) + of(Kind::FailedLate);
        Counted {
            calls,
            // A late failure may outlive the slot that its call was counted in.
            failures: failures.min(calls),
            slow: of(Kind::Slow) + of(Kind::FailedSlow),
        }
    }
}

/// Twice as many as there are cores; one in a model, so that its threads meet.
fn shards() -> usize {
    if cfg!(millpond_loom) {
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (2 * cores).clamp(MIN_SHARDS, MAX_SHARDS)
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    const FIRST: Generation = Generation::from_bits(1);
    const SECOND: Generation = Generation::from_bits(2);

    fn counted(slots: &Slots, generation: Generation, now: u64) -> (u64, u64, u64) {
        let sum = slots.sum(generation, slots.epoch(Millis(now)));
        (sum.calls, sum.failures, sum.slow)
    }

    #[test]
    fn the_reciprocal_divides_exactly_at_every_edge() {
        for window in [100, 101, 999, 1_000, 10_000, 65_537, 3_600_000_u64] {
            let slots = Slots::new(Duration::from_millis(window));
            let slot = window.div_ceil(SLOTS);
            let last = Millis::END.0 / slot;
            for epoch in [1, 2, 7, 8, 9, 1_000, 99_999, last - 1, last] {
                let begin = epoch * slot;
                assert_eq!(slots.epoch(Millis(begin)), epoch, "{window} at {begin}");
                assert_eq!(slots.epoch(Millis(begin - 1)), epoch - 1);
            }
        }
    }

    #[test]
    fn a_slot_leaves_the_window_when_it_comes_round_and_not_before() {
        let slots = Slots::new(Duration::from_millis(800));
        for kind in [Kind::Fine, Kind::Failed, Kind::Slow, Kind::FailedSlow] {
            assert!(slots.count(kind, FIRST, Millis(99)));
        }
        assert_eq!(counted(&slots, FIRST, 99), (4, 2, 2));
        assert_eq!(counted(&slots, FIRST, 799), (4, 2, 2));
        assert_eq!(counted(&slots, FIRST, 800), (0, 0, 0));
        assert!(slots.count(Kind::Fine, FIRST, Millis(800)));
        assert_eq!(counted(&slots, FIRST, 800), (1, 0, 0));
        assert!(!slots.count(Kind::Fine, FIRST, Millis(0)), "a lap too late");
        assert_eq!(counted(&slots, FIRST, 800), (1, 0, 0));
        // However long nobody came by.
        for laps in [LAP / 2, LAP / 2 + 1, LAP - LATE, 2 * LAP] {
            let now = (1 + laps) * 800;
            assert!(slots.count(Kind::Fine, FIRST, Millis(now)), "{laps} laps");
            assert_eq!(counted(&slots, FIRST, now), (1, 0, 0));
        }
    }

    #[test]
    fn another_generation_begins_with_nothing_and_the_one_before_is_late() {
        let slots = Slots::new(Duration::from_millis(800));
        assert!(slots.count(Kind::Failed, FIRST, Millis(0)));
        assert_eq!(counted(&slots, SECOND, 0), (0, 0, 0));
        assert!(slots.count(Kind::Failed, SECOND, Millis(0)));
        assert!(!slots.count(Kind::Failed, FIRST, Millis(0)));
        assert_eq!(counted(&slots, SECOND, 0), (1, 1, 0));
    }

    #[test]
    fn a_count_at_its_end_stays_there() {
        let slots = Slots::new(Duration::from_secs(10));
        let last = slots.shards.len() - 1;
        let shard = &slots.shards[thread_number().min(last)];
        let stamp = Stamp::new(FIRST, 0);
        shard[0][0].store((stamp.0 << COUNT_BITS) | (COUNT - 1), Ordering::Relaxed);
        for _ in 0..3 {
            assert!(slots.count(Kind::Fine, FIRST, Millis(0)));
        }
        assert_eq!(counted(&slots, FIRST, 0), (COUNT, 0, 0));
    }

    #[test]
    fn no_outcome_is_lost_however_many_threads_count_while_slots_come_round() {
        let slots = Slots::new(Duration::from_millis(800));
        let all = 2 * MAX_SHARDS as u64 * 100;
        for lap in 1..20 {
            let now = Millis(lap * 800);
            std::thread::scope(|scope| {
                for _ in 0..2 * MAX_SHARDS as u64 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            assert!(slots.count(Kind::Failed, FIRST, now));
                        }
                    });
                }
            });
            assert_eq!(counted(&slots, FIRST, now.0), (all, all, 0));
        }
    }
}
