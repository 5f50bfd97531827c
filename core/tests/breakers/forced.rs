//! What an operator says.

use millpond_core::breaker::{Forced, Outcome, State};

use crate::rig::{FAST, Rig, SECOND, by_time};

use Outcome::{Failure, Success};

#[test]
fn forced_open_refuses_without_a_time_to_come_back_and_ends_closed() {
    let rig = Rig::new(by_time());
    let before = rig.ticket();
    rig.breaker.force(Some(Forced::Open));
    let refusal = rig.refusal();
    assert_eq!(refusal.state, State::ForcedOpen);
    assert_eq!(refusal.retry_after, None);
    rig.clock.advance(1_000_000 * SECOND);
    assert!(rig.admit().is_err());
    assert!(!rig.settle(before, Failure, FAST));
    rig.breaker.force(None);
    assert_eq!(rig.state(), State::Closed);
    assert!(rig.admit().is_ok());
}

#[test]
fn disabled_admits_and_counts_nothing() {
    let rig = Rig::new(by_time());
    rig.breaker.force(Some(Forced::Disabled));
    rig.call(100, Failure, SECOND);
    assert_eq!(rig.state(), State::Disabled);
    assert_eq!(rig.standing().counted.calls, 0);
    let of_then = rig.ticket();
    rig.breaker.force(None);
    assert!(!rig.settle(of_then, Failure, FAST));
    rig.call(9, Failure, FAST);
    assert_eq!(rig.state(), State::Closed);
}

#[test]
fn metrics_only_admits_counts_and_says_what_it_would_refuse() {
    let rig = Rig::new(by_time());
    rig.breaker.force(Some(Forced::MetricsOnly));
    rig.call(9, Failure, FAST);
    assert_eq!(rig.standing().counted.failures, 9);
    assert!(!rig.ticket().would_refuse);
    rig.call(1, Failure, FAST);
    assert_eq!(rig.state(), State::MetricsOnly);
    assert!(rig.ticket().would_refuse);
    assert!(rig.admit().expect("admitted").would_refuse());
    assert_eq!(rig.standing().remaining, 5 * SECOND);
    // Goes on counting meanwhile, and does not put off the end.
    rig.call(50, Failure, FAST);
    assert_eq!(rig.standing().remaining, 5 * SECOND);
    rig.clock.advance(5 * SECOND);
    assert!(!rig.ticket().would_refuse);
    rig.call(1, Failure, FAST);
    assert!(rig.ticket().would_refuse, "51 failures of 51");
}

#[test]
fn closing_by_hand_voids_what_was_counted_and_the_times_open() {
    let rig = Rig::new(by_time());
    rig.call(9, Failure, FAST);
    rig.breaker.force(None);
    rig.call(9, Failure, FAST);
    assert_eq!(rig.state(), State::Closed);
    let rig = Rig::due(by_time());
    let probe = rig.ticket();
    rig.breaker.force(None);
    assert!(!rig.settle(probe, Failure, FAST));
    assert_eq!((rig.state(), rig.standing().opens), (State::Closed, 0));
    rig.call(5, Success, FAST);
    assert_eq!(rig.standing().counted.calls, 5);
}
