//! C6, C13 and the phases: what is served stale, and why.

use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::cache::{Config, Fill, LoadError, Lookup, Policy, Pond, Reason, Want};
use millpond_core::clock::Clock;

use crate::support::*;

fn failed(retry_after: Option<Duration>) -> Fill {
    Fill::Failed(LoadError::new("down", retry_after))
}

fn stale_bench() -> Bench {
    let bench = Bench::new();
    bench.load("k", "v");
    bench.pass(SECOND * 31);
    bench
}

#[test]
fn a_stale_read_is_answered_at_once_and_exactly_one_refreshes() {
    let bench = stale_bench();
    let answers: Vec<_> = (0..10).map(|_| bench.answer("k")).collect();
    assert!(
        answers
            .iter()
            .all(|answer| found(answer).as_deref() == Some("v") && answer.stale)
    );
    let mut leases: Vec<_> = answers
        .into_iter()
        .filter_map(|answer| answer.lease)
        .collect();
    assert_eq!(leases.len(), 1);
    assert!(is_stored(fill(leases.remove(0), "w")));
    let answer = bench.answer("k");
    assert_eq!(
        (found(&answer).as_deref(), answer.stale),
        (Some("w"), false)
    );
}

#[test]
fn a_refresh_that_is_given_up_is_taken_up_by_the_next_reader() {
    let bench = stale_bench();
    drop(bench.answer("k").lease.expect("a refresh"));
    assert!(bench.answer("k").lease.is_some());
}

#[test]
fn a_refresher_that_died_is_succeeded_after_its_lease() {
    let bench = stale_bench();
    let _dead = bench.answer("k").lease.expect("a refresh").detach();
    assert!(bench.answer("k").lease.is_none());
    bench.pass(SECOND * 10);
    assert!(bench.answer("k").lease.is_some());
}

#[test]
fn c6_a_failed_refresh_keeps_the_entry_and_backs_off_doubling() {
    let bench = stale_bench();
    for wait in [1, 2, 4, 8] {
        let lease = bench.answer("k").lease.expect("a refresh is due");
        done(lease.settle(failed(None)));
        let answer = bench.answer("k");
        assert_eq!(
            found(&answer).as_deref(),
            Some("v"),
            "the stale entry stays"
        );
        assert_eq!(answer.reason, Some(Reason::LoadFailed));
        assert!(answer.lease.is_none(), "not again at once");
        assert_eq!(answer.retry_after, Some(SECOND * wait));
        bench.pass(SECOND * wait - Duration::from_nanos(1));
        assert!(
            bench.answer("k").lease.is_none(),
            "nor just before {wait} s"
        );
        bench.pass(Duration::from_nanos(1));
    }
    let lease = bench.answer("k").lease.expect("a refresh is due");
    assert!(is_stored(fill(lease, "w")));
    assert!(!bench.answer("k").stale);
}

#[test]
fn c6_the_origins_retry_after_is_honoured() {
    let bench = stale_bench();
    done(
        bench
            .answer("k")
            .lease
            .expect("a refresh")
            .settle(failed(Some(SECOND * 20))),
    );
    bench.pass(SECOND * 19);
    assert!(bench.answer("k").lease.is_none());
    bench.pass(SECOND);
    assert!(bench.answer("k").lease.is_some());
}

#[test]
fn past_staleness_an_entry_answers_only_when_loading_fails() {
    let bench = stale_bench();
    bench.pass(SECOND * 60); // 91 s after storing: stale-if-error only
    assert_eq!(bench.held("k"), None);
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    done(lease.settle(failed(None)));
    let answer = poll(&mut follower).expect("woken");
    assert_eq!((found(&answer).as_deref(), answer.stale), (Some("v"), true));
    assert_eq!(answer.reason, Some(Reason::LoadFailed));
    assert_eq!(answer.error.expect("the error").message(), "down");
    // While backing off it answers at once, also those who load nothing.
    assert_eq!(bench.held("k").as_deref(), Some("v"));
    bench.pass(SECOND);
    assert_eq!(bench.held("k"), None);
    drop(bench.lead("k"));
    bench.pass(SECOND * 300);
    let lease = bench.lead("k");
    done(lease.settle(failed(None)));
    assert_eq!(bench.held("k"), None, "gone is gone");
}

#[test]
fn past_staleness_an_entry_answers_when_the_load_takes_too_long() {
    let bench = stale_bench();
    bench.pass(SECOND * 60);
    let _lease = bench.lead("k");
    let want = Want::load_until(bench.clock.now().after(SECOND));
    let Lookup::Follow(mut follower) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("somebody leads");
    };
    assert!(poll(&mut follower).is_none());
    bench.pass(SECOND);
    let answer = poll(&mut follower).expect("at its deadline");
    assert_eq!((found(&answer).as_deref(), answer.stale), (Some("v"), true));
}

#[test]
fn fresh_only_takes_nothing_stale() {
    let bench = stale_bench();
    let want = Want {
        fresh_only: true,
        ..bench.want()
    };
    let Lookup::Answer(answer) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("nobody leads");
    };
    assert!(answer.found.is_none());
    let lease = answer.lease.expect("it loads");
    done(lease.settle(failed(None)));
    let Lookup::Answer(answer) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("nobody leads");
    };
    assert!(answer.found.is_none());
}

#[test]
fn an_undeclared_cache_serves_nothing_stale() {
    let bench = Bench::with(Policy {
        jitter: 0.0,
        ..Policy::undeclared()
    });
    bench.load("k", "v");
    bench.pass(SECOND * 30);
    assert_eq!(bench.held("k"), None);
    let lease = bench.lead("k");
    done(lease.settle(failed(None)));
    assert_eq!(bench.held("k"), None);
    assert!(is_stored(done(bench.lead("k").settle(Fill::absent()))));
    assert_eq!(bench.held("k"), None, "absence is not remembered either");
}

#[test]
fn early_refresh_answers_fresh_and_loads_behind() {
    let clock = millpond_core::clock::ManualClock::default();
    let pond = Pond::new(Config {
        undeclared: Policy {
            early_refresh: 1.0,
            ..policy()
        },
        clock: Clock::Manual(clock.clone()),
        entropy: Entropy::Fixed(0.5), // −ln(0.5) = 0.69: due 0.69 Δ before expiry
        ..Config::default()
    });
    let (tenant, cache) = names("acme", "users");
    let scope = pond.scope(&tenant, &cache).expect("room");
    let read = || match pond.get(
        &scope,
        b"k",
        Want::load_until(millpond_core::clock::Time::FAR),
    ) {
        Lookup::Answer(answer) => answer,
        Lookup::Follow(_) => panic!("nobody leads"),
    };
    let lease = read().lease.expect("a miss");
    clock.advance(SECOND * 2); // Δ = 2 s
    assert!(is_stored(fill(lease, "v")));
    clock.advance(SECOND * 28); // 2 s left > 1.39
    assert!(read().lease.is_none());
    clock.advance(SECOND); // 1 s left < 1.39
    let answer = read();
    assert!(answer.found.is_some() && !answer.stale);
    assert!(answer.lease.is_some());
    assert!(read().lease.is_none(), "one at a time");
}

#[test]
fn the_sweep_removes_what_is_gone_and_forgets_idle_caches() {
    let bench = Bench::new();
    for i in 0..100 {
        bench.load(&format!("k{i}"), "v");
    }
    let idle = bench.scope("idle", "cache");
    drop(idle);
    assert_eq!(bench.pond.gauges().caches, 2);
    assert_eq!(bench.pond.sweep(), 0);
    assert_eq!(
        (bench.pond.gauges().entries, bench.pond.gauges().caches),
        (100, 1)
    );
    bench.pass(SECOND * 390);
    assert_eq!(bench.pond.sweep(), 100);
    let gauges = bench.pond.gauges();
    assert_eq!((gauges.entries, gauges.bytes), (0, 0));
}

#[test]
fn loads_that_nobody_settles_are_forgotten_after_max_load() {
    let bench = Bench::new();
    for i in 0..50 {
        let _never_settled = bench.lead(&format!("k{i}")).detach();
    }
    assert_eq!(bench.pond.gauges().loads, 50);
    bench.pass(SECOND * 60);
    bench.pond.sweep();
    assert_eq!(bench.pond.gauges().loads, 0);
}
