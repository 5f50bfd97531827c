//! Reads and loads, by cache.

use std::collections::HashMap;
use std::sync::Arc;

use millpond_core::cache::{
    CacheCounts, CacheName, Config, MAX_CACHES_COUNTED, Mode, OTHER_CACHES, Policy, Pond, Scope,
    Want,
};

use crate::support::{Bench, SECOND, fill, names, policy};

fn declared(names: impl IntoIterator<Item = impl AsRef<str>>) -> HashMap<CacheName, Policy> {
    let name = |name: &str| CacheName::parse(name).expect("a valid cache");
    names
        .into_iter()
        .map(|of| (name(of.as_ref()), policy()))
        .collect()
}

fn declaring(names: impl IntoIterator<Item = impl AsRef<str>>) -> Bench {
    Bench::configured(Config {
        declared: declared(names),
        undeclared: policy(),
        ..Config::default()
    })
}

/// Hits, stale reads, misses, loads.
fn told(counts: CacheCounts) -> [u64; 4] {
    [counts.hits, counts.stale, counts.misses, counts.loads]
}

fn of(pond: &Pond, cache: &str) -> Option<[u64; 4]> {
    let (_, cache) = names("acme", cache);
    pond.cache(&cache)?.counts.map(told)
}

fn miss(pond: &Arc<Pond>, scope: &Arc<Scope>) {
    drop(pond.get(scope, b"missed", Want::held()));
}

#[test]
fn each_declared_cache_counts_its_reads_and_loads_over_all_tenants() {
    let bench = declaring(["orders", "users"]);
    let lease = bench.lead("k");
    let waiter = bench.follow("k");
    // The leader is gone: the load goes to the waiter.
    drop(lease);
    let promoted = bench.pond.totals().promoted;
    assert_eq!(
        (promoted, of(&bench.pond, "users")),
        (1, Some([0, 0, 2, 2]))
    );
    drop(waiter);
    bench.load("k", "value");
    assert!(bench.held("k").is_some());
    assert_eq!(bench.pond.with(&bench.scope, b"k", |_| ()), Some(()));
    miss(&bench.pond, &bench.scope("umbrella", "users"));
    let [hits, stale, misses, _] = of(&bench.pond, "users").expect("it is declared");
    assert_eq!([hits, stale, misses], [2, 0, 4]);

    bench.pass(policy().fresh + SECOND);
    let refresh = bench.lead("k");
    assert_eq!(of(&bench.pond, "users").map(|told| told[1]), Some(1));
    fill(refresh, "newer");
    bench.switch(Mode::Observe);
    fill(bench.lead("k"), "newer");
    let totals = bench.pond.totals();
    let observed = totals.matches + totals.mismatches;
    let loads = totals.leads + totals.refreshes + totals.promoted + observed;
    let users = of(&bench.pond, "users").expect("it is declared");
    assert_eq!(users, [totals.hits, totals.stale, totals.misses, loads]);
    assert_eq!(of(&bench.pond, "orders"), Some([0; 4]));
    assert_eq!(told(bench.pond.other_counts()), [0; 4]);
}

#[test]
fn what_is_not_declared_is_counted_together_and_so_is_a_cache_of_that_name() {
    let bench = declaring(["users", OTHER_CACHES]);
    for cache in ["strange", "stranger", OTHER_CACHES] {
        miss(&bench.pond, &bench.scope("acme", cache));
        assert_eq!(of(&bench.pond, cache), None);
    }
    assert_eq!(told(bench.pond.other_counts()), [0, 0, 3, 0]);
    assert_eq!(bench.pond.counts_by_cache().len(), 1);
    assert_eq!(bench.pond.totals().misses, 3);
}

#[test]
fn a_cache_that_is_declared_again_goes_on_where_it_was() {
    let bench = declaring(["users"]);
    let reload = |names: &[&str]| bench.pond.reconfigure(declared(names), policy());
    miss(&bench.pond, &bench.scope);
    reload(&[]);
    assert_eq!(of(&bench.pond, "users"), None);
    miss(&bench.pond, &bench.scope);
    reload(&["orders", "users"]);
    miss(&bench.pond, &bench.scope);
    assert_eq!(of(&bench.pond, "users"), Some([0, 0, 2, 0]));
    assert_eq!(of(&bench.pond, "orders"), Some([0; 4]));
    assert_eq!(told(bench.pond.other_counts()), [0, 0, 1, 0]);
}

#[test]
fn as_many_as_may_be_are_counted_by_themselves_the_first_by_name() {
    let all: Vec<String> = (0..MAX_CACHES_COUNTED + 45)
        .map(|number| format!("c{number:03}"))
        .collect();
    let bench = declaring(["users"]);
    // Some come with a reload, and need more room than there was.
    let few = [&all[..10], &["users".to_owned()]].concat();
    bench.pond.reconfigure(declared(&few), policy());
    let everything = [&all[..], &["users".to_owned()]].concat();
    bench.pond.reconfigure(declared(&everything), policy());
    for cache in &everything {
        miss(&bench.pond, &bench.scope("acme", cache));
    }
    let counts = bench.pond.counts_by_cache();
    assert_eq!(counts.len(), MAX_CACHES_COUNTED);
    assert!(counts.iter().all(|(_, of)| told(*of) == [0, 0, 1, 0]));
    assert_eq!(told(bench.pond.other_counts()), [0, 0, 46, 0]);
    assert!(of(&bench.pond, "users").is_some() && of(&bench.pond, "c000").is_some());
    assert!(of(&bench.pond, "c299").is_none());
    assert_eq!(bench.pond.totals().misses, 301);
}
