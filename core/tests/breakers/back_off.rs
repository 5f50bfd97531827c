//! How long it stays open.

use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::breaker::{Outcome, State};

use crate::rig::{FAST, Rig, SECOND, by_time};

fn remaining_of_eight_opens(rig: &Rig) -> Vec<Duration> {
    rig.call(10, Outcome::Failure, FAST);
    let mut remaining = Vec::new();
    for _ in 0..8 {
        remaining.push(rig.standing().remaining);
        rig.clock.advance(rig.standing().remaining);
        rig.call(2, Outcome::Failure, FAST);
        assert_eq!(rig.state(), State::Open);
    }
    remaining
}

#[test]
fn the_time_open_doubles_with_each_trial_that_fails_to_its_cap() {
    let rig = Rig::new(by_time());
    let expected = [5, 10, 20, 40, 60, 60, 60, 60].map(|seconds| seconds * SECOND);
    assert_eq!(remaining_of_eight_opens(&rig), expected);
    assert_eq!(rig.standing().opens, 9);
}

#[test]
fn a_trial_that_passes_begins_the_doubling_anew() {
    let rig = Rig::new(by_time());
    remaining_of_eight_opens(&rig);
    rig.clock.advance(rig.standing().remaining);
    rig.call(2, Outcome::Success, FAST);
    assert_eq!((rig.state(), rig.standing().opens), (State::Closed, 0));
    rig.call(10, Outcome::Failure, FAST);
    assert_eq!(rig.standing().remaining, 5 * SECOND);
}

#[test]
fn jitter_takes_off_a_tenth_at_most_and_adds_nothing() {
    let rig = Rig::drawing(by_time(), Entropy::Thread);
    let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
    for _ in 0..200 {
        rig.call(10, Outcome::Failure, FAST);
        let open = rig.standing().remaining;
        (least, most) = (least.min(open), most.max(open));
        rig.breaker.force(None);
    }
    assert!(
        least >= 4_500 * FAST && most <= 5 * SECOND,
        "{least:?}, {most:?}"
    );
    assert!(most - least > 300 * FAST, "{least:?} to {most:?} of 500 ms");
}

#[test]
fn it_is_never_open_for_less_than_it_says_when_the_clock_is_between_milliseconds() {
    let rig = Rig::new(by_time());
    rig.clock.advance(Duration::from_nanos(1));
    rig.call(10, Outcome::Failure, FAST);
    let open = rig.refusal().retry_after.expect("a time");
    assert!(open >= 5 * SECOND && open < 5 * SECOND + FAST, "{open:?}");
    rig.clock.advance(open);
    assert!(rig.admit().is_ok(), "exactly when it said");
}
