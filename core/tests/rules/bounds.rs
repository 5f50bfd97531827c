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
