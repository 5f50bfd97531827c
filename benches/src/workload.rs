//! The workloads of the in-process benches, and the loop that times them.
//!
//! Keys and the order in which they are asked for are drawn beforehand. A cache is driven as a plain caller would:
//! `get`, and where the workload says so `insert` after a miss.

use std::{iter::Cycle, slice};

use crate::{
    race::{Run, race},
    subject::{Capacity, Key, Subject, Value},
    zipf::Zipf,
};

/// The exponent of the popularity law, YCSB's.
pub const ZIPF_EXPONENT: f64 = 0.99;
/// Bytes of a value.
pub const VALUE_BYTES: usize = 128;
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// What an entry of the workloads weighs.
pub const ENTRY_BYTES: u16 = 160;
/// Accesses drawn beforehand for each thread; a longer run repeats them.
const DRAWN: usize = 1 << 22;

/// What is asked of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Hits on 64 keys, evenly.
    HitHot64,
    /// Hits on 10 000 resident keys, by popularity.
    HitZipf,
    /// 1 000 000 keys by popularity into room for 100 000, inserting after a miss.
    GetOrInsertZipf,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HitHot64, Self::HitZipf, Self::GetOrInsertZipf];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HitHot64 => "hit_hot64",
            Self::HitZipf => "hit_zipf",
            Self::GetOrInsertZipf => "get_or_insert_zipf",
        }
    }

    fn keys(self) -> u32 {
        match self {
            Self::HitHot64 => 64,
            Self::HitZipf => 10_000,
            Self::GetOrInsertZipf => 1_000_000,
        }
    }

    /// Twice the keys where all shall be resident: sharded caches divide their room.
    fn entries(self) -> usize {
        match self {
            Self::HitHot64 => 1024,
            Self::HitZipf => 20_000,
            Self::GetOrInsertZipf => 100_000,
        }
    }

    fn exponent(self) -> f64 {
        match self {
            Self::HitHot64 => 0.0,
            Self::HitZipf | Self::GetOrInsertZipf => ZIPF_EXPONENT,
        }
    }

    /// Operations that take about as long as one of the slowest workload.
    #[must_use]
    pub fn operations_per_slow_one(self) -> u64 {
        match self {
            Self::HitHot64 | Self::HitZipf => 5,
            Self::GetOrInsertZipf => 1,
        }
    }

    fn inserts(self) -> bool {
        self == Self::GetOrInsertZipf
    }
}

/// A workload with everything drawn that can be drawn before the clock starts.
#[derive(Debug)]
pub struct Plan {
    workload: Workload,
    keys: Vec<Key>,
    /// One sequence of key indexes a thread.
    accesses: Vec<Vec<u32>>,
    value: Value,
}

impl Plan {
    /// Draws a workload for up to `threads` threads.
    #[must_use]
    pub fn new(workload: Workload, threads: usize) -> Self {
        let zipf = Zipf::new(workload.keys(), workload.exponent())
            .expect("every workload has keys and a finite exponent");
        Self {
            workload,
            keys: (0..workload.keys()).map(key).collect(),
            accesses: (1..)
                .take(threads)
                .map(|seed| zipf.ranks(seed).take(DRAWN).collect())
                .collect(),
            value: Value::from_static(&[7; VALUE_BYTES]),
        }
    }

    /// A cache filled for this workload: all keys where only hits are timed,
    /// otherwise one pass over the accesses.
    #[must_use]
    pub fn filled<S: Subject>(&self) -> S {
        let subject = S::build(Capacity {
            entries: self.workload.entries(),
            entry_bytes: ENTRY_BYTES,
        });
        if self.workload.inserts() {
            drive::<S, true>(
                &subject,
                self.accesses[0].iter().cycle(),
                self,
                DRAWN as u64,
            );
        } else {
            for key in &self.keys {
                subject.insert(key.clone(), self.value.clone());
            }
        }
        subject.settle();
        subject
    }

    /// Times `operations` on each of `threads` threads, beginning with the access at
    /// `offset`. A run that begins where the one before ended asks for what a cache
    /// has not just seen; one that begins anew would find it warmed for exactly that.
    ///
    /// # Panics
    /// More threads than the plan was drawn for.
    #[must_use]
    pub fn run<S: Subject>(
        &self,
        subject: &S,
        threads: usize,
        offset: u64,
        operations: u64,
    ) -> Run {
        assert!(threads <= self.accesses.len(), "drawn for fewer threads");
        let start = usize::try_from(offset % DRAWN as u64).expect("below a usize");
        race(threads, operations, |thread| {
            let mut accesses = self.accesses[thread].iter().cycle();
            if let Some(skipped) = start.checked_sub(1) {
                accesses.nth(skipped);
            }
            move || {
                if self.workload.inserts() {
                    drive::<S, true>(subject, accesses, self, operations)
                } else {
                    drive::<S, false>(subject, accesses, self, operations)
                }
            }
        })
    }
}

fn drive<S: Subject, const INSERT: bool>(
    subject: &S,
    mut accesses: Cycle<slice::Iter<'_, u32>>,
    plan: &Plan,
    operations: u64,
) -> u64 {
    let mut hits = 0;
    for _ in 0..operations {
        let Some(&index) = accesses.next() else { break };
        let key = &plan.keys[index as usize];
        if subject.get(key) {
            hits += 1;
        } else if INSERT {
            subject.insert(key.clone(), plan.value.clone());
        }
    }
    hits
}

/// Keys that share most of their bytes, as prefixed keys do.
fn key(index: u32) -> Key {
    format!("{index:0>KEY_BYTES$}").into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;

    /// Holds everything; a lock that cannot be shared would do nothing for a test.
    #[derive(Default)]
    struct Everything {
        inserts: AtomicU64,
        held: HashMap<Key, ()>,
    }

    impl Subject for Everything {
        const NAME: &'static str = "everything";
        const PACKAGE: &'static str = "none";

        fn build(_: Capacity) -> Self {
            let held = (0..100_000).map(|index| (key(index), ())).collect();
            Self {
                held,
                ..Self::default()
            }
        }

        fn get(&self, key: &Key) -> bool {
            self.held.contains_key(key)
        }

        fn insert(&self, _: Key, _: Value) {
            // Relaxed: a count, read after the threads were joined.
            self.inserts.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn keys_are_distinct_and_as_long_as_said() {
        assert_eq!(key(7).len(), KEY_BYTES);
        assert_ne!(key(7), key(70));
    }

    #[test]
    fn hit_workloads_fill_every_key_and_only_hit() {
        let plan = Plan::new(Workload::HitHot64, 2);
        let subject: Everything = plan.filled();
        let run = plan.run(&subject, 2, 0, 1000);
        assert_eq!((run.operations, run.hits), (1000, 2000));
        assert_eq!(subject.inserts.into_inner(), 64);
    }

    #[test]
    fn every_miss_of_the_inserting_workload_inserts() {
        let plan = Plan::new(Workload::GetOrInsertZipf, 1);
        let subject = Everything::build(Capacity {
            entries: 1,
            entry_bytes: 1,
        });
        let run = plan.run(&subject, 1, 0, 5000);
        assert_eq!(run.hits + subject.inserts.into_inner(), 5000);
        assert!(run.hits < 5000);
    }
}
