use std::time::Duration;

use millpond_core::fence::Token;
use millpond_core::limit::{Acquired, Call, Settlement, Verdict};

use crate::rig::{Rig, SECOND, charges_of, named, quota, tenant, tier};

fn patient(rig: &Rig, patience: Duration) -> Acquired {
    let charges = charges_of(&[("", "", 1)]);
    let call = Call {
        charges: &charges,
        patience,
        ..Call::default()
    };
    rig.limiter.acquire("a", &call).expect("known")
}

#[test]
fn callers_that_wait_have_their_turns_in_the_order_they_came() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let start = rig.clock.now();
    let mut turns = Vec::new();
    for nth in 1..=3 {
        let acquired = patient(&rig, 3 * SECOND);
        assert_eq!(acquired.decision.wait, nth * SECOND);
        turns.push(acquired.turn.expect("it is still to come"));
    }
    let denied = patient(&rig, 3 * SECOND);
    assert_eq!(denied.decision.verdict, Verdict::OverLimit);
    assert_eq!(denied.decision.retry_after, 4 * SECOND);
    rig.clock.advance(SECOND);
    assert_eq!(rig.drain(), 0, "who comes later does not overtake");
    for (nth, turn) in turns.into_iter().enumerate() {
        assert_eq!(
            turn.comes().since(start),
            SECOND * (u32::try_from(nth).expect("few") + 1)
        );
        turn.take();
    }
    rig.clock.advance(2 * SECOND);
    assert_eq!(rig.drain(), 0);
    rig.clock.advance(SECOND);
    assert_eq!(rig.drain(), 1);
}

#[test]
fn who_leaves_before_the_turn_gives_back_and_who_had_it_does_not() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let leaver = patient(&rig, SECOND);
    assert_eq!(leaver.decision.wait, SECOND);
    drop(leaver.turn);
    let next = patient(&rig, SECOND);
    assert_eq!(next.decision.wait, SECOND, "the turn is free again");
    next.turn.expect("it is still to come").take();
    rig.clock.advance(SECOND);
    assert_eq!(rig.drain(), 0);
    // Long after its turn came, dropping it gives nothing that refill has not given.
    let late = patient(&rig, SECOND);
    rig.clock.advance(10 * SECOND);
    assert_eq!(rig.drain(), 5);
    drop(late.turn);
    assert_eq!(rig.drain(), 0);
}

#[test]
fn nobody_waits_longer_than_a_minute() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let mut waiting = Vec::new();
    while let Some(turn) = patient(&rig, Duration::MAX).turn {
        waiting.push(turn);
        assert!(waiting.len() <= 60);
    }
    assert_eq!(waiting.len(), 60);
}

#[test]
fn who_reserves_and_waits_holds_from_the_turn_on() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let charges = charges_of(&[("", "", 1)]);
    let call = Call {
        charges: &charges,
        patience: 10 * SECOND,
        hold: Some(SECOND / 2),
        request: b"id",
    };
    let start = rig.clock.now();
    let reserve = || rig.limiter.acquire("a", &call).expect("known");
    let acquired = reserve();
    assert_eq!(acquired.decision.wait, SECOND);
    let until = acquired.decision.held_until.expect("it is held");
    assert_eq!(until.since(start), SECOND + SECOND / 2);
    rig.clock.advance(SECOND);
    rig.limiter.sweep();
    assert_eq!(rig.limiter.figures().reservations, 1, "its turn is now");
    acquired.turn.expect("it was to come").take();
    rig.clock.advance(SECOND / 4);
    assert_eq!(
        reserve().decision.held_until,
        Some(until),
        "as its retry is told"
    );
    rig.clock.advance(SECOND / 4);
    rig.limiter.sweep();
    assert_eq!(rig.limiter.figures().reservations, 0);
}

fn hold(rig: &Rig, cost: u64) -> Token {
    held(rig, ("", "", cost))
}

#[test]
fn a_refund_leaves_those_who_wait_their_tokens() {
    let rig = Rig::five();
    let held = hold(&rig, 5);
    let turn = patient(&rig, 2 * SECOND).turn.expect("a second off");
    assert_eq!(
        rig.limiter.release(&tenant("a"), held),
        Settlement::Done,
        "now the caller that waits need not, but it does"
    );
    rig.clock.advance(SECOND);
    assert_eq!(
        rig.drain(),
        4,
        "the bucket was full, and one token waited for"
    );
    turn.take();
    assert_eq!(rig.own(1), Err(Some(1_000)));
}

#[test]
fn who_was_to_come_before_another_leaves_and_neither_is_admitted_twice() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    let first = patient(&rig, 9 * SECOND).turn;
    let second = patient(&rig, 9 * SECOND).turn.expect("2 s off");
    drop(first);
    // What the first left behind is not spent by who comes later and the second alike.
    rig.clock.advance(SECOND);
    assert_eq!(rig.drain(), 0, "the second still waits for its token");
    rig.clock.advance(SECOND);
    second.take();
    assert_eq!(rig.drain(), 1);
}

#[test]
fn a_bucket_that_was_waited_for_is_as_any_other_again() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    patient(&rig, SECOND).turn.expect("a second off").take();
    rig.clock.advance(10 * SECOND);
    let held = hold(&rig, 3);
    assert_eq!(rig.drain(), 2);
    assert_eq!(rig.limiter.release(&tenant("a"), held), Settlement::Done);
    assert_eq!(rig.drain(), 3, "all of it comes back");
}

/// A caller that is let through by one bucket and waits for another.
#[test]
fn what_came_back_before_the_turn_of_another_bucket_is_charged_when_it_comes() {
    let limits = vec![named("sms", Some(quota(1, 1)), None)];
    let rig = Rig::new(vec![tier("slow", Some(quota(10, 5)), limits)]);
    let sms = || {
        let charges = charges_of(&[("sms", "", 1)]);
        let call = Call {
            charges: &charges,
            patience: SECOND,
            ..Call::default()
        };
        rig.limiter.acquire("a", &call).expect("known")
    };
    assert!(sms().turn.is_none());
    let turn = sms().turn.expect("a second off");
    rig.clock.advance(SECOND);
    turn.take();
    assert_eq!(rig.drain(), 4, "5 in a moment, one of which it is");
}

/// A call with patience of one charge.
fn waits(rig: &Rig, charge: (&str, &str, u64)) -> Acquired {
    let charges = charges_of(&[charge]);
    let call = Call {
        charges: &charges,
        patience: 60 * SECOND,
        ..Call::default()
    };
    rig.limiter.acquire("a", &call).expect("known")
}

fn held(rig: &Rig, charge: (&str, &str, u64)) -> Token {
    let charges = charges_of(&[charge]);
    let call = Call {
        charges: &charges,
        hold: Some(60 * SECOND),
        ..Call::default()
    };
    let decision = rig.limiter.acquire("a", &call).expect("known").decision;
    decision.reservation.expect("there is room")
}

/// The tenant's own bucket, and one of a key: 5 tokens, one a second.
const BUCKETS: [(&str, &str); 2] = [("", ""), ("api", "u")];

fn two_buckets() -> Rig {
    let limit = |burst| vec![named("api", None, Some(quota(1, burst)))];
    let own = || Some(quota(1, 5));
    let mut five = tier("five", own(), limit(5));
    let mut six = tier("six", own(), limit(6));
    for tier in [&mut five, &mut six] {
        tier.settings.limits[0].apart = true;
    }
    Rig::new(vec![five, six])
}

fn spent_at_once(rig: &Rig, (limit, key): (&str, &str)) -> usize {
    (0..)
        .take_while(|_| rig.call(&[(limit, key, 1)]).is_allowed())
        .count()
}

#[test]
fn who_waits_for_nothing_and_leaves_takes_no_turn_from_those_who_wait() {
    for (limit, key) in BUCKETS {
        let rig = two_buckets();
        let held = held(&rig, (limit, key, 5));
        let turn = waits(&rig, (limit, key, 5)).turn.expect("5 s off");
        // They came for no tokens, one goes and one has its turn.
        let leaver = waits(&rig, (limit, key, 0)).turn.expect("as long off");
        let taker = waits(&rig, (limit, key, 0)).turn.expect("as long off");
        drop(leaver);
        taker.take();
        assert_eq!(rig.limiter.release(&tenant("a"), held), Settlement::Done);
        rig.clock.advance(5 * SECOND);
        assert_eq!(spent_at_once(&rig, (limit, key)), 0, "all 5 are waited for");
        turn.take();
    }
}

#[test]
fn a_turn_that_is_taken_late_is_not_counted_off_those_who_came_meanwhile() {
    for (limit, key) in BUCKETS {
        let rig = two_buckets();
        let held = held(&rig, (limit, key, 5));
        let first = waits(&rig, (limit, key, 1)).turn.expect("a second off");
        rig.clock.advance(SECOND);
        let second = waits(&rig, (limit, key, 3)).turn.expect("3 s off");
        // Its timer was late.
        first.take();
        drop(waits(&rig, (limit, key, 1)).turn.expect("4 s off"));
        assert_eq!(rig.limiter.release(&tenant("a"), held), Settlement::Done);
        rig.clock.advance(3 * SECOND);
        assert!(
            spent_at_once(&rig, (limit, key)) <= 2,
            "5 in a moment, 3 of which are waited for"
        );
        second.take();
    }
}

#[test]
fn who_waited_since_before_a_change_of_rates_leaves_and_takes_no_turn_from_others() {
    for (limit, key) in BUCKETS {
        let rig = two_buckets();
        let held = held(&rig, (limit, key, 5));
        let leaver = waits(&rig, (limit, key, 1)).turn.expect("a second off");
        rig.put("six");
        let turn = waits(&rig, (limit, key, 3)).turn.expect("it waits");
        drop(leaver);
        assert_eq!(rig.limiter.release(&tenant("a"), held), Settlement::Done);
        let burst = if limit.is_empty() { 5 } else { 6 };
        rig.clock.advance(turn.comes().since(rig.clock.now()));
        let spent = spent_at_once(&rig, (limit, key));
        assert!(spent + 3 <= burst, "{spent}, and 3 are waited for");
        turn.take();
    }
}

/// Three a second: a token takes no whole number of nanoseconds to come back.
#[test]
fn a_turn_that_is_told_rounded_up_has_come_for_its_bucket_too() {
    let rig = Rig::new(vec![tier("thirds", Some(quota(3, 5)), Vec::new())]);
    let reserved = hold(&rig, 5);
    let first = patient(&rig, SECOND).turn.expect("a third of a second off");
    let second = patient(&rig, SECOND).turn.expect("two thirds off");
    rig.clock.advance(SECOND / 2);
    first.take();
    drop(second);
    let released = rig.limiter.release(&tenant("a"), reserved);
    assert_eq!(released, Settlement::Done);
    // Nobody waits any more: all but the one that was spent is there.
    assert_eq!(rig.drain(), 4);
}
