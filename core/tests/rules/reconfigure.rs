//! Other policies on a pond that is in use.

use std::collections::HashMap;
use std::time::Duration;

use millpond_core::cache::{
    CacheName, Config, Filled, Invalidation, Lookup, Mode, Policy, Pond, Reason, Switched, Target,
    Write, WriteError,
};

use crate::support::*;

fn loads_for(seconds: u32) -> Policy {
    Policy {
        max_load: SECOND * seconds,
        ..policy()
    }
}

fn fresh_for(seconds: u32) -> Policy {
    Policy {
        fresh: SECOND * seconds,
        stale: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        ..policy()
    }
}

#[test]
fn what_is_stored_keeps_its_deadlines_and_what_is_stored_next_has_the_new_ones() {
    let bench = Bench::with(fresh_for(30));
    bench.set("before", "v");
    bench.reconfigure(fresh_for(10));
    bench.set("after", "v");
    bench.pass(SECOND * 11);
    assert_eq!(bench.held("before").as_deref(), Some("v"));
    assert_eq!(bench.held("after"), None);
}

#[test]
fn a_load_keeps_the_max_load_it_began_under() {
    let bench = Bench::with(loads_for(600));
    let slow = bench.lead("slow");
    bench.reconfigure(loads_for(60));
    let quick = bench.lead("quick");
    bench.pass(SECOND * 599);
    assert!(is_stored(fill(slow, "v")));
    assert_eq!(fill(quick, "v"), Filled::Superseded);
}

#[test]
fn a_longer_max_load_is_not_given_to_loads_that_began_before_it() {
    let bench = Bench::with(loads_for(60));
    let load = bench.lead("k");
    bench.reconfigure(loads_for(600));
    bench.pass(SECOND * 61);
    assert_eq!(fill(load, "v"), Filled::Superseded);
}

#[test]
fn a_lease_ends_when_it_was_granted_to_end() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    bench.reconfigure(Policy {
        lease: SECOND,
        ..policy()
    });
    bench.pass(SECOND * 9);
    let _follows = bench.follow("k");
    bench.pass(SECOND);
    let next = bench.lead("k");
    bench.pass(SECOND);
    assert!(bench.answer("k").lease.is_some(), "the new lease is of 1 s");
    drop((lease, next));
}

#[test]
fn a_cache_obeys_the_policies_whether_it_was_in_use_or_not() {
    let bench = Bench::new();
    let (_, orders) = names("acme", "orders");
    let declared = HashMap::from([(orders.clone(), fresh_for(7))]);
    let used = bench.scope("acme", "orders");
    bench.pond.reconfigure(declared, fresh_for(3));
    assert_eq!(used.policy(), fresh_for(7));
    assert_eq!(bench.scope("new", "orders").policy(), fresh_for(7));
    assert_eq!(bench.scope.policy(), fresh_for(3));
    assert_eq!(bench.scope("new", "other").policy(), fresh_for(3));

    bench.pond.reconfigure(HashMap::new(), fresh_for(5));
    assert_eq!(used.policy(), fresh_for(5), "declared no longer");
}

#[test]
fn the_largest_value_and_early_refreshes_follow_the_policy_at_once() {
    let bench = Bench::new();
    assert!(is_stored(bench.load("k", "value")));
    let small = Policy {
        max_value: 4,
        early_refresh: 100.0,
        ..policy()
    };
    bench.reconfigure(small);
    let refused = bench.pond.set(&bench.scope, b"new", Write::value("value"));
    let too_large = WriteError::TooLarge { limit: 4, size: 5 };
    assert_eq!(refused, Err(too_large));
    assert_eq!(bench.held("k").as_deref(), Some("value"));
    assert!((bench.scope.early_refresh() - 100.0).abs() < f64::EPSILON);
}

#[test]
fn a_wrong_policy_changes_nothing() {
    let bench = Bench::new();
    let wrong = Policy {
        lease: Duration::ZERO,
        ..policy()
    };
    let declared = HashMap::from([(bench.scope.cache().clone(), fresh_for(1))]);
    let pond = std::panic::AssertUnwindSafe(&bench.pond);
    let refused = std::panic::catch_unwind(|| pond.reconfigure(declared, wrong));
    assert!(refused.is_err());
    assert_eq!(bench.scope.policy(), policy());
}

/// A load begins inside a settle time, under `under`, and ends `after` it.
fn lags(bench: &Bench, under: Policy, after: Duration) -> Option<String> {
    let soft = Invalidation {
        soft: true,
        settle: SECOND * 10,
    };
    bench.invalidate_as(Target::Keys(&["k"]), soft);
    bench.reconfigure(under);
    bench.pass(SECOND);
    let load = bench.lead("k");
    bench.pass(after);
    bench.pond.sweep();
    assert_eq!(fill(load, "may lag"), Filled::Superseded);
    bench.held("k")
}

#[test]
fn c14_a_settle_time_is_remembered_for_a_longer_load_that_a_reload_allowed() {
    let bench = Bench::with(loads_for(60));
    assert_eq!(lags(&bench, loads_for(600), SECOND * 500), None);
}

#[test]
fn c14_a_settle_time_is_remembered_for_a_longer_load_that_a_reload_forbade() {
    let bench = Bench::with(loads_for(600));
    let load = bench.lead("k");
    bench.reconfigure(loads_for(60));
    let soft = Invalidation {
        soft: true,
        settle: SECOND * 10,
    };
    bench.invalidate_as(Target::Keys(&["k"]), soft);
    bench.pass(SECOND * 500);
    bench.pond.sweep();
    assert_eq!(fill(load, "may lag"), Filled::Superseded);
}

#[test]
fn c14_a_tenants_settle_time_is_remembered_for_a_longer_load_that_a_reload_allowed() {
    let bench = Bench::with(loads_for(60));
    let (tenant, _) = names("other", "cache");
    let settle = Invalidation {
        soft: false,
        settle: SECOND * 10,
    };
    bench.pond.invalidate_tenant(&tenant, settle);
    bench.reconfigure(loads_for(600));
    bench.pass(SECOND * 9);
    bench.pond.sweep();
    let Lookup::Answer(answer) = bench
        .pond
        .get(&bench.scope("other", "cache"), b"k", bench.want())
    else {
        panic!("nobody leads");
    };
    bench.pass(SECOND * 500);
    bench.pond.sweep();
    let lease = answer.lease.expect("nobody leads");
    assert_eq!(fill(lease, "may lag"), Filled::Superseded);
}

#[test]
fn a_policys_mode_holds_for_every_tenant_of_the_cache_and_no_other_cache() {
    let bench = Bench::new();
    let (other, elsewhere) = (bench.scope("other", "users"), bench.scope("acme", "orders"));
    bench.set("k", "v");
    let off = Policy {
        mode: Mode::Bypass,
        ..policy()
    };
    let declared = HashMap::from([(bench.scope.cache().clone(), off)]);
    bench.pond.reconfigure(declared, policy());
    assert_eq!(bench.answer("k").reason, Some(Reason::Bypass));
    assert_eq!(other.mode(), Mode::Bypass);
    assert_eq!(bench.scope("new", "users").mode(), Mode::Bypass);
    assert_eq!(elsewhere.mode(), Mode::On);
    bench.pond.reconfigure(HashMap::new(), policy());
    assert_eq!(bench.held("k").as_deref(), Some("v"));
}

#[test]
fn an_operators_word_is_above_the_policys_and_outlives_reloads_and_idle_caches() {
    let pond = Bench::new().pond;
    let (tenant, cache) = names("acme", "users");
    let mode = || pond.scope(&tenant, &cache).expect("room").mode();
    let switched = |mode| pond.switch(&cache, mode).expect("room");
    let (on, observe, off) = (Mode::On, Mode::Observe, Mode::Bypass);
    let changed = |before, after| Switched { before, after };

    pond.sweep();
    assert_eq!(pond.gauges().caches, 0);
    assert_eq!(switched(Some(off)), changed(on, off));
    assert_eq!(mode(), off);
    pond.sweep();
    assert_eq!(pond.gauges().caches, 0, "forgotten with its tenant");
    assert_eq!(mode(), off, "and remembered by its name");
    let observing = Policy {
        mode: observe,
        ..policy()
    };
    pond.reconfigure(HashMap::from([(cache.clone(), observing)]), policy());
    assert_eq!(mode(), off);
    assert_eq!(switched(None), changed(off, observe));
    assert_eq!(mode(), observe);
}

fn listed(pond: &Pond) -> Vec<(String, bool, usize)> {
    let caches = pond.caches().into_iter();
    caches
        .map(|cache| {
            (
                cache.name.as_str().to_owned(),
                cache.declared,
                cache.tenants,
            )
        })
        .collect()
}

#[test]
fn caches_are_listed_with_what_holds_for_them_and_who_uses_them() {
    let (_, orders) = names("t", "orders");
    let bench = Bench::configured(Config {
        declared: HashMap::from([(orders.clone(), fresh_for(7))]),
        ..Config::default()
    });
    let held = [bench.scope("a", "carts"), bench.scope("b", "carts")];
    let expected = [
        ("orders", true, 0),
        ("carts", false, 2),
        ("users", false, 1),
    ];
    let expected = expected.map(|(name, declared, tenants)| (name.to_owned(), declared, tenants));
    assert_eq!(listed(&bench.pond), expected);
    bench
        .pond
        .switch(&orders, Some(Mode::Observe))
        .expect("room");
    let first = bench.pond.caches().remove(0);
    assert_eq!((first.mode, first.switched), (Mode::Observe, true));
    assert_eq!(first.policy, fresh_for(7));

    drop(held);
    bench.pond.sweep();
    let expected = [("orders", true, 0), ("users", false, 1)];
    let expected = expected.map(|(name, declared, tenants)| (name.to_owned(), declared, tenants));
    assert_eq!(listed(&bench.pond), expected);
}

#[test]
fn the_list_of_caches_is_bounded_and_leaves_out_the_least_used() {
    let bench = Bench::new();
    let _busy = [bench.scope("a", "busy"), bench.scope("b", "busy")];
    for i in 0..2_000 {
        drop(bench.scope("acme", &format!("cache-{i:04}")));
    }
    let listed = bench.pond.caches();
    assert_eq!(listed.len(), 1_024);
    assert_eq!(listed[0].name.as_str(), "busy");
    assert_eq!(listed[1_023].name.as_str(), "cache-1022");
}

#[test]
fn a_switched_cache_is_told_however_many_others_there_are() {
    let declared = (0..2_000).map(|i| (names("t", &format!("declared-{i:04}")).1, fresh_for(7)));
    let bench = Bench::configured(Config {
        declared: declared.collect(),
        ..Config::default()
    });
    let (_, off) = names("t", "zz-off");
    bench.pond.switch(&off, Some(Mode::Bypass)).expect("room");
    let listed = bench.pond.caches();
    assert_eq!(listed.len(), 1_024);
    let last = &listed[1_023];
    assert_eq!((last.name.as_str(), last.switched), ("zz-off", true));
    assert_eq!(listed[1_022].name.as_str(), "declared-1022");

    let left_out = names("t", "declared-1999").1;
    let told = bench.pond.cache(&left_out).expect("it is declared");
    assert_eq!((told.declared, told.policy), (true, fresh_for(7)));
    assert_eq!(bench.pond.cache(&names("t", "nobodys").1), None);
}

#[test]
fn as_many_names_may_be_switched_as_caches_may_be_in_use() {
    let bench = Bench::configured(Config {
        max_caches: 2,
        ..Config::default()
    });
    let name = |name: &str| CacheName::parse(name).expect("a valid name");
    bench
        .pond
        .switch(&name("one"), Some(Mode::Bypass))
        .expect("room");
    let refused = bench.pond.switch(&name("two"), Some(Mode::Bypass));
    assert_eq!(refused.expect_err("users and one").limit, 2);
    bench.pond.switch(&name("one"), None).expect("it is known");
    bench
        .pond
        .switch(&name("two"), Some(Mode::Bypass))
        .expect("room again");
}
