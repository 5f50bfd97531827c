//! Half-open: who may try, and what decides.

use std::time::Duration;

use millpond_core::breaker::{Outcome, Policy, State};

use crate::rig::{FAST, Rig, SECOND, by_time};

use Outcome::{Failure, Ignored, Success};

fn five_probes() -> Policy {
    Policy {
        probes: 5,
        failure_rate: 40,
        ..by_time()
    }
}

#[test]
fn a_trial_has_as_many_probes_as_the_policy_says() {
    let rig = Rig::due(by_time());
    let _out: Vec<_> = (0..3).map(|_| rig.admit().expect("a probe")).collect();
    let refusal = rig.refusal();
    assert_eq!(refusal.state, State::HalfOpen);
    assert_eq!(refusal.retry_after, Some(Duration::from_millis(100)));
}

#[test]
fn a_trial_is_decided_as_soon_as_nothing_can_change_it() {
    let rows: &[(&[Outcome], State)] = &[
        (&[Failure], State::HalfOpen),
        (&[Failure, Failure], State::Open),
        (&[Success, Success, Success], State::HalfOpen),
        (&[Success, Success, Success, Success], State::Closed),
        (&[Failure, Success, Success, Success], State::HalfOpen),
        (
            &[Failure, Success, Success, Success, Success],
            State::Closed,
        ),
        (&[Success, Success, Success, Failure], State::HalfOpen),
        (&[Success, Success, Success, Failure, Failure], State::Open),
    ];
    for (outcomes, expected) in rows {
        let rig = Rig::due(five_probes());
        for outcome in *outcomes {
            rig.call(1, *outcome, FAST);
        }
        assert_eq!(rig.state(), *expected, "{outcomes:?}");
    }
}

#[test]
fn a_trial_of_slow_answers_fails() {
    let rig = Rig::due(by_time());
    rig.call(2, Success, SECOND);
    assert_eq!(rig.state(), State::HalfOpen, "2 of 3 are less than 80 %");
    rig.call(1, Success, SECOND);
    assert_eq!(rig.state(), State::Open);
}

#[test]
fn an_ignored_probe_and_a_dropped_one_give_their_permits_back() {
    let rig = Rig::due(by_time());
    for round in 0..10 {
        rig.call(3, Ignored, FAST);
        for _ in 0..3 {
            drop(rig.admit().expect("a probe"));
        }
        assert_eq!(rig.standing().permits, 3, "round {round}");
    }
    assert_eq!(rig.state(), State::HalfOpen);
    let generation = rig.standing().generation;
    rig.call(2, Success, FAST);
    assert_eq!(rig.state(), State::Closed);
    assert_ne!(rig.standing().generation, generation);
}

#[test]
fn a_probe_is_settled_once_however_often_it_is_reported() {
    let rig = Rig::due(five_probes());
    let (first, second) = (rig.ticket(), rig.ticket());
    assert!(rig.settle(first, Ignored, FAST));
    assert!(!rig.settle(first, Ignored, FAST));
    assert!(!rig.settle(first, Failure, FAST));
    assert_eq!(rig.standing().permits, 4);
    assert!(rig.settle(second, Failure, FAST));
    assert!(!rig.settle(second, Failure, FAST), "40 % would be met");
    assert_eq!(rig.state(), State::HalfOpen);
    let third = rig.ticket();
    assert_ne!(third.probe, first.probe, "a number is not given twice");
}

#[test]
fn probes_that_are_never_reported_come_back_with_the_next_trial() {
    let rig = Rig::due(by_time());
    let dead: Vec<_> = (0..3).map(|_| rig.ticket()).collect();
    let first = rig.standing();
    rig.clock.advance(by_time().half_open_timeout - FAST);
    assert_eq!(rig.refusal().retry_after, Some(FAST));
    rig.clock.advance(FAST);
    assert!(!rig.settle(dead[0], Success, FAST), "past the deadline");
    let probe = rig.ticket();
    let second = rig.standing();
    assert_ne!(second.generation, first.generation);
    assert_eq!(second.permits, 2);
    for ticket in dead {
        for outcome in [Success, Failure, Ignored] {
            assert!(!rig.settle(ticket, outcome, FAST));
        }
    }
    assert_eq!(rig.standing(), second);
    assert!(rig.settle(probe, Success, FAST));
}

#[test]
fn what_a_void_trial_counted_is_void() {
    let rig = Rig::due(by_time());
    rig.call(1, Failure, FAST);
    let _dead = rig.ticket();
    rig.clock.advance(by_time().half_open_timeout);
    rig.call(1, Failure, FAST);
    assert_eq!(rig.state(), State::HalfOpen, "1 of this trial, not 2");
    rig.call(1, Failure, FAST);
    assert_eq!(rig.state(), State::Open);
}
