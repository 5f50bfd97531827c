//! A thread's front against writers.
#![cfg(millpond_loom)]

use loom::thread;
use millpond_core::cache::Body;
use millpond_core::cache::model::HandFront;
use millpond_loom_tests::{KEY, Model, explore};

fn read(model: &Model, front: &HandFront) -> Option<Body> {
    model.pond.read_through(front, &model.scope, KEY)
}

#[test]
fn no_front_serves_the_old_value_after_the_write_returned() {
    explore(|| {
        let model = Model::new();
        model.set("old");
        let other = model.clone();
        // Fills its front before, during or after the write.
        let reader = thread::spawn(move || {
            let front = HandFront::new();
            let _filled = read(&other, &front);
            front
        });
        model.set("new");
        let front = reader.join().expect("no panic");
        assert_eq!(read(&model, &front), Some(Body::Value("new".into())));
    });
}

#[test]
fn no_front_serves_the_old_value_once_the_index_gave_the_new_one() {
    explore(|| {
        let model = Model::new();
        model.set("old");
        let front = HandFront::new();
        assert!(read(&model, &front).is_some());
        let other = model.clone();
        let writer = thread::spawn(move || other.set("new"));
        if model.held().as_deref() == Some(b"new") {
            assert_eq!(read(&model, &front), Some(Body::Value("new".into())));
        }
        writer.join().expect("no panic");
    });
}

#[test]
fn no_front_serves_what_was_invalidated() {
    explore(|| {
        let model = Model::new();
        model.set("old");
        let other = model.clone();
        let reader = thread::spawn(move || {
            let front = HandFront::new();
            let _filled = read(&other, &front);
            front
        });
        model.invalidate();
        let front = reader.join().expect("no panic");
        assert_eq!(read(&model, &front), None);
    });
}
