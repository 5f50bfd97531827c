use std::time::Duration;

use millpond_core::fence::Token;
use millpond_core::limit::{Call, SettleError, Settlement, Verdict};

use crate::rig::{Rig, SECOND, charges_of, named, quota, tenant, tier};

fn reserve(rig: &Rig, cost: u64, hold: Duration) -> Option<Token> {
    let charges = charges_of(&[("", "", cost)]);
    let call = Call {
        charges: &charges,
        hold: Some(hold),
        ..Call::default()
    };
    rig.limiter
        .acquire("a", &call)
        .expect("known")
        .decision
        .reservation
}

fn commit(rig: &Rig, reservation: Token, cost: u64) -> Settlement {
    rig.limiter
        .commit(&tenant("a"), reservation, &[cost])
        .expect("one charge")
}

fn release(rig: &Rig, reservation: Token) -> Settlement {
    rig.limiter.release(&tenant("a"), reservation)
}

#[test]
fn reserve_five_wait_spend_five_release_spend_is_never_more_than_rate_and_burst() {
    for wait in 0..=12 {
        let rig = Rig::five();
        let reservation = reserve(&rig, 5, 60 * SECOND).expect("there are five");
        rig.clock.advance(SECOND / 2 * wait);
        let spent = rig.drain();
        assert_eq!(release(&rig, reservation), Settlement::Done);
        let spent = spent + rig.drain();
        let may = 5 + usize::try_from(wait / 2).expect("few");
        assert!(
            spent <= may,
            "{spent} spent of {may} after {wait} half seconds"
        );
        assert!(spent >= 5, "and no less than a full bucket: {spent}");
        assert_eq!(release(&rig, reservation), Settlement::Repeated);
        assert_eq!(commit(&rig, reservation, 1), Settlement::Void);
        assert_eq!(rig.drain(), 0);
    }
}

#[test]
fn of_two_that_are_held_and_released_neither_mints_what_the_other_had() {
    for order in [[0, 1], [1, 0]] {
        let rig = Rig::five();
        let held = [2, 3].map(|cost| reserve(&rig, cost, 60 * SECOND).expect("there are five"));
        assert_eq!(release(&rig, held[order[0]]), Settlement::Done);
        rig.clock.advance(3 * SECOND);
        assert_eq!(rig.drain(), 5);
        assert_eq!(release(&rig, held[order[1]]), Settlement::Done);
        assert_eq!(rig.drain(), 0, "the bucket was full without it");
    }
}

#[test]
fn in_whatever_order_they_are_released_at_once_all_of_it_is_back() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let rig = Rig::five();
        let held = [1, 2, 2].map(|cost| reserve(&rig, cost, 60 * SECOND).expect("there are five"));
        for which in order {
            assert_eq!(release(&rig, held[which]), Settlement::Done);
        }
        assert_eq!(rig.drain(), 5, "{order:?}");
    }
}

#[test]
fn the_real_cost_is_what_is_spent() {
    for (real, left) in [(0, 5), (1, 4), (3, 2), (5, 0)] {
        let rig = Rig::five();
        let reservation = reserve(&rig, 3, 60 * SECOND).expect("there are five");
        assert_eq!(commit(&rig, reservation, real), Settlement::Done);
        assert_eq!(commit(&rig, reservation, real), Settlement::Repeated);
        assert_eq!(release(&rig, reservation), Settlement::Void);
        assert_eq!(rig.drain(), left, "a real cost of {real}");
    }
    let rig = Rig::five();
    let reservation = reserve(&rig, 3, 60 * SECOND).expect("there are five");
    assert_eq!(commit(&rig, reservation, 9), Settlement::Done);
    assert_eq!(rig.own(1), Err(Some(5_000)), "four are owed");
}

#[test]
fn a_hold_that_ended_gives_back_and_a_late_commit_charges_the_whole() {
    let rig = Rig::new(vec![tier("slow", Some(quota(1, 100)), Vec::new())]);
    let reservation = reserve(&rig, 100, 10 * SECOND).expect("there are 100");
    rig.clock.advance(10 * SECOND);
    assert_eq!(rig.drain(), 10, "refill");
    rig.limiter.sweep();
    assert_eq!(rig.drain(), 90, "what refill had not given back");
    assert_eq!(commit(&rig, reservation, 7), Settlement::Late);
    assert_eq!(commit(&rig, reservation, 7), Settlement::Repeated);
    assert_eq!(rig.own(1), Err(Some(8_000)), "seven are owed");
    let rig = Rig::five();
    let released = reserve(&rig, 5, SECOND).expect("there are five");
    rig.clock.advance(SECOND);
    rig.limiter.sweep();
    assert_eq!(release(&rig, released), Settlement::Late);
}

#[test]
fn each_charge_is_settled_on_each_of_its_levels() {
    let api = named("api", Some(quota(1, 10)), Some(quota(1, 5)));
    let rig = Rig::new(vec![tier("api", Some(quota(1, 20)), vec![api])]);
    let charges = charges_of(&[("api", "x", 4), ("api", "y", 4)]);
    let call = Call {
        charges: &charges,
        hold: Some(60 * SECOND),
        ..Call::default()
    };
    let held = rig
        .limiter
        .acquire("a", &call)
        .expect("known")
        .decision
        .reservation;
    let held = held.expect("there are ten");
    let left = |key: &str| {
        let levels = rig
            .limiter
            .levels("a", charges_of(&[("api", key, 1)])[0])
            .expect("known");
        levels
            .iter()
            .map(|level| level.standing.remaining)
            .collect::<Vec<_>>()
    };
    assert_eq!((left("x"), left("y")), (vec![1, 2, 16], vec![1, 2, 16]));
    let wrong = rig.limiter.commit(&tenant("a"), held, &[1]);
    assert_eq!(
        wrong,
        Err(SettleError {
            costs: 1,
            charges: 2
        })
    );
    assert_eq!(
        rig.limiter.commit(&tenant("a"), held, &[1, 5]),
        Ok(Settlement::Done)
    );
    assert_eq!((left("x"), left("y")), (vec![4, 4, 15], vec![0, 4, 15]));
}

#[test]
fn another_tenant_settles_nothing() {
    let rig = Rig::five();
    let reservation = reserve(&rig, 5, 60 * SECOND).expect("there are five");
    let other = tenant("b");
    assert_eq!(rig.limiter.release(&other, reservation), Settlement::Void);
    assert_eq!(
        rig.limiter.commit(&other, reservation, &[0]),
        Ok(Settlement::Void)
    );
    let unknown = Token::from_bits(reservation.to_bits() + 1);
    assert_eq!(release(&rig, unknown), Settlement::Void);
    assert_eq!(rig.drain(), 0);
    assert_eq!(release(&rig, reservation), Settlement::Done);
    assert_eq!(rig.drain(), 5);
}

#[test]
fn a_reservation_survives_a_change_of_tier_and_is_worth_no_more_for_it() {
    let tiers = || {
        vec![
            tier("slow", Some(quota(1, 10)), Vec::new()),
            tier("fast", Some(quota(100, 10)), Vec::new()),
        ]
    };
    // At once, nothing has refilled: all of it goes back.
    let rig = Rig::new(tiers());
    let reservation = reserve(&rig, 10, 60 * SECOND).expect("there are ten");
    rig.put("fast");
    assert_eq!(release(&rig, reservation), Settlement::Done);
    assert_eq!(rig.drain(), 10);
    // Through a faster tier and back: nobody knows what that gave.
    let rig = Rig::new(tiers());
    let reservation = reserve(&rig, 10, 60 * SECOND).expect("there are ten");
    rig.put("fast");
    rig.clock.advance(SECOND / 10);
    assert_eq!(rig.drain(), 10);
    rig.put("slow");
    assert_eq!(release(&rig, reservation), Settlement::Done);
    assert_eq!(rig.drain(), 0);
}

#[test]
fn what_was_held_before_a_tenant_was_removed_and_put_again_is_worth_nothing_to_the_new_one() {
    let limits = vec![named("api", None, Some(quota(1, 5)))];
    let rig = Rig::new(vec![tier("five", Some(quota(1, 5)), limits)]);
    let call = |hold| {
        let charges = charges_of(&[("api", "u", 5)]);
        let call = Call {
            charges: &charges,
            hold,
            ..Call::default()
        };
        rig.limiter.acquire("a", &call).expect("known").decision
    };
    let held = call(Some(60 * SECOND)).reservation.expect("there are five");
    assert!(rig.limiter.directory().remove(&tenant("a")).is_some());
    rig.put("five");
    assert!(call(None).is_allowed(), "it begins with full buckets");
    assert_eq!(release(&rig, held), Settlement::Done);
    assert_eq!(
        rig.call(&[("api", "u", 0)])
            .standing
            .expect("limited")
            .remaining,
        0
    );
    assert_eq!(rig.drain(), 0);
}

#[test]
fn a_hold_is_ten_minutes_at_most() {
    let rig = Rig::five();
    let charges = charges_of(&[("", "", 5)]);
    let call = Call {
        charges: &charges,
        hold: Some(Duration::MAX),
        ..Call::default()
    };
    let start = rig.clock.now();
    let decision = rig.limiter.acquire("a", &call).expect("known").decision;
    let until = decision.held_until.expect("it is held");
    assert_eq!(until.since(start), 600 * SECOND);
}

#[test]
fn where_there_is_no_room_for_another_reservation_nothing_is_spent() {
    const MOST: u64 = 65_536;
    let rig = Rig::new(vec![tier("large", Some(quota(1, MOST + 10)), Vec::new())]);
    for _ in 0..MOST {
        assert!(reserve(&rig, 1, 60 * SECOND).is_some());
    }
    let charges = charges_of(&[("", "", 1)]);
    let call = Call {
        charges: &charges,
        hold: Some(SECOND),
        ..Call::default()
    };
    let decision = rig.limiter.acquire("a", &call).expect("known").decision;
    assert_eq!(decision.verdict, Verdict::Unavailable);
    assert_eq!(rig.drain(), 10);
}

#[test]
fn of_a_key_whose_rate_changed_there_and_back_nothing_comes_back() {
    let limit = |rate| vec![named("api", None, Some(quota(rate, 5)))];
    let slow = tier("slow", None, limit(1));
    let rig = Rig::new(vec![slow, tier("fast", None, limit(50))]);
    let charges = charges_of(&[("api", "u", 5)]);
    let call = Call {
        charges: &charges,
        hold: Some(60 * SECOND),
        ..Call::default()
    };
    let decision = rig.limiter.acquire("a", &call).expect("known").decision;
    let held = decision.reservation.expect("there are five");
    rig.put("fast");
    // All of it is back at this rate, and spent again.
    rig.clock.advance(SECOND);
    assert!(rig.call(&[("api", "u", 5)]).is_allowed());
    rig.put("slow");
    assert_eq!(release(&rig, held), Settlement::Done);
    assert!(!rig.call(&[("api", "u", 1)]).is_allowed());
}
