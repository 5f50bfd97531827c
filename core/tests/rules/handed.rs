//! What waiters are handed: the leader's result, whatever becomes of it, and never
//! what an invalidation overtook on the way.

use std::cell::RefCell;
use std::time::Duration;

use millpond_core::cache::{
    Body, Fill, Filled, Invalidation, Lookup, Policy, Reason, Source, Target, Times, Want, Write,
};

use crate::support::*;

const SOFT: Invalidation = Invalidation {
    soft: true,
    settle: Duration::ZERO,
};

/// A key that does something when the cache looks at its bytes: inside the call, and
/// before any lock.
struct Between<'a>(RefCell<Option<Box<dyn FnOnce() + 'a>>>);

impl<'a> Between<'a> {
    fn does(act: impl FnOnce() + 'a) -> Self {
        Self(RefCell::new(Some(Box::new(act))))
    }
}

impl AsRef<[u8]> for Between<'_> {
    fn as_ref(&self) -> &[u8] {
        if let Some(act) = self.0.borrow_mut().take() {
            act();
        }
        b"k"
    }
}

#[test]
fn c1_a_fill_inside_the_invalidations_call_does_not_reach_a_waiter() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    let key = Between::does(|| assert!(is_stored(fill(lease, "old"))));
    bench
        .pond
        .invalidate(&bench.scope, Target::Keys(&[key]), HARD);
    let answer = poll(&mut follower).expect("woken");
    assert_eq!(found(&answer), None, "the invalidation has returned");
}

#[test]
fn c14_a_load_inside_the_invalidations_call_does_not_outlive_the_settle_time() {
    let bench = Bench::new();
    let settle = Invalidation {
        soft: false,
        settle: SECOND * 5,
    };
    let key = Between::does(|| assert!(is_stored(bench.load("k", "may lag"))));
    bench
        .pond
        .invalidate(&bench.scope, Target::Keys(&[key]), settle);
    bench.pass(SECOND * 6);
    assert_eq!(bench.held("k"), None);
}

#[test]
fn c1_a_value_handed_to_a_waiter_is_void_if_the_key_is_set_before_it_wakes() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    assert!(is_stored(fill(lease, "old")));
    bench.set("k", "new");
    assert_eq!(
        found(&poll(&mut follower).expect("woken")).as_deref(),
        Some("new")
    );
}

#[test]
fn c3_all_followers_get_a_result_that_is_not_kept() {
    let born_expired = Fill::Found {
        body: Body::Value("v".into()),
        times: Times {
            fresh: Some(Duration::ZERO),
            ..Times::default()
        },
        tags: Vec::new(),
        etag: Default::default(),
    };
    for (fill, text) in [(Fill::absent(), "(absent)"), (born_expired, "v")] {
        let bench = Bench::with(Policy {
            jitter: 0.0,
            ..Policy::undeclared()
        });
        let lease = bench.lead("k");
        let mut followers: Vec<_> = (0..10).map(|_| bench.follow("k")).collect();
        assert!(
            followers
                .iter_mut()
                .all(|follower| poll(follower).is_none())
        );
        assert!(is_stored(done(lease.settle(fill))));
        for follower in &mut followers {
            let answer = poll(follower).expect("woken");
            assert_eq!(found(&answer).as_deref(), Some(text));
            assert_eq!(answer.source, Some(Source::Loaded));
        }
        assert_eq!(bench.held("k"), None, "{text}");
    }
}

#[test]
fn a_value_softened_on_its_way_is_handed_over_as_stale_and_not_to_who_wants_fresh() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    let want = Want {
        fresh_only: true,
        ..bench.want()
    };
    let Lookup::Follow(mut strict) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("somebody leads");
    };
    assert!(poll(&mut follower).is_none() && poll(&mut strict).is_none());
    bench.invalidate_as(Target::Keys(&["k"]), SOFT);
    assert!(is_stored(fill(lease, "v")));
    let answer = poll(&mut follower).expect("woken");
    assert_eq!(
        (answer.stale, answer.reason),
        (true, Some(Reason::Revalidating))
    );
    let strict = poll(&mut strict).expect("woken");
    assert!(strict.found.is_none() && strict.lease.is_some(), "it loads");
}

#[test]
fn a_refresh_is_taken_up_when_the_promoted_waiter_had_left() {
    let bench = Bench::new();
    bench.set("k", "v");
    bench.pass(SECOND * 31);
    let want = Want {
        fresh_only: true,
        ..bench.want()
    };
    let Lookup::Answer(leader) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("nobody leads");
    };
    let Lookup::Follow(follower) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("somebody leads");
    };
    drop(follower);
    drop(leader);
    assert!(bench.answer("k").lease.is_some());
}

#[test]
fn a_given_up_lease_of_an_invalidated_load_is_not_a_superseded_fill() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    bench.invalidate("k");
    drop(lease);
    assert_eq!(bench.pond.totals().superseded, 0);
    let lease = bench.lead("k");
    bench.invalidate("k");
    assert_eq!(fill(lease, "old"), Filled::Superseded);
    assert_eq!(bench.pond.totals().superseded, 1);
}

#[test]
fn a_value_may_call_the_cache_when_it_is_dropped() {
    struct Owner(Vec<u8>, Box<dyn Fn() + Send>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            (self.1)();
        }
    }
    let bench = Bench::new();
    for _ in 0..200 {
        let (pond, scope) = (bench.pond.clone(), bench.scope.clone());
        let drops = move || {
            pond.invalidate(&scope, Target::Keys(&["k"]), HARD);
        };
        let value = millpond_core::Bytes::from_owner(Owner(vec![0; 100], Box::new(drops)));
        assert!(
            bench
                .pond
                .set(&bench.scope, b"k", Write::value(value))
                .is_ok()
        );
    }
}
