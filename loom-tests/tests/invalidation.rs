//! Invalidation against what is in flight: loads, promotions, settle times.
#![cfg(millpond_loom)]

use std::time::Duration;

use loom::thread;
use millpond_core::cache::store::Stored;
use millpond_core::cache::{Body, Invalidation};
use millpond_core::version::Version;
use millpond_loom_tests::{HARD, Model, explore, fill};

#[test]
fn an_invalidated_load_is_not_stored() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let loader = thread::spawn(move || fill(lease, "old"));
        model.invalidate();
        assert_eq!(model.held(), None);
        loader.join().expect("no panic");
        assert_eq!(model.held(), None);
        model.assert_at_rest();
    });
}

#[test]
fn a_barrier_covers_a_load_in_flight() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let loader = thread::spawn(move || fill(lease, "old"));
        model.invalidate_cache(HARD);
        assert_eq!(model.held(), None);
        loader.join().expect("no panic");
        assert_eq!(model.held(), None);
    });
}

fn from_l2(began: Version) -> Stored {
    let second = Duration::from_secs(1);
    Stored {
        body: Body::Value("old".into()),
        began,
        fresh_for: second,
        stale_for: second,
        error_for: second,
        load_time: second,
        tags: Vec::new(),
        etag: Default::default(),
    }
}

#[test]
fn a_barrier_covers_a_promotion_in_flight() {
    explore(|| {
        let model = Model::new();
        let stored = from_l2(model.pond.invalidate_tenant(model.scope.tenant(), HARD));
        // Newer than every barrier so far, older than the one to come.
        let stored = Stored {
            began: Version::from_raw(stored.began.get() + 1),
            ..stored
        };
        let lease = model.lead();
        let pond = model.pond.clone();
        let promoter = thread::spawn(move || drop(pond.adopt(lease, stored)));
        model.invalidate_cache(HARD);
        assert_eq!(model.held(), None);
        promoter.join().expect("no panic");
        assert_eq!(model.held(), None);
    });
}

#[test]
fn a_promotion_needs_the_lease_that_an_invalidation_voids() {
    explore(|| {
        let model = Model::new();
        // An invalidation of one key raises no barrier: only the lease can tell.
        let began = model
            .pond
            .invalidate_tenant(model.scope.tenant(), HARD)
            .get()
            + 1;
        let lease = model.lead();
        let pond = model.pond.clone();
        let stored = from_l2(Version::from_raw(began));
        let promoter = thread::spawn(move || drop(pond.adopt(lease, stored)));
        model.invalidate();
        assert_eq!(model.held(), None);
        promoter.join().expect("no panic");
        assert_eq!(model.held(), None);
    });
}

#[test]
fn a_load_after_an_invalidation_sees_its_settle_time() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let settle = Duration::from_secs(5);
        let invalidator = thread::spawn(move || {
            other.invalidate_cache(Invalidation {
                soft: false,
                settle,
            });
        });
        if let Some(lease) = model.get().lease {
            fill(lease, "may lag");
        }
        invalidator.join().expect("no panic");
        model.clock.advance(settle);
        assert_eq!(model.held(), None, "not after the settle time");
    });
}
