//! C14, where it is easiest to forget: settle times outlive what they were set on.

use std::time::Duration;

use millpond_core::cache::{Config, Invalidation, Lookup, Target};

use crate::support::*;

const SETTLE: Invalidation = Invalidation {
    soft: false,
    settle: Duration::from_secs(10),
};

/// Loads a key of a cache of its own after the sweep; what is held after the settle
/// time.
fn after_settling(bench: &Bench) -> Option<String> {
    bench.pass(SECOND);
    bench.pond.sweep();
    let scope = bench.scope("other", "cache");
    let Lookup::Answer(answer) = bench.pond.get(&scope, b"k", bench.want()) else {
        panic!("nobody leads");
    };
    assert!(is_stored(fill(answer.lease.expect("the lease"), "may lag")));
    bench.pass(SECOND * 15);
    bench.held_in(&scope, "k")
}

#[test]
fn c14_a_caches_settle_time_outlives_its_last_handle() {
    let bench = Bench::new();
    bench
        .pond
        .invalidate::<&str>(&bench.scope("other", "cache"), Target::Cache, SETTLE);
    assert_eq!(after_settling(&bench), None);
}

#[test]
fn c14_a_keys_settle_time_outlives_the_last_handle_on_its_cache() {
    let bench = Bench::new();
    bench
        .pond
        .invalidate(&bench.scope("other", "cache"), Target::Keys(&["k"]), SETTLE);
    assert_eq!(after_settling(&bench), None);
}

#[test]
fn c14_a_tenants_settle_time_holds_although_nothing_of_it_is_held_yet() {
    let bench = Bench::new();
    let (tenant, _) = names("other", "cache");
    bench.pond.invalidate_tenant(&tenant, SETTLE);
    assert_eq!(after_settling(&bench), None);
}

#[test]
fn c14_a_tags_settle_time_outlives_the_tag() {
    let bench = Bench::configured(Config {
        tags_per_tenant: 8,
        undeclared: policy(),
        ..Config::default()
    });
    bench.invalidate_as(Target::Tags(&["t"]), SETTLE);
    for i in 0..20 {
        bench.invalidate_as(Target::Tags(&[&format!("crowd{i}")]), HARD);
    }
    assert!(is_stored(bench.load_tagged("k", "may lag", "t")));
    bench.pass(SECOND * 15);
    assert_eq!(bench.held("k"), None);
}

#[test]
fn a_scope_is_forgotten_once_its_settle_time_can_matter_to_nobody() {
    let bench = Bench::new();
    bench
        .pond
        .invalidate::<&str>(&bench.scope("other", "cache"), Target::Cache, SETTLE);
    bench.pond.sweep();
    assert_eq!(bench.pond.gauges().caches, 2);
    bench.pass(SECOND * 70); // the settle time, and the longest load that began in it
    bench.pond.sweep();
    assert_eq!(bench.pond.gauges().caches, 1);
}
