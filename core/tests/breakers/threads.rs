//! Many threads at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond_core::breaker::{Outcome, Policy, State};

use crate::rig::{FAST, Rig, by_count, by_time};

const THREADS: usize = 4;

fn at_once(act: impl Fn(usize) + Sync) {
    let (act, begin) = (&act, &Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                begin.wait();
                act(thread);
            });
        }
    });
}

#[test]
fn failures_of_many_threads_open_it_once_and_at_the_threshold() {
    for window in [by_count().window, by_time().window] {
        let policy = Policy {
            window,
            minimum_calls: 20,
            failure_rate: 100,
            ..by_count()
        };
        for _ in 0..200 {
            let rig = Rig::new(policy);
            let tickets: Vec<_> = (0..20).map(|_| rig.ticket()).collect();
            let first = rig.standing().generation.to_bits();
            at_once(|thread| {
                for ticket in tickets.iter().skip(thread).step_by(THREADS) {
                    assert!(rig.settle(*ticket, Outcome::Failure, FAST));
                }
            });
            let standing = rig.standing();
            assert_eq!((standing.state, standing.opens), (State::Open, 1));
            assert_eq!(standing.generation.to_bits(), first + 1);
        }
    }
}

#[test]
fn many_threads_at_the_deadline_are_as_many_probes_as_there_are() {
    for _ in 0..200 {
        let rig = Rig::due(by_time());
        let admitted = AtomicUsize::new(0);
        at_once(|_| {
            for _ in 0..3 {
                if rig.breaker.issue(rig.clock.now()).is_ok() {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        assert_eq!(admitted.into_inner(), 3);
    }
}
