//! C1, C8, C9, C10, C13, C14: what an invalidation covers stays gone.

use std::time::Duration;

use millpond_core::cache::{
    Config, Fill, Filled, Invalidation, Lookup, Policy, Pond, Reason, Target, Want, Write,
    WriteError, Written,
};

use crate::support::*;

const SETTLE: Invalidation = Invalidation {
    soft: false,
    settle: Duration::from_secs(5),
};
const SOFT: Invalidation = Invalidation {
    soft: true,
    settle: Duration::ZERO,
};

/// Every way to invalidate what `load_tagged(_, _, "t")` stores.
fn each_way(mut act: impl FnMut(&Bench, &str, &dyn Fn(&Bench, Invalidation))) {
    type Way<'a> = (&'a str, &'a dyn Fn(&Bench, Invalidation));
    let ways: [Way<'_>; 4] = [
        ("key", &|bench, how| {
            drop(bench.invalidate_as(Target::Keys(&["k"]), how))
        }),
        ("tag", &|bench, how| {
            drop(bench.invalidate_as(Target::Tags(&["t"]), how))
        }),
        ("cache", &|bench, how| {
            drop(bench.invalidate_as(Target::Cache, how))
        }),
        ("tenant", &|bench, how| {
            drop(bench.pond.invalidate_tenant(bench.scope.tenant(), how));
        }),
    ];
    for (name, way) in ways {
        act(&Bench::new(), name, way);
    }
}

fn drop<T>(_: T) {}

#[test]
fn c1_after_an_invalidation_no_read_sees_the_older_value() {
    each_way(|bench, way, invalidate| {
        assert!(is_stored(bench.load_tagged("k", "old", "t")));
        invalidate(bench, HARD);
        assert_eq!(bench.held("k"), None, "{way}");
        assert!(
            bench.answer("k").lease.is_some(),
            "{way}: the next reader loads"
        );
    });
}

#[test]
fn c1_a_load_that_an_invalidation_overtook_is_superseded() {
    each_way(|bench, way, invalidate| {
        let lease = bench.lead("k");
        invalidate(bench, HARD);
        assert_eq!(
            done(lease.settle(tagged("old", "t"))),
            Filled::Superseded,
            "{way}"
        );
        assert_eq!(bench.held("k"), None, "{way}");
    });
}

#[test]
fn c1_a_follower_of_an_overtaken_load_does_not_get_its_value() {
    each_way(|bench, way, invalidate| {
        let old = bench.lead("k");
        let mut follower = bench.follow("k");
        assert!(poll(&mut follower).is_none());
        invalidate(bench, HARD);
        done(old.settle(tagged("old", "t")));
        let promoted = poll(&mut follower).expect("woken");
        let lease = promoted.lease.expect("promoted to load anew");
        assert!(is_stored(done(lease.settle(tagged("new", "t")))), "{way}");
        assert_eq!(bench.held("k").as_deref(), Some("new"), "{way}");
    });
}

#[test]
fn c1_a_value_handed_to_a_waiter_is_void_if_it_is_invalidated_before_it_wakes() {
    each_way(|bench, way, invalidate| {
        let lease = bench.lead("k");
        let mut follower = bench.follow("k");
        assert!(poll(&mut follower).is_none());
        done(lease.settle(tagged("old", "t")));
        invalidate(bench, HARD);
        let answer = poll(&mut follower).expect("woken");
        assert_eq!(found(&answer), None, "{way}");
        assert!(answer.lease.is_some(), "{way}: it loads instead");
    });
}

#[test]
fn c1_a_set_overtakes_a_load_even_when_its_entry_is_gone_again() {
    let bench = Bench::with(Policy {
        fresh: SECOND,
        stale: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        ..policy()
    });
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    bench.set("k", "new");
    assert_eq!(
        found(&poll(&mut follower).expect("woken")).as_deref(),
        Some("new")
    );
    bench.pass(SECOND * 5); // the set value has come and gone
    bench.pond.sweep();
    assert_eq!(fill(lease, "old"), Filled::Superseded);
    assert_eq!(bench.held("k"), None);
}

#[test]
fn c1_a_set_voids_a_load_of_the_same_second() {
    let bench = Bench::with(Policy {
        fresh: Duration::ZERO,
        stale: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        ..policy()
    });
    let lease = bench.lead("k");
    bench.set("k", "new"); // expires at once: nothing in L1 can speak for it
    assert_eq!(fill(lease, "old"), Filled::Superseded);
}

#[test]
fn c2_a_load_that_begins_after_the_invalidation_is_stored() {
    each_way(|bench, way, invalidate| {
        invalidate(bench, HARD);
        assert!(is_stored(bench.load_tagged("k", "new", "t")), "{way}");
        assert_eq!(bench.held("k").as_deref(), Some("new"), "{way}");
    });
}

#[test]
fn c8_neither_tenants_nor_caches_share_a_key() {
    let bench = Bench::new();
    let others = [
        bench.scope("acme", "user"),
        bench.scope("acme2", "users"),
        bench.scope("Acme", "users"),
    ];
    bench.set("k", "mine");
    let lease = bench.lead("other");
    for other in &others {
        assert_eq!(bench.held_in(other, "k"), None);
        // Nor a lease: it leads its own load.
        let Lookup::Answer(answer) = bench.pond.get(other, b"other", bench.want()) else {
            panic!("waits for another's load");
        };
        let theirs = answer.lease.expect("its own lease");
        // Nor can a lease settle another's key.
        assert_eq!(
            bench
                .pond
                .fill(other, b"other", lease.grant(), value("stolen")),
            Filled::Superseded
        );
        assert!(is_stored(fill(theirs, "theirs")));
    }
    assert!(is_stored(fill(lease, "mine too")));
    bench
        .pond
        .invalidate(&others[0], Target::Keys(&["k"]), HARD);
    bench.pond.invalidate_tenant(others[1].tenant(), HARD);
    assert_eq!(bench.held("k").as_deref(), Some("mine"));
}

#[test]
fn c9_tag_cache_and_tenant_invalidations_reach_every_entry_they_cover_and_no_other() {
    let bench = Bench::new();
    let other = bench.scope("acme", "other");
    for i in 0..100 {
        bench.load_tagged(&format!("red{i}"), "v", "red");
        bench.load_tagged(&format!("blue{i}"), "v", "blue");
    }
    bench
        .pond
        .set(&other, b"k", Write::value("v"))
        .expect("small");
    let live = |bench: &Bench, color: &str| {
        (0..100)
            .filter(|i| bench.held(&format!("{color}{i}")).is_some())
            .count()
    };
    bench.invalidate_as(Target::Tags(&["red"]), HARD);
    assert_eq!((live(&bench, "red"), live(&bench, "blue")), (0, 100));
    bench.invalidate_as(Target::Cache, HARD);
    assert_eq!(live(&bench, "blue"), 0);
    assert!(bench.held_in(&other, "k").is_some());
    bench.pond.invalidate_tenant(bench.scope.tenant(), HARD);
    assert!(bench.held_in(&other, "k").is_none());
}

#[test]
fn c9_a_tag_invalidation_holds_for_loads_in_flight_although_the_tag_was_forgotten() {
    let bench = Bench::configured(Config {
        tags_per_tenant: 8,
        undeclared: policy(),
        ..Config::default()
    });
    let carried = bench.load_tagged("held", "old", "t");
    assert!(is_stored(carried));
    let lease = bench.lead("k");
    bench.invalidate_as(Target::Tags(&["t"]), HARD);
    // A crowd of newer tags, carried by entries, pushes "t" out of the table.
    for i in 0..64 {
        bench.load_tagged(&format!("crowd{i}"), "v", &format!("tag{i}"));
    }
    assert_eq!(done(lease.settle(tagged("old", "t"))), Filled::Superseded);
    assert_eq!(bench.held("held"), None);
    assert_eq!(
        bench.held("crowd0"),
        None,
        "its tag was forgotten: it can no longer be reached"
    );
    assert!(bench.held("crowd63").is_some());
}

#[test]
fn c13_what_was_invalidated_is_not_served_when_loading_fails() {
    each_way(|bench, way, invalidate| {
        assert!(is_stored(bench.load_tagged("k", "old", "t")));
        invalidate(bench, HARD);
        let lease = bench.lead("k");
        let error = millpond_core::cache::LoadError::new("down", None);
        done(lease.settle(Fill::Failed(error)));
        assert_eq!(bench.held("k"), None, "{way}");
        let answer = bench.answer("k");
        assert_eq!(found(&answer), None, "{way}: neither stale nor on error");
    });
}

#[test]
fn a_soft_invalidation_makes_stale_and_is_kept_by_loads_in_flight() {
    each_way(|bench, way, invalidate| {
        assert!(is_stored(bench.load_tagged("k", "old", "t")));
        let refresh = {
            invalidate(bench, SOFT);
            let answer = bench.answer("k");
            assert_eq!(found(&answer).as_deref(), Some("old"), "{way}");
            assert_eq!(answer.reason, Some(Reason::Revalidating), "{way}");
            answer.lease.expect("and is refreshed")
        };
        // A load from before a further soft invalidation is stored, but stale.
        invalidate(bench, SOFT);
        assert!(
            is_stored(done(refresh.settle(tagged("newer", "t")))),
            "{way}"
        );
        let answer = bench.answer("k");
        assert_eq!(found(&answer).as_deref(), Some("newer"), "{way}");
        assert!(answer.stale, "{way}");
        assert!(is_stored(done(
            answer.lease.expect("refresh").settle(tagged("newest", "t"))
        )));
        assert!(!bench.answer("k").stale, "{way}");
    });
}

#[test]
fn c14_a_value_whose_load_begins_inside_the_settle_time_expires_at_its_end() {
    each_way(|bench, way, invalidate| {
        invalidate(bench, SETTLE);
        bench.pass(SECOND);
        assert!(is_stored(bench.load_tagged("k", "may lag", "t")), "{way}");
        assert_eq!(bench.held("k").as_deref(), Some("may lag"), "{way}");
        bench.pass(SECOND * 4);
        assert_eq!(bench.held("k"), None, "{way}: not even stale");
        assert!(is_stored(bench.load_tagged("k", "settled", "t")), "{way}");
        bench.pass(SECOND * 29);
        assert_eq!(
            bench.held("k").as_deref(),
            Some("settled"),
            "{way}: a later load is whole"
        );
    });
}

#[test]
fn c14_a_load_that_ends_after_the_settle_time_it_began_in_is_worth_nothing() {
    each_way(|bench, way, invalidate| {
        invalidate(bench, SETTLE);
        let lease = bench.lead("k");
        let mut follower = bench.follow("k");
        assert!(poll(&mut follower).is_none());
        bench.pass(SECOND * 6);
        bench.pond.sweep(); // which must not forget the settle time under the load
        assert_eq!(
            done(lease.settle(tagged("may lag", "t"))),
            Filled::Superseded,
            "{way}"
        );
        assert!(poll(&mut follower).expect("woken").lease.is_some(), "{way}");
    });
}

#[test]
fn a_set_over_a_version_writes_only_over_that_version() {
    let bench = Bench::new();
    let version = bench.set("k", "one");
    let over = |version, text: &'static str| {
        let write = Write {
            if_version: Some(version),
            ..Write::value(text)
        };
        bench.pond.set(&bench.scope, b"k", write)
    };
    let Ok(Written::Stored(second)) = over(version, "two") else {
        panic!("not stored")
    };
    assert_eq!(over(version, "three"), Ok(Written::OtherVersion));
    assert_eq!(bench.held("k").as_deref(), Some("two"));
    bench.invalidate("k");
    assert_eq!(over(second, "four"), Ok(Written::OtherVersion));
    assert_eq!(bench.held("k"), None);
}

#[test]
fn a_set_too_large_over_another_version_changes_nothing() {
    let bench = Bench::with(Policy {
        max_value: 4,
        ..policy()
    });
    let version = bench.set("k", "one");
    bench.set("k", "two");
    let write = Write {
        if_version: Some(version),
        ..Write::value("larger")
    };
    assert_eq!(
        bench.pond.set(&bench.scope, b"k", write),
        Ok(Written::OtherVersion)
    );
    assert_eq!(bench.held("k").as_deref(), Some("two"));
}

#[test]
fn a_set_too_large_to_keep_removes_what_it_contradicts() {
    let bench = Bench::with(Policy {
        max_value: 4,
        ..policy()
    });
    bench.set("k", "old");
    let error = bench.pond.set(&bench.scope, b"k", Write::value("larger"));
    assert_eq!(error, Err(WriteError::TooLarge { limit: 4, size: 6 }));
    assert_eq!(bench.held("k"), None);
}

#[test]
fn a_batch_of_keys_is_invalidated_in_one_call() {
    let bench = Bench::new();
    for key in ["a", "b", "c"] {
        bench.set(key, "v");
    }
    bench.invalidate_as(Target::Keys(&["a", "c", "never seen"]), HARD);
    assert_eq!(
        ["a", "b", "c"].map(|key| bench.held(key).is_some()),
        [false, true, false]
    );
}

#[test]
fn c12_a_position_is_confirmed_by_the_process_that_issued_it_and_no_other() {
    let bench = Bench::new();
    let version = bench.set("k", "v");
    let position = bench.pond.position(version);
    assert!(bench.pond.confirms(position));
    let other = Pond::new(Config::default());
    assert!(!other.confirms(position));
    let future = millpond_core::version::Version::from_raw(version.get() + 1_000_000);
    assert!(!bench.pond.confirms(bench.pond.position(future)));
}

#[test]
fn a_key_that_was_settling_does_not_hold_its_neighbours() {
    let bench = Bench::new();
    bench.invalidate_as(Target::Keys(&["k"]), SETTLE);
    bench.load("other", "v");
    bench.pass(SECOND * 6);
    assert!(bench.held("other").is_some());
    let _ = bench.pond.get(&bench.scope, b"k", Want::held());
}
