//! A policy against the reload that replaces it.
#![cfg(millpond_loom)]

use std::sync::Arc;

use loom::thread;
use millpond_core::cache::model::TwoWords;
use millpond_core::cache::{Mode, Policy};
use millpond_loom_tests::{Model, explore};

#[test]
fn no_reader_sees_parts_of_two_policies() {
    explore(|| {
        let words = Arc::new(TwoWords::new(0));
        let written = Arc::clone(&words);
        // Twice: the second write takes the place that the reader may be reading.
        let writer = thread::spawn(move || {
            written.write(1);
            written.write(2);
        });
        let [first, second] = words.read();
        assert_eq!(first, second);
        writer.join().expect("no panic");
        assert_eq!(words.read(), [2, 2]);
    });
}

#[test]
fn a_cache_made_during_a_switch_obeys_it_once_both_have_returned() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let switching = thread::spawn(move || {
            let switched = other.pond.switch(other.scope.cache(), Some(Mode::Bypass));
            switched.expect("it is in use");
        });
        let made = model.pond.scope_named("another", "c").expect("room");
        switching.join().expect("no panic");
        assert_eq!(made.mode(), Mode::Bypass);
        assert_eq!(model.scope.mode(), Mode::Bypass);
        assert_eq!(made.policy().fresh, Policy::declared().fresh);
    });
}
