//! Threads that do the same at once, timed together.
//!
//! They are started and prepared before the clock is, and begin by a rendezvous. The
//! time of an operation is the run's, from the first thread's begin to the last one's
//! end, over one thread's operations.

use std::{
    hint,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::stopwatch::Stopwatch;

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
    /// Hits of all threads, or whatever else their work counts.
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

/// Times what `prepare` makes for each of `threads` threads, which does `operations`
/// and counts hits.
///
/// # Panics
/// When one of them does.
pub fn race<W: FnOnce() -> u64>(
    threads: usize,
    operations: u64,
    prepare: impl Fn(usize) -> W + Sync,
) -> Run {
    let arrived = AtomicUsize::new(0);
    let watch = Stopwatch::start();
    let one = |thread: usize| {
        let work = prepare(thread);
        // Spinning, not parked: a thread that must first be woken runs alone at the
        // end, and two threads that take turns measure no contention.
        // SeqCst: a rendezvous outside the measurement, not worth an argument.
        arrived.fetch_add(1, SeqCst);
        while arrived.load(SeqCst) < threads {
            hint::spin_loop();
        }
        let begin = watch.elapsed();
        let hits = work();
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
                .expect("a panic of what is measured is a result of its own")
        }));
        laps
    });
    Run::of(&laps, operations)
}

/// One thread's part of a run, in time since the run was prepared.
struct Lap {
    begin: Duration,
    end: Duration,
    hits: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
