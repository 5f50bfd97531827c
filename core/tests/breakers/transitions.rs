//! The table: what was called, and what the breaker is then.

use std::time::Duration;

use millpond_core::breaker::{Outcome, Policy, State};

use crate::rig::{FAST, Rig, SECOND, by_count, by_time};

use Outcome::{Failure, Ignored, Success, Timeout};
use State::{Closed, Open};

const ALMOST: Duration = Duration::from_millis(999);

/// What happens, in order: calls, or time that passes.
enum Step {
    Calls(usize, Outcome, Duration),
    Pass(Duration),
}

use Step::{Calls, Pass};

fn runs(policy: Policy, rows: &[(&str, &[Step], State)]) {
    for (name, steps, expected) in rows {
        let rig = Rig::new(policy);
        for step in *steps {
            match step {
                Calls(calls, outcome, latency) => rig.call(*calls, *outcome, *latency),
                Pass(time) => rig.clock.advance(*time),
            }
        }
        assert_eq!(rig.state(), *expected, "{name}: {:?}", rig.standing());
    }
}

#[test]
fn a_breaker_opens_at_exactly_its_thresholds_whatever_its_window() {
    let rows: &[(&str, &[Step], State)] = &[
        ("nothing", &[], Closed),
        (
            "one less than the minimum, all failed",
            &[Calls(9, Failure, FAST)],
            Closed,
        ),
        ("the minimum, all failed", &[Calls(10, Failure, FAST)], Open),
        (
            "half of them, the last one",
            &[Calls(5, Success, FAST), Calls(5, Failure, FAST)],
            Open,
        ),
        (
            "one less than half",
            &[Calls(6, Success, FAST), Calls(4, Failure, FAST)],
            Closed,
        ),
        (
            "one less than half of more, and then one more",
            &[Calls(7, Success, FAST), Calls(6, Failure, FAST)],
            Closed,
        ),
        (
            "half of more",
            &[Calls(7, Success, FAST), Calls(7, Failure, FAST)],
            Open,
        ),
        (
            "a success that makes up the minimum opens nothing",
            &[Calls(9, Failure, FAST), Calls(1, Success, FAST)],
            Closed,
        ),
        (
            "but the next failure does",
            &[
                Calls(9, Failure, FAST),
                Calls(1, Success, FAST),
                Calls(1, Failure, FAST),
            ],
            Open,
        ),
        (
            "timeouts are failures",
            &[Calls(5, Success, FAST), Calls(5, Timeout, FAST)],
            Open,
        ),
        (
            "what is ignored is no call",
            &[Calls(9, Failure, FAST), Calls(50, Ignored, FAST)],
            Closed,
        ),
        (
            "and dilutes nothing",
            &[
                Calls(9, Failure, FAST),
                Calls(50, Ignored, FAST),
                Calls(1, Failure, FAST),
            ],
            Open,
        ),
        (
            "80 % slow, at the threshold",
            &[Calls(2, Success, FAST), Calls(8, Success, SECOND)],
            Open,
        ),
        (
            "less than 80 % slow",
            &[Calls(3, Success, FAST), Calls(8, Success, SECOND)],
            Closed,
        ),
        ("almost slow is fast", &[Calls(12, Success, ALMOST)], Closed),
        (
            "slow and failed counts for both: 40 % and 80 %",
            &[
                Calls(2, Success, FAST),
                Calls(4, Success, SECOND),
                Calls(4, Failure, SECOND),
            ],
            Open,
        ),
    ];
    runs(by_count(), rows);
    runs(by_time(), rows);
}

#[test]
fn a_window_of_calls_is_the_last_so_many_exactly() {
    runs(
        by_count(),
        &[
            (
                "time takes nothing from it",
                &[
                    Calls(9, Failure, FAST),
                    Pass(10_000 * SECOND),
                    Calls(1, Failure, FAST),
                ],
                Open,
            ),
            (
                "each takes the place of a failure",
                &[
                    Calls(9, Failure, FAST),
                    Calls(11, Success, FAST),
                    Calls(9, Failure, FAST),
                ],
                Closed,
            ),
            (
                "and then one that of a success",
                &[
                    Calls(9, Failure, FAST),
                    Calls(11, Success, FAST),
                    Calls(10, Failure, FAST),
                ],
                Open,
            ),
            (
                "each takes the place of a success, one too few",
                &[
                    Calls(6, Success, FAST),
                    Calls(5, Failure, FAST),
                    Calls(9, Success, FAST),
                    Calls(4, Failure, FAST),
                ],
                Closed,
            ),
            (
                "and enough",
                &[
                    Calls(6, Success, FAST),
                    Calls(5, Failure, FAST),
                    Calls(9, Success, FAST),
                    Calls(5, Failure, FAST),
                ],
                Open,
            ),
        ],
    );
}

#[test]
fn a_window_of_time_forgets_what_is_older_by_slots() {
    runs(
        by_time(),
        &[
            (
                "9 failures in the last of the 8 s",
                &[
                    Calls(9, Failure, FAST),
                    Pass(8 * SECOND - FAST),
                    Calls(1, Failure, FAST),
                ],
                Open,
            ),
            (
                "a slot too old",
                &[
                    Calls(9, Failure, FAST),
                    Pass(8 * SECOND),
                    Calls(9, Failure, FAST),
                ],
                Closed,
            ),
            (
                "successes that leave make the failures more",
                &[
                    Calls(50, Success, FAST),
                    Pass(4 * SECOND),
                    Calls(12, Failure, FAST),
                    Pass(4 * SECOND),
                    Calls(1, Failure, FAST),
                ],
                Open,
            ),
        ],
    );
}

#[test]
fn an_open_breaker_refuses_until_its_deadline_and_says_when_to_come_back() {
    let rig = Rig::open(by_time());
    let refusal = rig.refusal();
    assert_eq!(refusal.state, Open);
    assert_eq!(refusal.retry_after, Some(5 * SECOND));
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(
        rig.refusal().retry_after,
        Some(Duration::from_nanos(1)),
        "to the nanosecond"
    );
    rig.clock.advance(Duration::from_nanos(1));
    assert!(rig.admit().is_ok());
    assert_eq!(rig.state(), State::HalfOpen);
}

#[test]
fn outcomes_of_another_generation_change_nothing() {
    let rig = Rig::new(by_count());
    let late: Vec<_> = (0..20).map(|_| rig.ticket()).collect();
    rig.call(10, Failure, FAST);
    assert_eq!(rig.state(), Open);
    assert!(!rig.settle(late[0], Failure, FAST), "while it is open");
    rig.clock.advance(5 * SECOND);
    let probe = rig.ticket();
    let before = rig.standing();
    assert!(!rig.settle(late[1], Failure, FAST), "while it is tried");
    assert!(!rig.settle(late[2], Success, FAST));
    assert_eq!(rig.standing(), before);
    rig.settle(probe, Success, FAST);
    rig.call(1, Success, FAST);
    assert_eq!(rig.state(), Closed);
    for ticket in late {
        assert!(!rig.settle(ticket, Failure, FAST), "closed again");
    }
    assert_eq!(rig.standing().counted.calls, 0);
    rig.breaker.settle(probe, Failure, FAST, rig.clock.now());
    assert_eq!(rig.standing().counted.calls, 0);
}

#[test]
fn a_breaker_that_closes_begins_with_an_empty_window() {
    for policy in [by_count(), by_time()] {
        let rig = Rig::due(policy);
        rig.call(2, Success, FAST);
        assert_eq!(rig.state(), Closed);
        rig.call(9, Failure, FAST);
        assert_eq!(rig.state(), Closed, "9, not 19");
        rig.call(1, Failure, FAST);
        assert_eq!(rig.state(), Open);
    }
}

#[test]
fn thresholds_that_change_hold_from_the_next_failure_on() {
    let rig = Rig::new(by_count());
    rig.call(16, Success, FAST);
    rig.call(3, Failure, FAST);
    let stricter = Policy {
        failure_rate: 20,
        ..by_count()
    };
    rig.breaker.revise(stricter).expect("the same window");
    assert_eq!(rig.state(), Closed);
    rig.call(1, Failure, FAST);
    assert_eq!(rig.state(), Open, "4 of 20");
    let wrong = rig.breaker.revise(by_time()).expect_err("another window");
    assert_eq!(wrong[0].field, "window");
    assert_eq!(rig.breaker.policy(), stricter);
}
