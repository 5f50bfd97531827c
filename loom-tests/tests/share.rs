//! Shares: entries that move between policies while they are written and evicted.
#![cfg(millpond_loom)]

use loom::thread;
use millpond_loom_tests::{Model, explore, fill};

const ROOM: u64 = 1 << 20;

#[test]
fn an_entry_that_moves_while_it_is_overwritten_is_in_its_new_share_alone() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let writer = thread::spawn(move || other.set("v"));
        model.allow(None, ROOM);
        writer.join().expect("no panic");
        assert_eq!(model.held(), Some(b"v".to_vec()));
        model.assert_at_rest();
    });
}

#[test]
fn what_is_written_while_its_tenants_share_changes_ends_in_the_new_one() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let writer = thread::spawn(move || other.set("v"));
        // Nothing of it may stay in the common share, as a part of a reserve may.
        model.allow(Some(ROOM), ROOM);
        writer.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn a_fill_against_a_purge_leaves_nothing_held() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let filler = thread::spawn(move || fill(lease, "late"));
        let purged = model.pond.purge_tenant(model.scope.tenant());
        assert_eq!(purged.left, 0);
        filler.join().expect("no panic");
        assert_eq!(model.pond.gauges().bytes, 0);
        model.assert_at_rest();
    });
}

#[test]
fn an_entry_that_moves_while_it_is_evicted_is_no_orphan() {
    explore(|| {
        let model = Model::new();
        model.set("v");
        let pond = model.pond.clone();
        let policy = thread::spawn(move || pond.evict_one());
        model.allow(Some(ROOM), 0);
        policy.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn an_entry_that_moves_is_missed_by_no_reader() {
    explore(|| {
        let model = Model::new();
        model.set("v");
        let other = model.clone();
        let mover = thread::spawn(move || other.allow(None, ROOM));
        assert_eq!(model.held(), Some(b"v".to_vec()));
        mover.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn a_lent_entry_that_one_policy_evicts_and_a_writer_replaces_is_held_by_both_or_none() {
    explore(|| {
        let model = Model::new();
        model.allow(Some(ROOM), 0);
        model.set("one");
        let pond = model.pond.clone();
        let policy = thread::spawn(move || pond.evict_one());
        model.set("two");
        policy.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn what_a_reserve_gives_up_while_it_is_overwritten_moves_on() {
    explore(|| {
        let model = Model::new();
        model.allow(None, ROOM);
        model.set("one");
        let (pond, tenant) = (model.pond.clone(), model.scope.tenant().clone());
        let policy = thread::spawn(move || pond.evict_one_of(&tenant));
        model.set("two");
        policy.join().expect("no panic");
        assert_eq!(model.held(), Some(b"two".to_vec()));
        model.assert_at_rest();
    });
}

#[test]
fn bytes_charged_to_a_share_are_released_however_its_entry_goes() {
    explore(|| {
        let model = Model::new();
        model.allow(Some(ROOM), ROOM);
        model.set("one");
        let other = model.clone();
        let tenant = model.scope.tenant().clone();
        let policy = thread::spawn(move || other.pond.evict_one_of(&tenant));
        model.invalidate();
        policy.join().expect("no panic");
        model.assert_at_rest();
        assert_eq!(model.pond.gauges().bytes, 0);
    });
}
