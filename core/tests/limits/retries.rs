use std::time::Duration;

use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::limit::{Acquired, Call, CallError, Config, Limiter, Verdict};
use millpond_core::tenant::{self, Declaration, Directory, State, Strangers, TierName};

use crate::rig::{Rig, SECOND, charges_of, named as limit, quota, tenant, tier};

fn named<'a>(request: &'a [u8], cost: u64) -> (Vec<millpond_core::limit::Charge<'a>>, &'a [u8]) {
    (charges_of(&[("", "", cost)]), request)
}

fn acquire(rig: &Rig, request: &[u8], patience: Duration) -> Acquired {
    let (charges, request) = named(request, 1);
    let call = Call {
        charges: &charges,
        request,
        patience,
        hold: None,
    };
    rig.limiter.acquire("a", &call).expect("known")
}

#[test]
fn a_retry_spends_once_for_a_minute() {
    let rig = Rig::five();
    for _ in 0..10 {
        assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    }
    assert_eq!(rig.drain(), 4);
    rig.clock.advance(59 * SECOND);
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    assert_eq!(rig.drain(), 5);
    rig.clock.advance(SECOND);
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    assert_eq!(rig.drain(), 0, "it spent the one that came back");
}

#[test]
fn a_denial_is_not_remembered() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    assert!(!acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    rig.clock.advance(SECOND);
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    assert_eq!(rig.drain(), 0);
}

#[test]
fn another_tenants_call_of_the_same_name_is_another() {
    let rig = Rig::five();
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    let (charges, request) = named(b"1", 5);
    let call = Call {
        charges: &charges,
        request,
        ..Call::default()
    };
    let other = rig.limiter.acquire("b", &call).expect("known");
    assert_eq!(
        other.decision.standing.expect("limited").remaining,
        0,
        "it spent five"
    );
    assert_eq!(rig.drain(), 4);
}

#[test]
fn a_waiting_call_and_its_retry_have_one_turn_and_the_last_to_leave_gives_it_back() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let first = acquire(&rig, b"1", 2 * SECOND);
    rig.clock.advance(SECOND / 2);
    let retry = acquire(&rig, b"1", 2 * SECOND);
    assert_eq!(retry.decision.wait, SECOND / 2);
    let (first, retry) = (first.turn.expect("waits"), retry.turn.expect("waits"));
    assert_eq!(first.comes(), retry.comes());
    drop(first);
    assert!(!acquire(&rig, b"2", Duration::ZERO).decision.is_allowed());
    drop(retry);
    rig.clock.advance(SECOND / 2);
    assert_eq!(rig.drain(), 1, "the turn went back");
}

#[test]
fn a_name_is_bounded() {
    let rig = Rig::five();
    let request = [b'x'; Call::MAX_REQUEST + 1];
    let (charges, request) = named(&request, 1);
    let call = Call {
        charges: &charges,
        request,
        ..Call::default()
    };
    let refused = rig.limiter.acquire("a", &call).expect_err("too long");
    assert!(matches!(refused, CallError::Field(_)));
    assert_eq!(refused.to_string(), "request_id: 129 bytes, limit 128");
}

#[test]
fn what_is_remembered_is_forgotten_with_the_tenant_and_with_time() {
    let rig = Rig::five();
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    let figures = rig.limiter.figures();
    assert_eq!((figures.ledgers, figures.remembered), (1, 1));
    rig.limiter.forget(&tenant("a"));
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    assert_eq!(rig.drain(), 3, "spent twice");
    rig.clock.advance(61 * SECOND);
    rig.limiter.sweep();
    assert_eq!(rig.limiter.figures().ledgers, 0);
}

#[test]
fn who_makes_up_tenants_leaves_those_that_were_named_their_memory() {
    let free = Declaration::of(TierName::parse("free").expect("valid"));
    let directory = Directory::new(tenant::Config {
        strangers: Strangers::Unlimited,
        tenants: vec![(tenant("a"), free)],
        clock: Clock::Manual(ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND))),
        ..tenant::Config::default()
    });
    let config = Config {
        max_ledgers: 2,
        ..Config::default()
    };
    let limiter = Limiter::new(directory.expect("valid"), config);
    let verdict = |tenant: &str| {
        let (charges, request) = named(b"1", 1);
        let call = Call {
            charges: &charges,
            request,
            ..Call::default()
        };
        let acquired = limiter.acquire(tenant, &call).expect("known");
        acquired.decision.verdict
    };
    assert_eq!(verdict("made-up-1"), Verdict::Allowed);
    assert_eq!(verdict("made-up-2"), Verdict::Allowed);
    assert_eq!(verdict("made-up-3"), Verdict::Unavailable);
    assert_eq!(verdict("made-up-2"), Verdict::Allowed, "its retry");
    assert_eq!(verdict("a"), Verdict::Allowed);
    assert_eq!(limiter.figures().ledgers, 3);
}

#[test]
fn a_retry_for_a_tenant_that_is_suspended_since_is_not_served() {
    let rig = Rig::five();
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    let directory = rig.limiter.directory();
    let set = directory.set_state(&tenant("a"), State::Suspended);
    set.expect("it can be");
    let retry = acquire(&rig, b"1", Duration::ZERO).decision;
    assert_eq!(retry.verdict, Verdict::NotServed(State::Suspended));
}

#[test]
fn a_call_that_waited_is_remembered_for_a_minute_from_its_turn_on() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let ahead: Vec<_> = (1..50)
        .map(|_| acquire(&rig, b"", 60 * SECOND).turn.expect("it waits"))
        .collect();
    let named = acquire(&rig, b"1", 60 * SECOND).turn.expect("50 s off");
    rig.clock.advance(50 * SECOND);
    for turn in ahead.into_iter().chain([named]) {
        turn.take();
    }
    rig.clock.advance(59 * SECOND);
    assert!(acquire(&rig, b"1", Duration::ZERO).decision.is_allowed());
    assert_eq!(rig.drain(), 5, "it spent nothing");
}

#[test]
fn a_waiting_call_and_its_retry_are_charged_once_for_what_came_back_early() {
    let limits = vec![limit("sms", Some(quota(1, 1)), None)];
    let rig = Rig::new(vec![tier("slow", Some(quota(10, 5)), limits)]);
    let sms = || {
        let charges = charges_of(&[("sms", "", 1)]);
        let call = Call {
            charges: &charges,
            patience: SECOND,
            request: b"1",
            hold: None,
        };
        rig.limiter.acquire("a", &call).expect("known")
    };
    assert!(rig.call(&[("sms", "", 1)]).is_allowed());
    let turns = [sms(), sms()].map(|acquired| acquired.turn.expect("a second off"));
    rig.clock.advance(SECOND);
    for turn in turns {
        turn.take();
    }
    assert_eq!(rig.drain(), 4, "5 in a moment, one of which it is");
}
