//! The workloads of the in-process benches, and the loop that times them.
//!
//! Keys and the order in which they are asked for are drawn beforehand; threads
//! are started before the clock is. A cache is driven as a plain caller would:
//! `get`, and where the workload says so `insert` after a miss.

use std::{
    hint,
    iter::Cycle,
    slice,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::{
    stopwatch::Stopwatch,
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

/// What one timed run found.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From the first thread's begin to the last one's end.
    pub elapsed: Duration,
    /// The share of `elapsed` in which all threads were at it. What is far from 1 was
    /// measured with less contention than the number of threads says.
    pub overlap: f64,
    /// Operations of each thread.
    pub operations: u64,
    /// Hits of all threads.
    pub hits: u64,
}

impl Run {
    fn of(laps: &[Lap], operations: u64) -> Self {
        let begins = || laps.iter().map(|lap| lap.begin);
        let ends = || laps.iter().map(|lap| lap.end);
        let between = |begin: Option<Duration>, end: Option<Duration>| {
            end.unwrap_or_default()
                .saturating_sub(begin.unwrap_or_default())
        };
        let elapsed = between(begins().min(), ends().max());
        let shared = between(begins().max(), ends().min());
        Self {
            elapsed,
            overlap: shared.as_secs_f64() / elapsed.as_secs_f64(),
            operations,
            hits: laps.iter().map(|lap| lap.hits).sum(),
        }
    }

    /// Nanoseconds an operation takes its thread.
    #[must_use]
    pub fn nanos_per_operation(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e9 / self.operations as f64
    }
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
        let arrived = AtomicUsize::new(0);
        let watch = Stopwatch::start();
        let start = usize::try_from(offset % DRAWN as u64).expect("below a usize");
        let one = |thread: usize| {
            let mut accesses = self.accesses[thread].iter().cycle();
            if let Some(skipped) = start.checked_sub(1) {
                accesses.nth(skipped);
            }
            // Spinning, not parked: a thread that must first be woken runs alone at the
            // end, and two threads that take turns measure no contention.
            // SeqCst: a rendezvous outside the measurement, not worth an argument.
            arrived.fetch_add(1, SeqCst);
            while arrived.load(SeqCst) < threads {
                hint::spin_loop();
            }
            let begin = watch.elapsed();
            let hits = if self.workload.inserts() {
                drive::<S, true>(subject, accesses, self, operations)
            } else {
                drive::<S, false>(subject, accesses, self, operations)
            };
            Lap {
                begin,
                end: watch.elapsed(),
                hits,
            }
        };
        let laps = thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map(|thread| scope.spawn(move || one(thread)))
                .collect();
            let mut laps = vec![one(0)];
            laps.extend(others.into_iter().map(|other| {
                other
                    .join()
                    .expect("a panic of the cache is a result of its own")
            }));
            laps
        });
        Run::of(&laps, operations)
    }
}

/// One thread's part of a run, in time since the run was prepared.
struct Lap {
    begin: Duration,
    end: Duration,
    hits: u64,
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
    fn a_run_lasts_from_the_first_begin_to_the_last_end_and_tells_what_was_shared() {
        let lap = |begin, end| Lap {
            begin: Duration::from_millis(begin),
            end: Duration::from_millis(end),
            hits: 1,
        };
        let run = Run::of(&[lap(0, 80), lap(20, 100)], 10);
        assert_eq!((run.elapsed, run.hits), (Duration::from_millis(100), 2));
        assert!((run.overlap - 0.6).abs() < 1e-9, "overlap {}", run.overlap);
        let apart = Run::of(&[lap(0, 40), lap(60, 100)], 10);
        assert!(apart.overlap.abs() < 1e-9, "overlap {}", apart.overlap);
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
