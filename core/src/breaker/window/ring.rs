//! A window of calls: the last so many, exactly.
//!
//! ```text
//!   cursor                                   words, each 23 places
//!   ┌─────────────┬────────────────────┐     ┌─────────────┬──────┬──────┬─────┐
//!   │ generation  │ calls counted (46) │     │ generation  │ slow,│ slow,│  …  │
//!   └─────────────┴────────────────────┘     │             │failed│failed│     │
//!                                            └─────────────┴──────┴──────┴─────┘
//! ```
//!
//! A call takes the next place from the cursor and writes its two bits there, over those
//! of the call that leaves the window. What is of an older generation is taken over by
//! the compare-and-swap that writes.
//!
//! Exact as long as no thread is stopped between its two steps for so long that the
//! others go all the way round: then it writes over a later call's outcome.
//!
//! Cost: two compare-and-swaps on lines that all threads share. Windows of time have
//! shards instead: a last-so-many has none, because the threads would have to agree on
//! what is last. 8 bytes for 23 calls.

use super::super::word::Generation;
use super::{Counted, Kind};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, CachePadded, Ordering};

/// In a word.
const PLACES: u64 = 23;
const PAYLOAD_BITS: u32 = 46;
const PAYLOAD: u64 = (1 << PAYLOAD_BITS) - 1;
const FAILED: u64 = 0b01;
const SLOW: u64 = 0b10;
/// The failed bit of each place.
const EACH_FAILED: u64 = PAYLOAD / 3;

#[derive(Debug)]
pub(super) struct Ring {
    cursor: CachePadded<AtomicU64>,
    words: Box<[AtomicU64]>,
    calls: u64,
}

fn generation_of(word: u64) -> Generation {
    Generation::of_word(word, PAYLOAD_BITS)
}

fn stamped(generation: Generation, payload: u64) -> u64 {
    u64::from(generation.to_bits()) << PAYLOAD_BITS | payload & PAYLOAD
}

impl Ring {
    pub(super) fn new(calls: u32) -> Self {
        let calls = u64::from(calls.max(1));
        let words = (0..calls.div_ceil(PLACES)).map(|_| AtomicU64::new(0));
        Self {
            cursor: CachePadded::new(AtomicU64::new(0)),
            words: words.collect(),
            calls,
        }
    }

    /// Counts a call, and says where; nothing when the generation is over.
    #[inline(never)]
    pub(super) fn count(&self, kind: Kind, generation: Generation) -> Option<u64> {
        let place = self.take_place(generation)?;
        let bits = match kind {
            Kind::Fine => 0,
            Kind::Failed | Kind::FailedLate => FAILED,
            Kind::Slow => SLOW,
            Kind::FailedSlow => FAILED | SLOW,
        };
        self.write(place, generation, |_| bits).then_some(place)
    }

    /// The call at this place has failed, if it is still in the window.
    pub(super) fn failed_late(&self, place: u64, generation: Generation) -> bool {
        // Relaxed: see `take_place`.
        let cursor = self.cursor.load(Ordering::Relaxed);
        let counted = cursor & PAYLOAD;
        generation_of(cursor) == generation
            && counted.saturating_sub(place) <= self.calls
            && self.write(place, generation, |bits| bits | FAILED)
    }

    fn take_place(&self, generation: Generation) -> Option<u64> {
        // Relaxed throughout this file: whoever counted something bad changes the
        // credit's word after it, and whoever sums does so after that.
        let mut seen = self.cursor.load(Ordering::Relaxed);
        loop {
            let held = generation_of(seen);
            let place = if held == generation {
                seen & PAYLOAD
            } else if seen != 0 && held.is_after(generation) {
                return None;
            } else {
                0
            };
            let new = stamped(generation, place + 1);
            match self
                .cursor
                .compare_exchange_weak(seen, new, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(place),
                Err(other) => seen = other,
            }
        }
    }

    /// Writes one place's bits; false when the generation is over.
    fn write(&self, place: u64, generation: Generation, bits: impl Fn(u64) -> u64) -> bool {
        let at = place % self.calls;
        let word = &self.words[(at / PLACES) as usize];
        let shift = at % PLACES * 2;
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let held = generation_of(seen);
            let payload = if held == generation {
                seen & PAYLOAD
            } else if seen != 0 && held.is_after(generation) {
                return false;
            } else {
                0
            };
            let new = bits(payload >> shift & (FAILED | SLOW)) << shift;
            let new = stamped(generation, payload & !((FAILED | SLOW) << shift) | new);
            if planted(Bug::RingOverwrites) {
                word.store(new, Ordering::Relaxed);
                return true;
            }
            match word.compare_exchange_weak(seen, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }

    pub(super) fn sum(&self, generation: Generation) -> Counted {
        let cursor = self.cursor.load(Ordering::Relaxed);
        if generation_of(cursor) != generation {
            return Counted::default();
        }
        let mut counted = Counted {
            calls: (cursor & PAYLOAD).min(self.calls),
            ..Counted::default()
        };
        for word in &self.words {
            let word = word.load(Ordering::Relaxed);
            if generation_of(word) == generation {
                let places = word & PAYLOAD;
                counted.failures += u64::from((places & EACH_FAILED).count_ones());
                counted.slow += u64::from((places & EACH_FAILED << 1).count_ones());
            }
        }
        counted
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FIRST: Generation = Generation::from_bits(1);
    const SECOND: Generation = Generation::from_bits(2);

    #[test]
    fn what_is_counted_is_the_last_so_many_whatever_their_number() {
        let mut random = fastrand::Rng::with_seed(5);
        for calls in [1, 2, 22, 23, 24, 46, 64, 100, 1_024] {
            let ring = Ring::new(calls);
            let mut last = VecDeque::new();
            for _ in 0..3_000 {
                let (failed, slow) = (random.bool(), random.u8(0..4) == 0);
                assert!(ring.count(Kind::of(failed, slow), FIRST).is_some());
                last.push_back((failed, slow));
                if last.len() > calls as usize {
                    last.pop_front();
                }
                let sum = ring.sum(FIRST);
                let of = |pick: fn(&(bool, bool)) -> bool| {
                    last.iter().filter(|call| pick(call)).count() as u64
                };
                assert_eq!(sum.calls, last.len() as u64);
                assert_eq!(sum.failures, of(|call| call.0));
                assert_eq!(sum.slow, of(|call| call.1));
            }
        }
    }

    #[test]
    fn another_generation_begins_with_nothing_and_the_one_before_is_late() {
        let ring = Ring::new(30);
        for _ in 0..30 {
            assert!(ring.count(Kind::FailedSlow, FIRST).is_some());
        }
        assert_eq!(ring.sum(SECOND), Counted::default());
        assert!(ring.count(Kind::Failed, SECOND).is_some());
        assert!(ring.count(Kind::Failed, FIRST).is_none());
        let sum = ring.sum(SECOND);
        assert_eq!((sum.calls, sum.failures, sum.slow), (1, 1, 0));
    }

    #[test]
    fn a_late_failure_is_the_failure_of_its_call_as_long_as_that_is_in_the_window() {
        let ring = Ring::new(3);
        let place = ring.count(Kind::Slow, FIRST).expect("current");
        assert!(ring.failed_late(place, FIRST));
        let sum = ring.sum(FIRST);
        assert_eq!((sum.calls, sum.failures, sum.slow), (1, 1, 1));
        for _ in 0..3 {
            assert!(ring.count(Kind::Fine, FIRST).is_some());
        }
        assert!(!ring.failed_late(place, FIRST));
        assert_eq!(ring.sum(FIRST).failures, 0);
    }
}
