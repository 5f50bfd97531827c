//! The lookup over both levels, against the store in memory.

mod support;

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use millpond_core::Bytes;
use millpond_core::cache::lookup::{Durability, Levels, Timer};
use millpond_core::cache::store::memory::MemoryStore;
use millpond_core::cache::store::{Store, StoreFuture, StoreKey, StoreTarget, Stored, conformance};
use millpond_core::cache::{
    Answer, Body, Filled, Invalidation, Lookup, Reason, Source, Target, Want, Write,
};
use millpond_core::clock::Time;
use millpond_core::version::Version;

use support::*;

/// No deadline ever comes.
struct Never;

impl Timer for Never {
    fn sleep_until(&self, _: Time) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// Runs a future that waits for nothing outside.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("waits"),
    }
}

struct Both {
    bench: Bench,
    store: Arc<MemoryStore>,
    levels: Levels,
}

impl Both {
    fn new() -> Self {
        let bench = Bench::new();
        let store = MemoryStore::new();
        let levels = Levels::new(
            Arc::clone(&bench.pond),
            Some(Arc::clone(&store) as Arc<dyn Store>),
        );
        Self {
            bench,
            store,
            levels,
        }
    }

    fn get(&self, key: &str) -> Answer {
        now(self
            .levels
            .get(&Never, &self.bench.scope, key.as_bytes(), self.bench.want()))
    }

    fn load(&self, key: &str, text: &str) -> Filled {
        let lease = self.get(key).lease.expect("the lease");
        done(now(self.levels.settle(lease, value(text))))
    }

    fn invalidate(&self, target: Target<'_, Bytes>) -> Durability {
        now(self
            .levels
            .invalidate(&self.bench.scope, target, Invalidation::default()))
        .1
    }

    fn in_store(&self, key: &str) -> Option<Stored> {
        let key = StoreKey {
            tenant: self.bench.scope.tenant(),
            cache: self.bench.scope.cache(),
            key: key.as_bytes(),
        };
        now(self.store.read(key)).expect("answers")
    }

    /// Another pod wrote this.
    fn put_in_store(&self, key: &str, text: &str, began: Version) {
        let key = StoreKey {
            tenant: self.bench.scope.tenant(),
            cache: self.bench.scope.cache(),
            key: key.as_bytes(),
        };
        let entry = Stored {
            body: Body::Value(text.to_owned().into()),
            began,
            fresh_for: SECOND * 10,
            stale_for: SECOND * 20,
            error_for: SECOND * 30,
            load_time: SECOND,
            tags: vec![Bytes::from_static(b"t")],
            etag: Bytes::new(),
        };
        assert!(now(self.store.write(key, entry)).expect("answers"));
    }

    /// Empties L1 without invalidating.
    fn forget_l1(&self) -> Levels {
        let fresh = Bench::new();
        self.bench.clock.advance(SECOND);
        Levels::new(fresh.pond, Some(Arc::clone(&self.store) as Arc<dyn Store>))
    }
}

fn version_now(both: &Both) -> Version {
    both.bench.set("clock", "tick")
}

#[test]
fn the_store_in_memory_keeps_what_every_store_must() {
    now(conformance::check(&*MemoryStore::new()));
}

#[test]
fn a_load_fills_both_levels_and_the_next_pod_finds_it_in_l2() {
    let both = Both::new();
    assert!(is_stored(both.load("k", "v")));
    assert!(both.in_store("k").is_some());
    let other = both.forget_l1();
    let (tenant, cache) = names("acme", "users");
    let scope = other.pond().scope(&tenant, &cache).expect("room");
    let answer = now(other.get(&Never, &scope, b"k", both.bench.want()));
    assert_eq!(
        (found(&answer).as_deref(), answer.source),
        (Some("v"), Some(Source::L2))
    );
    assert!(answer.lease.is_none());
    let answer = now(other.get(&Never, &scope, b"k", both.bench.want()));
    assert_eq!(answer.source, Some(Source::L1), "promoted");
    assert_eq!(other.pond().gauges().loads, 0);
}

#[test]
fn what_l2_holds_stale_is_answered_at_once_and_refreshed_under_the_same_lease() {
    let both = Both::new();
    let began = version_now(&both);
    both.put_in_store("k", "v", began);
    let entry = both.in_store("k").expect("put");
    let key = StoreKey {
        tenant: both.bench.scope.tenant(),
        cache: both.bench.scope.cache(),
        key: b"k",
    };
    let stale = Stored {
        fresh_for: std::time::Duration::ZERO,
        ..entry
    };
    assert!(now(both.store.write(key, stale)).expect("answers"));
    let answer = both.get("k");
    assert_eq!((found(&answer).as_deref(), answer.stale), (Some("v"), true));
    assert_eq!(answer.reason, Some(Reason::Revalidating));
    let lease = answer.lease.expect("one refreshes");
    assert!(both.get("k").lease.is_none(), "the others do not");
    assert!(is_stored(done(now(both.levels.settle(lease, value("w"))))));
    assert_eq!(found(&both.get("k")).as_deref(), Some("w"));
}

#[test]
fn c10_an_invalidation_between_the_read_of_l2_and_its_promotion_wins() {
    for way in ["key", "tag", "cache", "tenant"] {
        let both = Both::new();
        let began = version_now(&both);
        both.put_in_store("k", "old", began);
        let tags = [Bytes::from_static(b"t")];
        // L1 alone is told, as when the store's answer is already under way.
        let lease = both.bench.lead("k");
        let stored = both.in_store("k").expect("held");
        match way {
            "key" => drop(both.bench.invalidate("k")),
            "tag" => drop(
                both.bench
                    .pond
                    .invalidate(&both.bench.scope, Target::Tags(&tags), HARD),
            ),
            "cache" => drop(both.bench.invalidate_as(Target::Cache, HARD)),
            _ => drop(
                both.bench
                    .pond
                    .invalidate_tenant(both.bench.scope.tenant(), HARD),
            ),
        }
        let answer = both.bench.pond.adopt(lease, stored);
        assert_eq!(found(&answer), None, "{way}");
        assert!(answer.lease.is_some(), "{way}: it loads instead");
        assert_eq!(both.bench.held("k"), None, "{way}");
    }
}

fn drop<T>(_: T) {}

#[test]
fn c10_a_value_that_l2_still_holds_from_before_an_invalidation_is_not_promoted() {
    let both = Both::new();
    let began = version_now(&both);
    both.put_in_store("k", "old", began);
    // The pod's own barrier is up; the store lags behind it.
    both.bench.invalidate_as(Target::Cache, HARD);
    let answer = both.get("k");
    assert_eq!(found(&answer), None);
    assert!(answer.lease.is_some());
    assert_eq!(both.bench.held("k"), None);
}

#[test]
fn an_invalidation_reaches_both_levels() {
    let both = Both::new();
    both.load("k", "old");
    let keys = [Bytes::from_static(b"k")];
    assert_eq!(both.invalidate(Target::Keys(&keys)), Durability::Stored);
    assert_eq!(both.in_store("k"), None);
    assert!(both.get("k").lease.is_some());
}

#[test]
fn a_store_that_fails_is_a_miss_and_is_not_trusted_with_what_it_held() {
    let both = Both::new();
    both.load("k", "old");
    both.store.fail(true);
    let keys = [Bytes::from_static(b"k")];
    assert_eq!(both.invalidate(Target::Keys(&keys)), Durability::Local);
    let lease = both.get("k").lease.expect("a store that fails is a miss");
    std::mem::drop(lease);
    both.store.fail(false);
    assert!(both.in_store("k").is_some(), "the store never heard of it");
    let answer = both.get("k");
    assert_eq!(found(&answer), None, "and is not believed");
    let lease = answer.lease.expect("it loads");
    assert!(is_stored(done(now(both
        .levels
        .settle(lease, value("new"))))));
    assert_eq!(found(&both.get("k")).as_deref(), Some("new"));
}

#[test]
fn a_set_is_in_force_in_both_levels_when_it_returns() {
    let both = Both::new();
    both.load("k", "old");
    let set = now(both
        .levels
        .set(&both.bench.scope, b"k", Write::value("new")));
    assert_eq!(set.expect("small").1, Durability::Stored);
    assert_eq!(found(&both.get("k")).as_deref(), Some("new"));
    let body = both.in_store("k").map(|entry| entry.body);
    assert_eq!(body, Some(Body::Value(Bytes::from_static(b"new"))));
}

#[test]
fn c1_what_another_pod_wrote_with_a_clock_ahead_is_invalidated_here_all_the_same() {
    let both = Both::new();
    let ahead = Version::from_raw(version_now(&both).get() + 1_000_000);
    both.put_in_store("k", "old", ahead);
    assert_eq!(found(&both.get("k")).as_deref(), Some("old"));
    let keys = [Bytes::from_static(b"k")];
    both.invalidate(Target::Keys(&keys));
    assert_eq!(both.bench.held("k"), None);
    assert!(both.get("k").lease.is_some());
}

#[test]
fn a_version_that_nobody_can_have_issued_is_not_adopted() {
    let both = Both::new();
    both.put_in_store("k", "x", Version::from_raw(u64::MAX - 1));
    let answer = both.get("k");
    assert!(answer.found.is_none() && answer.lease.is_some());
}

#[test]
fn observing_callers_load_although_l2_holds_the_value() {
    let both = Both::new();
    let began = version_now(&both);
    both.put_in_store("k", "v", began);
    both.bench.switch(millpond_core::cache::Mode::Observe);
    let answer = both.get("k");
    assert!(answer.found.is_none() && answer.lease.is_some());
}

#[test]
fn a_follower_of_a_stale_adoption_is_told_so_and_not_if_it_wants_fresh() {
    let both = Both::new();
    let began = version_now(&both);
    both.put_in_store("k", "v", began);
    let stored = both.in_store("k").expect("put");
    let lease = both.bench.lead("k");
    let mut follower = both.bench.follow("k");
    let want = Want {
        fresh_only: true,
        ..both.bench.want()
    };
    let Lookup::Follow(mut strict) = both.bench.pond.get(&both.bench.scope, b"k", want) else {
        panic!("somebody leads");
    };
    assert!(poll(&mut follower).is_none() && poll(&mut strict).is_none());
    let stale = Stored {
        fresh_for: std::time::Duration::ZERO,
        ..stored
    };
    let refresh = both.bench.pond.adopt(lease, stale);
    let answer = poll(&mut follower).expect("woken");
    assert_eq!((answer.stale, answer.source), (true, Some(Source::L2)));
    assert!(poll(&mut strict).is_none(), "it waits for the refresh");
    std::mem::drop(refresh);
}

#[test]
fn c1_a_set_that_l2_did_not_take_leaves_nothing_older_there() {
    let both = Both::new();
    both.load("k", "older");
    both.store.fail(true);
    let set = now(both
        .levels
        .set(&both.bench.scope, b"k", Write::value("newer")));
    assert_eq!(set.expect("small").1, Durability::Local);
    both.store.fail(false);
    both.bench.pass(SECOND * 3_600);
    both.bench.pond.sweep();
    assert_eq!(found(&both.get("k")), None);
}

#[test]
fn a_tenants_invalidation_reaches_both_levels() {
    let both = Both::new();
    both.load("k", "old");
    let how = Invalidation::default();
    let tenant = both.bench.scope.tenant();
    assert_eq!(
        now(both.levels.invalidate_tenant(tenant, how)).1,
        Durability::Stored
    );
    assert_eq!(both.in_store("k"), None);
    assert!(both.get("k").lease.is_some());
}

/// A store that lets something happen once, when it has just been made to forget.
struct Hooked {
    store: Arc<MemoryStore>,
    hook: parking_lot::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Store for Hooked {
    fn read<'a>(&'a self, key: StoreKey<'a>) -> StoreFuture<'a, Option<Stored>> {
        self.store.read(key)
    }

    fn write<'a>(&'a self, key: StoreKey<'a>, entry: Stored) -> StoreFuture<'a, bool> {
        self.store.write(key, entry)
    }

    fn invalidate<'a>(&'a self, target: StoreTarget<'a>, version: Version) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.store.invalidate(target, version).await?;
            let hook = self.hook.lock().take();
            hook.into_iter().for_each(|hook| hook());
            Ok(())
        })
    }
}

#[test]
fn c14_what_reaches_l2_while_the_invalidation_works_does_not_outlive_the_settle_time() {
    let bench = Bench::new();
    let store = Arc::new(Hooked {
        store: MemoryStore::new(),
        hook: parking_lot::Mutex::new(None),
    });
    let levels = Levels::new(
        Arc::clone(&bench.pond),
        Some(Arc::clone(&store) as Arc<dyn Store>),
    );
    let (inside, scope, want) = (levels.clone(), Arc::clone(&bench.scope), bench.want());
    *store.hook.lock() = Some(Box::new(move || {
        let lease = now(inside.get(&Never, &scope, b"k", want))
            .lease
            .expect("the lease");
        assert!(is_stored(done(now(inside.settle(lease, value("may lag"))))));
    }));
    let keys = [Bytes::from_static(b"k")];
    let how = Invalidation {
        soft: false,
        settle: SECOND * 5,
    };
    now(levels.invalidate(&bench.scope, Target::Keys(&keys), how));
    bench.pass(SECOND * 10);
    let answer = now(levels.get(&Never, &bench.scope, b"k", bench.want()));
    assert_eq!(found(&answer), None);
}
