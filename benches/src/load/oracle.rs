//! Whether a read was older than an invalidation allows.
//!
//! Each key has a generation, which only grows. A writer takes the next one, makes it
//! the truth, invalidates, and when that has returned raises the key's floor to it. A
//! reader notes the floor before it asks: what it gets must not be of a lower
//! generation, whoever loaded it and whenever that began.
//!
//! Two writers of one key must take turns from truth to floor: of two that set a value
//! either may come last, and nobody could say which is old.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The truth about every key, and how old a read of it may be.
// SeqCst: what a reader notes and what a writer raises must be in one order with the
// cache's own, and this is not what is measured.
#[derive(Debug)]
pub struct Oracle {
    truth: Vec<AtomicU64>,
    floor: Vec<AtomicU64>,
    old_reads: AtomicU64,
    reads: AtomicU64,
}

/// What a reader noted before it asked.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Noted {
    key: usize,
    floor: u64,
}

impl Oracle {
    /// Every key at generation 0.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let zeros = || (0..keys).map(|_| AtomicU64::new(0)).collect();
        Self {
            truth: zeros(),
            floor: zeros(),
            old_reads: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }
    }

    /// What the origin answers now.
    #[must_use]
    pub fn truth(&self, key: usize) -> u64 {
        self.truth[key].load(SeqCst)
    }

    /// Makes the next generation the truth; returns it.
    pub fn write(&self, key: usize) -> u64 {
        self.truth[key].fetch_add(1, SeqCst) + 1
    }

    /// An invalidation has returned that began after `generation` was the truth.
    pub fn invalidated(&self, key: usize, generation: u64) {
        self.floor[key].fetch_max(generation, SeqCst);
    }

    /// Before a read.
    pub fn note(&self, key: usize) -> Noted {
        let floor = self.floor[key].load(SeqCst);
        Noted { key, floor }
    }

    /// After a read that got `generation`; whether it was allowed.
    pub fn check(&self, noted: Noted, generation: u64) -> bool {
        self.reads.fetch_add(1, SeqCst);
        // Never ahead of the truth either: that would be another key's value.
        let allowed = (noted.floor..=self.truth(noted.key)).contains(&generation);
        if !allowed {
            self.old_reads.fetch_add(1, SeqCst);
        }
        allowed
    }

    /// Reads that were checked.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(SeqCst)
    }

    /// Those that were not allowed.
    #[must_use]
    pub fn old_reads(&self) -> u64 {
        self.old_reads.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it was first given, whatever is invalidated.
    #[derive(Default)]
    struct Forgetless(Option<u64>);

    impl Forgetless {
        fn get(&mut self, load: impl FnOnce() -> u64) -> u64 {
            *self.0.get_or_insert_with(load)
        }
    }

    #[test]
    fn a_cache_that_ignores_an_invalidation_is_noticed() {
        let (oracle, mut cache) = (Oracle::new(1), Forgetless::default());
        let before = oracle.note(0);
        let got = cache.get(|| oracle.truth(0));
        assert!(oracle.check(before, got));

        let generation = oracle.write(0);
        let during = oracle.note(0);
        let got = cache.get(|| oracle.truth(0));
        assert!(
            oracle.check(during, got),
            "not yet invalidated: both will do"
        );

        oracle.invalidated(0, generation);
        let after = oracle.note(0);
        let got = cache.get(|| oracle.truth(0));
        assert!(
            !oracle.check(after, got),
            "the old value, after it returned"
        );
        assert_eq!((oracle.reads(), oracle.old_reads()), (3, 1));
    }

    #[test]
    fn a_reader_that_asked_before_may_still_get_the_old_value() {
        let oracle = Oracle::new(2);
        let early = oracle.note(1);
        let generation = oracle.write(1);
        oracle.invalidated(1, generation);
        assert!(oracle.check(early, 0));
        assert!(!oracle.check(oracle.note(1), 0));
        assert!(oracle.check(oracle.note(1), generation));
        assert!(
            !oracle.check(oracle.note(0), 9),
            "a generation that never was"
        );
    }
}
