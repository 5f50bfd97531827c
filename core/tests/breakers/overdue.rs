//! Calls that are slow while they are still on their way.

use std::time::Duration;

use millpond_core::breaker::{Outcome, State};

use crate::rig::{FAST, Rig, SECOND, by_count, by_time};

use Outcome::{Failure, Success, Timeout};

const ALMOST: Duration = Duration::from_millis(999);

#[test]
fn calls_that_hang_open_the_breaker_before_they_end() {
    for policy in [by_count(), by_time()] {
        let rig = Rig::new(policy);
        rig.call(2, Success, FAST);
        let mut out: Vec<_> = (0..8).map(|_| rig.admit().expect("closed")).collect();
        rig.clock.advance(SECOND);
        let now = rig.clock.now();
        assert!(!out[0].overdue(ALMOST, now), "not slow yet");
        for (at, permit) in out.iter_mut().enumerate() {
            assert_eq!(rig.state(), State::Closed, "{at} of 10 are slow");
            assert!(permit.overdue(SECOND, now));
            assert!(!permit.overdue(SECOND, now), "once");
        }
        assert_eq!(rig.state(), State::Open);
        for permit in out {
            assert!(!permit.record(Timeout, SECOND, now), "late");
        }
    }
}

#[test]
fn the_end_of_a_call_that_was_counted_counts_no_more_than_its_failure() {
    for policy in [by_count(), by_time()] {
        let rig = Rig::new(policy);
        let now = rig.clock.now();
        for outcome in [Success, Failure, Outcome::Ignored] {
            let mut permit = rig.admit().expect("closed");
            assert!(permit.overdue(SECOND, now));
            permit.record(outcome, 2 * SECOND, now);
        }
        let counted = rig.standing().counted;
        assert_eq!((counted.calls, counted.failures, counted.slow), (3, 1, 3));
    }
}

#[test]
fn a_late_failure_opens_when_it_meets_the_threshold() {
    for policy in [by_count(), by_time()] {
        let rig = Rig::new(policy);
        let now = rig.clock.now();
        rig.call(5, Success, FAST);
        rig.call(4, Failure, FAST);
        let mut permit = rig.admit().expect("closed");
        assert!(permit.overdue(SECOND, now));
        assert_eq!(rig.state(), State::Closed, "4 of 10");
        assert!(permit.record(Timeout, 2 * SECOND, now));
        assert_eq!(rig.state(), State::Open);
    }
}

#[test]
fn a_probe_that_hangs_counts_as_slow_and_its_failure_is_not_forgotten() {
    let rig = Rig::due(by_time());
    let now = rig.clock.now();
    let mut hanging = rig.admit().expect("a probe");
    assert!(hanging.overdue(SECOND, now));
    rig.call(1, Success, FAST);
    assert_eq!(rig.state(), State::HalfOpen);
    rig.call(1, Failure, FAST);
    assert_eq!(rig.state(), State::HalfOpen, "the one that hangs may fail");
    assert!(hanging.record(Timeout, 2 * SECOND, now));
    assert_eq!(rig.state(), State::Open);

    let rig = Rig::due(by_time());
    let now = rig.clock.now();
    let mut hanging: Vec<_> = (0..3).map(|_| rig.admit().expect("a probe")).collect();
    for permit in &mut hanging {
        assert_eq!(rig.state(), State::HalfOpen);
        assert!(permit.overdue(SECOND, now));
    }
    assert_eq!(rig.state(), State::Open);
}

#[test]
fn a_probe_that_hung_and_is_dropped_leaves_its_slow_call_counted() {
    let rig = Rig::due(by_time());
    let now = rig.clock.now();
    let mut hanging = rig.admit().expect("a probe");
    assert!(hanging.overdue(SECOND, now));
    drop(hanging);
    assert_eq!(rig.standing().permits, 2, "it was used");
    rig.call(2, Success, FAST);
    assert_eq!(rig.state(), State::Closed, "and the others decide");

    let rig = Rig::due(by_time());
    let now = rig.clock.now();
    let mut hanging = rig.admit().expect("a probe");
    assert!(hanging.overdue(SECOND, now));
    rig.call(1, Success, FAST);
    rig.call(1, Failure, FAST);
    assert_eq!(rig.state(), State::HalfOpen);
    drop(hanging);
    assert_eq!(rig.state(), State::Closed, "it can fail no more");
}
