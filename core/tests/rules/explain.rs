//! What a key's explanation says, and that asking for it changes nothing.

use std::time::Duration;

use millpond_core::cache::expiry::Phase;
use millpond_core::cache::{
    Config, Covering, Fill, Invalidation, LoadError, Policy, Target, What, Why,
};

use crate::support::*;

fn happened(bench: &Bench, key: &str) -> Vec<What> {
    let explained = bench.pond.explain(&bench.scope, key.as_bytes());
    explained
        .events
        .iter()
        .map(|(_, event)| event.what)
        .collect()
}

fn last(bench: &Bench, key: &str) -> What {
    happened(bench, key)[0]
}

#[test]
fn a_key_nobody_touched_has_no_story() {
    let bench = Bench::new();
    let explained = bench.pond.explain(&bench.scope, b"k");
    assert!(explained.held.is_none() && explained.loading.is_none());
    assert!(explained.events.is_empty() && explained.floors.is_empty());
}

#[test]
fn an_explanation_tells_what_is_held_and_how_long_it_lasts() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    bench.pass(SECOND * 2);
    assert!(is_stored(done(lease.settle(tagged("value", "t")))));
    bench.pass(SECOND * 10);
    let explained = bench.pond.explain(&bench.scope, b"k");
    let held = explained.held.expect("it is held");
    assert_eq!((held.phase, held.age), (Phase::Fresh, SECOND * 10));
    assert_eq!(held.left, [SECOND * 20, SECOND * 80, SECOND * 380]);
    assert_eq!(held.hit.load_time(), SECOND * 2);
    assert_eq!(held.hit.tags().collect::<Vec<_>>(), [b"t"]);
    assert!(held.counted > 5 && held.gone_by.is_none() && held.stale_by.is_none());
    assert_eq!(happened(&bench, "k"), [What::Stored, What::Leased]);
    assert_eq!(explained.events[0].0, SECOND * 10);
    assert_eq!(explained.events[1].0, SECOND * 12);

    bench.pass(SECOND * 20);
    let held = bench.pond.explain(&bench.scope, b"k").held;
    assert_eq!(held.expect("it is held").phase, Phase::Stale);
}

#[test]
fn an_explanation_tells_who_loads_and_who_waits() {
    let bench = Bench::new();
    bench.set("k", "old");
    bench.pass(SECOND * 31);
    let answer = bench.answer("k");
    let lease = answer.lease.expect("the refresh");
    bench.pass(SECOND * 4);
    let loading = bench.pond.explain(&bench.scope, b"k").loading;
    let loading = loading.expect("it is loaded");
    assert!(loading.refresh && loading.counts);
    assert_eq!(loading.began, SECOND * 4);
    assert_eq!(loading.exclusive, SECOND * 6);
    assert_eq!((loading.loads, loading.waiters), (1, 0));
    drop(lease);

    let lease = bench.lead("other");
    let waiters = [bench.follow("other"), bench.follow("other")];
    let loading = bench.pond.explain(&bench.scope, b"other").loading;
    let loading = loading.expect("it is loaded");
    assert_eq!((loading.waiters, loading.refresh), (2, false));
    bench.invalidate_as(Target::Cache, HARD);
    let loading = bench.pond.explain(&bench.scope, b"other").loading;
    assert!(!loading.expect("nobody has visited it").counts);
    drop((waiters, lease));
}

#[test]
fn every_end_of_a_load_is_told() {
    let bench = Bench::new();
    drop(bench.lead("given up"));
    assert_eq!(last(&bench, "given up"), What::GivenUp);

    let failed = Fill::Failed(LoadError::new("no", None));
    done(bench.lead("failed").settle(failed));
    assert_eq!(last(&bench, "failed"), What::Failed);

    let lease = bench.lead("invalidated");
    bench.invalidate("invalidated");
    assert_eq!(last(&bench, "invalidated"), What::Invalidated);
    fill(lease, "late");
    let why = What::Superseded(Why::Unrecorded);
    assert_eq!(last(&bench, "invalidated"), why);

    let lease = bench.lead("covered");
    bench.invalidate_as(Target::Cache, HARD);
    fill(lease, "late");
    assert_eq!(last(&bench, "covered"), What::Superseded(Why::Covered));

    let lease = bench.lead("slow");
    bench.pass(SECOND * 60);
    fill(lease, "late");
    assert_eq!(last(&bench, "slow"), What::Superseded(Why::TooSlow));

    let settle = Invalidation {
        settle: SECOND * 5,
        ..HARD
    };
    bench.invalidate_as(Target::Keys(&["lagging"]), settle);
    let lease = bench.lead("lagging");
    bench.pass(SECOND * 6);
    fill(lease, "of a replica");
    assert_eq!(last(&bench, "lagging"), What::Superseded(Why::Settling));

    bench.set("set", "value");
    assert_eq!(last(&bench, "set"), What::Set);
    let soft = Invalidation { soft: true, ..HARD };
    bench.invalidate_as(Target::Keys(&["set"]), soft);
    assert_eq!(last(&bench, "set"), What::Softened);
}

#[test]
fn a_lease_that_runs_out_is_told_as_a_promotion() {
    let bench = Bench::new();
    let _lease = bench.lead("k");
    let mut waiter = bench.follow("k");
    bench.pass(SECOND * 10);
    let answer = poll(&mut waiter).expect("the lease ran out");
    assert!(answer.lease.is_some());
    assert_eq!(happened(&bench, "k"), [What::Promoted, What::Leased]);
}

#[test]
fn a_lease_of_another_process_is_told() {
    let (bench, other) = (Bench::new(), Bench::new());
    let grant = other.lead("k").detach();
    bench
        .pond
        .fill(&bench.scope, b"k", grant, Fill::value("theirs"));
    assert_eq!(last(&bench, "k"), What::Superseded(Why::OtherBoot));
}

#[test]
fn what_the_origin_confirmed_is_told_as_confirmed() {
    let bench = Bench::new();
    let Fill::Found {
        body, times, tags, ..
    } = value("value")
    else {
        panic!("a value");
    };
    let with_etag = Fill::Found {
        body,
        times,
        tags,
        etag: "v1".into(),
    };
    done(bench.lead("k").settle(with_etag));
    bench.pass(SECOND * 31);
    let lease = bench.answer("k").lease.expect("the refresh");
    let confirmed = Fill::NotModified {
        times: millpond_core::cache::Times::default(),
    };
    assert!(is_stored(done(lease.settle(confirmed))));
    let told = [
        What::Confirmed,
        What::Refreshing,
        What::Stored,
        What::Leased,
    ];
    assert_eq!(happened(&bench, "k"), told);
}

#[test]
fn the_invalidation_to_blame_is_named() {
    let bench = Bench::new();
    bench.load_tagged("k", "value", "t");
    let gone_by = |bench: &Bench| {
        let held = bench.pond.explain(&bench.scope, b"k").held;
        held.expect("not swept yet").gone_by.map(|floor| floor.of)
    };
    assert_eq!(gone_by(&bench), None);
    bench.pass(SECOND);
    bench.invalidate_as(Target::Tags(&["t"]), HARD);
    assert_eq!(gone_by(&bench), Some(Covering::Tag(Box::from(*b"t"))));
    bench.pass(SECOND);
    bench.invalidate_as(Target::Cache, HARD);
    assert_eq!(gone_by(&bench), Some(Covering::Cache));
    bench.pass(SECOND);
    bench.pond.invalidate_tenant(bench.scope.tenant(), HARD);
    assert_eq!(gone_by(&bench), Some(Covering::Tenant));

    bench.pass(SECOND * 3);
    let floors = bench.pond.explain(&bench.scope, b"k").floors;
    let told: Vec<_> = floors
        .iter()
        .map(|(ago, floor)| (*ago, &floor.of))
        .collect();
    assert_eq!(
        told,
        [
            (SECOND * 4, &Covering::Cache),
            (SECOND * 3, &Covering::Tenant)
        ]
    );
}

#[test]
fn a_soft_invalidation_is_named_as_what_made_it_stale() {
    let bench = Bench::new();
    bench.set("k", "value");
    let soft = Invalidation { soft: true, ..HARD };
    bench.invalidate_as(Target::Cache, soft);
    let held = bench.pond.explain(&bench.scope, b"k").held;
    let held = held.expect("it is held");
    assert_eq!(held.phase, Phase::Stale);
    let by = held.stale_by.expect("something made it stale");
    assert_eq!((by.of, by.soft), (Covering::Cache, true));
    assert!(held.gone_by.is_none());
}

#[test]
fn what_is_swept_is_told_as_expired_or_as_buried() {
    let bench = Bench::new();
    bench.set("expired", "value");
    bench.pass(SECOND * 390);
    bench.set("buried", "value");
    bench.invalidate_as(Target::Cache, HARD);
    bench.set("alive", "value");
    assert_eq!(bench.pond.sweep(), 2);
    // Both are under the barrier; it is the one that is still blamed.
    assert_eq!(last(&bench, "buried"), What::Buried);
    assert_eq!(last(&bench, "alive"), What::Set);

    bench.pass(SECOND * 390);
    assert_eq!(bench.pond.sweep(), 1);
    assert_eq!(last(&bench, "alive"), What::Expired);
}

#[test]
fn what_went_for_room_is_told() {
    let bench = Bench::configured(Config {
        budget: 64 << 10,
        undeclared: policy(),
        ..Config::default()
    });
    let keys: Vec<String> = (0..2_000).map(|key| format!("key {key}")).collect();
    for key in &keys {
        bench.set(key, "value");
    }
    bench.pond.sweep();
    let evictions = bench.pond.gauges().evictions;
    assert!(evictions > 1_000, "{evictions}");
    let (mut gone, mut told) = (0, 0);
    for key in &keys {
        let explained = bench.pond.explain(&bench.scope, key.as_bytes());
        let evicted = explained
            .events
            .iter()
            .any(|(_, event)| event.what == What::Evicted);
        match explained.held {
            Some(_) => assert!(!evicted, "{key} is held"),
            None => gone += 1,
        }
        told += usize::from(evicted);
    }
    // The table has room for 4 096, two of which seldom share a slot.
    assert!(told * 10 > gone * 6, "{told} of {gone}");
}

#[test]
fn explaining_changes_nothing() {
    let bench = Bench::configured(Config {
        undeclared: Policy {
            stale: Duration::ZERO,
            ..policy()
        },
        ..Config::default()
    });
    bench.set("k", "value");
    let (totals, gauges) = (bench.pond.totals(), bench.pond.gauges());
    for key in [&b"k"[..], b"unknown"] {
        for _ in 0..100 {
            drop(bench.pond.explain(&bench.scope, key));
        }
    }
    assert_eq!(bench.pond.totals(), totals);
    assert_eq!(bench.pond.gauges(), gauges);
    assert_eq!(happened(&bench, "k"), [What::Set]);

    let (tenant, cache) = names("nobody", "nothing");
    assert!(bench.pond.scope_in_use(&tenant, &cache).is_none());
    assert_eq!(bench.pond.gauges().caches, 1);
    let ours = bench
        .pond
        .scope_in_use(bench.scope.tenant(), bench.scope.cache());
    assert!(ours.is_some());
}

#[test]
fn a_key_of_another_tenant_has_another_story_and_another_pseudonym() {
    let bench = Bench::new();
    let theirs = bench.scope("other", "users");
    bench.set("k", "value");
    let explained = bench.pond.explain(&theirs, b"k");
    assert!(explained.held.is_none() && explained.events.is_empty());
    let name = bench.pond.pseudonym(&bench.scope, b"k");
    assert_ne!(name, bench.pond.pseudonym(&theirs, b"k"));
    assert_eq!(name, bench.pond.pseudonym(&bench.scope, b"k"));
}

#[test]
fn stale_answers_are_counted_by_their_reason() {
    let bench = Bench::configured(Config {
        max_loads: 1,
        undeclared: policy(),
        ..Config::default()
    });
    let by_reason = |bench: &Bench| {
        let totals = bench.pond.totals();
        let revalidating = totals.stale_revalidating();
        assert_eq!(
            totals.stale,
            revalidating + totals.stale_load_failed + totals.stale_shed
        );
        (revalidating, totals.stale_load_failed, totals.stale_shed)
    };
    bench.set("k", "value");
    bench.pass(SECOND * 31);
    let lease = bench.answer("k").lease.expect("the refresh");
    assert_eq!(by_reason(&bench), (1, 0, 0));
    done(lease.settle(Fill::Failed(LoadError::new("no", None))));
    drop(bench.answer("k"));
    assert_eq!(by_reason(&bench), (1, 1, 0));

    // Past its stale time, with the one load that may be under way elsewhere.
    bench.pass(SECOND * 61);
    let _elsewhere = bench.lead("other");
    drop(bench.answer("k"));
    assert_eq!(by_reason(&bench), (1, 1, 1));
}
