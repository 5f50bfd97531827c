//! Breakers: who trips, who probes, and what is counted meanwhile.
#![cfg(millpond_loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use millpond_core::Entropy;
use millpond_core::breaker::{Breaker, Outcome, Policy, Probe, State, Ticket, Window};
use millpond_core::clock::Time;
use millpond_loom_tests::explore;

const SECOND: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(1);

fn policy(window: Window) -> Policy {
    Policy {
        window,
        minimum_calls: 2,
        failure_rate: 100,
        probes: 2,
        jitter: 0.0,
        ..Policy::default()
    }
}

fn by_time() -> Policy {
    policy(Window::Time(8 * SECOND))
}

fn by_count() -> Policy {
    policy(Window::Count(4))
}

fn at(seconds: u32) -> Time {
    Time::ZERO.after(seconds * SECOND)
}

fn closed(policy: Policy) -> Arc<Breaker> {
    Arc::new(Breaker::new(policy, Time::ZERO, Entropy::Fixed(0.0)).expect("valid"))
}

/// One that opened at the first second, and may be tried from the sixth on.
fn open(policy: Policy) -> Arc<Breaker> {
    let breaker = closed(policy);
    for _ in 0..2 {
        let ticket = breaker.issue(at(1)).expect("closed");
        assert!(fail(&breaker, ticket, 1));
    }
    assert_eq!(breaker.standing(at(1)).state, State::Open);
    breaker
}

fn fail(breaker: &Breaker, ticket: Ticket, seconds: u32) -> bool {
    breaker.settle(ticket, Outcome::Failure, FAST, at(seconds))
}

/// Runs both at the same time.
fn both<R: Send + 'static, S>(
    breaker: &Arc<Breaker>,
    there: impl FnOnce(&Breaker) -> R + Send + 'static,
    here: impl FnOnce(&Breaker) -> S,
) -> (R, S) {
    let other = Arc::clone(breaker);
    let thread = thread::spawn(move || there(&other));
    let here = here(breaker);
    (thread.join().expect("no panic"), here)
}

#[test]
fn of_two_failures_at_the_threshold_one_trips() {
    explore(|| {
        let breaker = closed(by_time());
        let tickets = [(); 3].map(|()| breaker.issue(at(1)).expect("closed"));
        assert!(fail(&breaker, tickets[0], 1));
        let [_, first, second] = tickets;
        both(
            &breaker,
            move |it| fail(it, first, 1),
            |it| fail(it, second, 1),
        );
        let standing = breaker.standing(at(1));
        assert_eq!((standing.state, standing.opens), (State::Open, 1));
    });
}

#[test]
fn whoever_counts_last_sees_what_the_other_counted() {
    explore(|| {
        let breaker = closed(Policy {
            minimum_calls: 3,
            ..by_time()
        });
        let tickets = [(); 3].map(|()| breaker.issue(at(1)).expect("closed"));
        let [first, second, third] = tickets;
        both(
            &breaker,
            move |it| fail(it, first, 1),
            |it| fail(it, second, 1),
        );
        assert!(fail(&breaker, third, 1));
        assert_eq!(breaker.standing(at(1)).state, State::Open, "3 of 3");
    });
}

#[test]
fn two_outcomes_in_one_word_of_the_ring_are_both_kept() {
    explore(|| {
        let breaker = closed(by_count());
        let tickets = [(); 2].map(|()| breaker.issue(at(1)).expect("closed"));
        let [first, second] = tickets;
        both(
            &breaker,
            move |it| fail(it, first, 1),
            |it| fail(it, second, 1),
        );
        assert_eq!(breaker.standing(at(1)).state, State::Open, "2 of 2");
    });
}

#[test]
fn a_slot_that_comes_round_loses_no_outcome_and_adds_none() {
    explore(|| {
        let breaker = closed(Policy {
            minimum_calls: 100,
            ..by_time()
        });
        let tickets = [(); 4].map(|()| breaker.issue(at(1)).expect("closed"));
        let [before, also_before, first, second] = tickets;
        assert!(fail(&breaker, before, 1) && fail(&breaker, also_before, 1));
        // The same slot, a lap later.
        both(
            &breaker,
            move |it| fail(it, first, 9),
            |it| fail(it, second, 9),
        );
        assert_eq!(breaker.standing(at(9)).counted.failures, 2);
    });
}

#[test]
fn two_callers_at_the_deadline_are_no_more_probes_than_there_are() {
    explore(|| {
        let breaker = open(Policy {
            probes: 1,
            ..by_time()
        });
        let (there, here) = both(&breaker, |it| it.issue(at(6)), |it| it.issue(at(6)));
        assert!(there.is_ok() != here.is_ok(), "one of them");
        let standing = breaker.standing(at(6));
        assert_eq!((standing.state, standing.permits), (State::HalfOpen, 0));
    });
}

#[test]
fn a_dead_probers_permits_return_with_the_generation() {
    explore(|| {
        let breaker = open(by_time());
        let dead = [(); 2].map(|()| breaker.issue(at(6)).expect("a probe"));
        let (there, here) = both(
            &breaker,
            |it| it.issue(at(36)),
            |it| {
                let late = dead.map(|ticket| fail(it, ticket, 35));
                (late, it.issue(at(36)))
            },
        );
        let (late, here) = here;
        let standing = breaker.standing(at(36));
        if standing.opens == 1 {
            assert!(there.is_ok() && here.is_ok(), "both permits are back");
            assert_eq!((standing.state, standing.permits), (State::HalfOpen, 0));
        } else {
            assert!(late[0], "the first decided before the deadline");
        }
    });
}

#[test]
fn a_late_outcome_changes_nothing() {
    explore(|| {
        let breaker = closed(Policy {
            probes: 1,
            ..by_count()
        });
        let tickets = [(); 4].map(|()| breaker.issue(at(1)).expect("closed"));
        let [first, second, third, fourth] = tickets;
        let (late, tried) = both(
            &breaker,
            move |it| [fail(it, third, 6), fail(it, fourth, 6)],
            |it| {
                fail(it, first, 1);
                fail(it, second, 1);
                let probe = it.issue(at(20)).expect("the first past the deadline");
                it.settle(probe, Outcome::Success, FAST, at(20));
                probe.probe != Probe::NONE
            },
        );
        if !tried {
            return; // the other had begun to count, and so opens it later
        }
        let standing = breaker.standing(at(20));
        assert_eq!(standing.state, State::Closed, "{late:?}");
        assert_eq!(standing.counted.calls, 0, "{late:?}");
    });
}

#[test]
fn an_ignored_probes_permit_comes_back_once() {
    explore(|| {
        let breaker = open(by_time());
        let probe = breaker.issue(at(6)).expect("a probe");
        let ignore = move |it: &Breaker| it.settle(probe, Outcome::Ignored, FAST, at(6));
        let (there, here) = both(&breaker, ignore, ignore);
        assert!(there != here, "one of them");
        assert_eq!(breaker.standing(at(6)).permits, 2);
    });
}

#[test]
fn who_waits_for_a_change_is_told_of_one_that_comes_meanwhile() {
    explore(|| {
        let breaker = closed(by_time());
        let seen = breaker.changes();
        let (now, ()) = both(
            &breaker,
            move |it| loom::future::block_on(it.changed(seen)),
            |it| it.force(None),
        );
        assert!(now > seen);
    });
}
