//! Words that are read as they were written together.
//!
//! For what is read on every core and written once in a while, such as a policy:
//! a reader takes no lock, writes nothing, and never waits for a writer that was
//! stopped half-way.
//!
//! Two slots and a turn. `turn & 1` says which slot is current; a writer fills
//! the other one and then moves the turn on. A slot is written again two turns
//! later at the earliest, so what a reader took from it is whole if the turn has
//! not moved meanwhile. If it has, the other slot is complete by now, and the
//! reader takes that.
//!
//! Invariant: a word of turn *n* is only overwritten after turn *n* + 1 was
//! published. Writers must take turns; that is the caller's lock.
//!
//! Cost: a reader makes `N` + 2 loads of lines that nobody writes.

use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Ordering, fence};

#[derive(Debug)]
pub(crate) struct Snapshot<const N: usize> {
    turn: AtomicU64,
    slots: [[AtomicU64; N]; 2],
}

impl<const N: usize> Snapshot<N> {
    pub(crate) fn new(words: [u64; N]) -> Self {
        Self {
            turn: AtomicU64::new(0),
            slots: [words.map(AtomicU64::new), words.map(AtomicU64::new)],
        }
    }

    #[inline]
    pub(crate) fn read(&self) -> [u64; N] {
        loop {
            // Acquire: sees the words that were written before this turn came.
            let turn = self.turn.load(Ordering::Acquire);
            // Relaxed: whether they belong together is asked below.
            let words = self
                .slot(turn)
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            // Pairs with the writer's: whoever saw a word of a later turn sees that
            // the turn moved on before it.
            fence(Ordering::Acquire);
            let whole = self.turn.load(Ordering::Relaxed) == turn;
            if whole || planted(Bug::SnapshotUnchecked) {
                return words;
            }
        }
    }

    /// Writes all words at once, as far as any reader can tell. The caller sees to
    /// it that nobody else writes meanwhile.
    pub(crate) fn write(&self, words: [u64; N]) {
        // Relaxed: writers are ordered by the caller's lock.
        let next = self.turn.load(Ordering::Relaxed) + 1;
        // Before the words: pairs with the reader's.
        fence(Ordering::Release);
        for (place, word) in self.slot(next).iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        // Release: the words, for whoever sees the turn.
        self.turn.store(next, Ordering::Release);
    }

    fn slot(&self, turn: u64) -> &[AtomicU64; N] {
        &self.slots[usize::from(turn & 1 == 1)]
    }
}
