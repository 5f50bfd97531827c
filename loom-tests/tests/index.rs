//! L1: the index, its writers and the eviction listener.
#![cfg(millpond_loom)]

use loom::thread;
use millpond_loom_tests::{Model, explore};

#[test]
fn a_replacement_against_the_eviction_of_its_ticket_leaves_no_orphan() {
    explore(|| {
        let model = Model::new();
        model.set("one");
        let pond = model.pond.clone();
        let policy = thread::spawn(move || pond.evict_one());
        model.set("two");
        policy.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn a_late_listener_spares_the_successors_node() {
    explore(|| {
        let model = Model::new();
        model.set("one");
        let pond = model.pond.clone();
        let policy = thread::spawn(move || pond.evict_one());
        model.invalidate();
        model.set("two");
        policy.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn a_removal_against_an_admission_leaves_no_dead_ticket() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let writer = thread::spawn(move || other.set("v"));
        model.invalidate();
        writer.join().expect("no panic");
        model.assert_at_rest();
    });
}

#[test]
fn two_writers_of_one_key_leave_one_node() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let writer = thread::spawn(move || other.set("a"));
        model.set("b");
        writer.join().expect("no panic");
        assert_eq!(model.pond.gauges().entries, 1);
        model.assert_at_rest();
    });
}
