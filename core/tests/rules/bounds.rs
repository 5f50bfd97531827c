//! What is bounded: loads, waiters, values; and what those beyond are told.

use millpond_core::cache::{Config, Filled, Lookup, Policy, Reason, Want};

use crate::support::*;

#[test]
fn unsettled_loads_are_bounded_and_readers_beyond_are_shed() {
    let bench = Bench::configured(Config {
        max_loads: 3,
        undeclared: policy(),
        ..Config::default()
    });
    let leases: Vec<_> = ["a", "b", "c"].map(|key| bench.lead(key)).into();
    let shed = bench.answer("d");
    assert_eq!(shed.reason, Some(Reason::Shed));
    assert!(shed.retry_after.is_some());
    drop(leases);
    assert!(bench.answer("d").lease.is_some());
}

#[test]
fn a_value_too_large_to_keep_is_handed_to_those_who_wait() {
    let bench = Bench::with(Policy {
        max_value: 4,
        ..policy()
    });
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    assert_eq!(fill(lease, "large"), Filled::TooLarge { limit: 4, size: 5 });
    assert_eq!(
        found(&poll(&mut follower).expect("woken")).as_deref(),
        Some("large")
    );
    assert_eq!(bench.held("k"), None);
    assert_eq!(bench.pond.gauges().bytes, 0);
}

#[test]
fn waiters_are_bounded_and_those_who_left_do_not_count() {
    let bench = Bench::configured(Config {
        max_waiters: 200,
        undeclared: policy(),
        ..Config::default()
    });
    let _lease = bench.lead("k");
    let crowd: Vec<_> = (0..200).map(|_| bench.follow("k")).collect();
    assert_eq!(bench.answer("k").reason, Some(Reason::Shed));
    drop(crowd);
    let waiting: Vec<_> = (0..200).map(|_| bench.follow("k")).collect();
    assert_eq!(bench.answer("k").reason, Some(Reason::Shed));
    drop(waiting);
    for _ in 0..1_000 {
        drop(bench.follow("k"));
    }
}

#[test]
fn a_promoted_follower_has_the_lease_it_asked_for() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let want = Want {
        lease: Some(SECOND * 3),
        ..bench.want()
    };
    let Lookup::Follow(mut follower) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("somebody leads");
    };
    assert!(poll(&mut follower).is_none());
    drop(lease);
    let lease = poll(&mut follower).expect("woken").lease.expect("promoted");
    assert_eq!(lease.expires_in(), SECOND * 3);
}

#[test]
fn c5_a_follower_that_outlasts_the_lease_succeeds_its_leader_however_late_it_wakes() {
    let bench = Bench::new();
    let _dead = bench.lead("k").detach();
    let follow = |patience| {
        let want = Want::load_until(bench.clock.now().after(patience));
        match bench.pond.get(&bench.scope, b"k", want) {
            Lookup::Follow(follower) => follower,
            Lookup::Answer(answer) => panic!("somebody leads: {answer:?}"),
        }
    };
    let mut hasty = follow(SECOND * 10 - std::time::Duration::from_nanos(1));
    let (mut first, mut second) = (follow(SECOND * 10), follow(SECOND * 10));
    bench.pass(SECOND * 11);
    let expired = |answer: millpond_core::cache::Answer| answer.reason;
    let reason = poll(&mut hasty).map(expired);
    assert_eq!(reason, Some(Some(Reason::WaitExpired)));
    let _lease = poll(&mut first)
        .expect("it woke")
        .lease
        .expect("the lease ended while it waited");
    let reason = poll(&mut second).map(expired);
    assert_eq!(reason, Some(Some(Reason::WaitExpired)), "another leads");
}

#[test]
fn c2_a_loader_slower_than_many_leases_is_stored_and_its_loads_at_once_are_bounded() {
    let bench = Bench::with(Policy {
        lease: SECOND,
        max_load: SECOND * 60,
        ..policy()
    });
    let mut running = std::collections::VecDeque::new();
    let (mut begun, mut stored, mut most) = (0, 0, 0);
    for second in 0..600 {
        while running
            .front()
            .is_some_and(|(began, _)| second - began >= 20)
        {
            let (_, lease) = running.pop_front().expect("just seen");
            stored += usize::from(is_stored(fill(lease, "v")));
        }
        match bench.get("k") {
            Lookup::Answer(answer) => running.extend(answer.lease.map(|lease| (second, lease))),
            Lookup::Follow(_) => {}
        }
        begun += usize::from(running.back().is_some_and(|(began, _)| *began == second));
        most = most.max(running.len());
        bench.pass(SECOND);
    }
    assert!(most <= 16, "{most} loads at once");
    assert!(stored >= 5 && begun < 200, "{begun} begun, {stored} stored");
}

#[test]
fn flights_of_dead_leaders_and_departed_waiters_are_forgotten() {
    let bench = Bench::configured(Config {
        max_caches: 4,
        undeclared: policy(),
        ..Config::default()
    });
    for cache in ["a", "b", "c"] {
        let scope = bench.scope("t", cache);
        let Lookup::Answer(answer) = bench.pond.get(&scope, b"k", bench.want()) else {
            panic!("nobody leads");
        };
        let _dead = answer.lease.expect("the lease").detach();
        let Lookup::Follow(follower) = bench.pond.get(&scope, b"k", bench.want()) else {
            panic!("somebody leads");
        };
        drop(follower);
    }
    let (tenant, cache) = names("t", "new");
    assert!(bench.pond.scope(&tenant, &cache).is_err(), "all are in use");
    bench.pass(SECOND * 61);
    bench.pond.sweep();
    assert!(bench.pond.scope(&tenant, &cache).is_ok());
}

#[test]
fn a_reader_that_is_shed_gets_what_is_stale() {
    let bench = Bench::configured(Config {
        max_loads: 1,
        undeclared: policy(),
        ..Config::default()
    });
    bench.set("k", "old");
    bench.pass(SECOND * 100);
    let _lease = bench.lead("other");
    let answer = bench.answer("k");
    assert_eq!(answer.reason, Some(Reason::Shed));
    assert_eq!(
        (found(&answer).as_deref(), answer.stale),
        (Some("old"), true)
    );
}

#[test]
fn a_lease_of_no_time_still_excludes() {
    let bench = Bench::new();
    let want = Want {
        lease: Some(std::time::Duration::ZERO),
        ..bench.want()
    };
    let reads: Vec<_> = (0..20)
        .map(|_| bench.pond.get(&bench.scope, b"k", want))
        .collect();
    let led = |lookup: &&Lookup| matches!(lookup, Lookup::Answer(answer) if answer.lease.is_some());
    assert_eq!(reads.iter().filter(led).count(), 1);
}

#[test]
#[should_panic(expected = "a policy is wrong")]
fn a_policy_that_makes_no_sense_is_refused() {
    let _pond = Bench::with(Policy {
        jitter: f64::NAN,
        ..policy()
    });
}
