//! Observe and bypass: rolling out, and the kill switch.

use millpond_core::cache::{Filled, Mode, Reason};

use crate::support::*;

#[test]
fn bypass_answers_nothing_and_keeps_writes_in_force() {
    let bench = Bench::new();
    bench.set("k", "old");
    bench.switch(Mode::Bypass);
    let answer = bench.answer("k");
    assert_eq!(
        (answer.found.is_none(), answer.lease.is_none()),
        (true, true)
    );
    assert_eq!(answer.reason, Some(Reason::Bypass));
    assert!(bench.pond.peek(&bench.scope, b"k").is_none());
    assert!(bench.pond.with(&bench.scope, b"k", |_| ()).is_none());
    bench.invalidate("k");
    bench.set("other", "new");
    bench.switch(Mode::On);
    assert_eq!(
        bench.held("k"),
        None,
        "invalidated while it was switched off"
    );
    assert_eq!(bench.held("other").as_deref(), Some("new"));
}

#[test]
fn observe_lets_everybody_load_and_counts_what_would_have_been_wrong() {
    let bench = Bench::new();
    bench.set("k", "cached");
    bench.switch(Mode::Observe);
    let (first, second) = (bench.answer("k"), bench.answer("k"));
    assert!(
        first.found.is_none() && second.found.is_none(),
        "nothing is served"
    );
    assert!(is_stored(fill(
        first.lease.expect("everybody loads"),
        "cached"
    )));
    assert!(is_stored(fill(
        second.lease.expect("everybody loads"),
        "another"
    )));
    assert_eq!(bench.scope.observed(), (1, 1));
    bench.switch(Mode::On);
    assert_eq!(bench.held("k").as_deref(), Some("another"));
}

#[test]
fn what_was_invalidated_since_is_not_compared() {
    let bench = Bench::new();
    bench.set("k", "old");
    bench.switch(Mode::Observe);
    let lease = bench.lead("k");
    bench.invalidate("k");
    assert_eq!(fill(lease, "new"), Filled::Superseded);
    assert_eq!(bench.scope.observed(), (0, 0));
}

#[test]
fn observers_of_one_key_are_bounded() {
    let bench = Bench::new();
    bench.switch(Mode::Observe);
    let leases: Vec<_> = (0..64).map(|_| bench.lead("k")).collect();
    assert_eq!(bench.answer("k").reason, Some(Reason::Bypass));
    drop(leases);
    assert!(bench.answer("k").lease.is_some());
}
