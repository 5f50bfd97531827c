//! C2, C3, C4, C5, C6: who loads, what a late value is worth, who is told.

use std::time::Duration;

use millpond_core::cache::{
    Body, Fill, Filled, LoadError, Lookup, Policy, Reason, Settlement, Source, Times, Want,
};

use crate::support::*;

fn failed(text: &str) -> Fill {
    Fill::Failed(LoadError::new(text, None))
}

#[test]
fn c3_one_of_many_readers_leads_and_the_others_get_its_value() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut followers: Vec<_> = (0..100).map(|_| bench.follow("k")).collect();
    assert!(
        followers
            .iter_mut()
            .all(|follower| poll(follower).is_none())
    );
    assert!(is_stored(fill(lease, "v")));
    for follower in &mut followers {
        let answer = poll(follower).expect("woken");
        assert_eq!(found(&answer).as_deref(), Some("v"));
        assert_eq!(answer.source, Some(Source::Loaded));
    }
    let totals = bench.pond.totals();
    assert_eq!((totals.leads, totals.coalesced, totals.stored), (1, 100, 1));
}

#[test]
fn c2_a_lease_that_ran_out_ends_exclusivity_and_not_the_loads_worth() {
    let bench = Bench::new();
    let slow = bench.lead("k");
    bench.pass(SECOND * 11);
    assert!(
        is_stored(fill(slow, "slow")),
        "nothing moved: the value counts"
    );
    assert_eq!(bench.held("k").as_deref(), Some("slow"));
}

#[test]
fn c2_a_slow_loaders_value_wakes_those_who_wait_for_its_successor() {
    let bench = Bench::new();
    let slow = bench.lead("k");
    bench.pass(SECOND * 11);
    let successor = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    assert!(is_stored(fill(slow, "slow")));
    assert_eq!(
        found(&poll(&mut follower).expect("woken")).as_deref(),
        Some("slow")
    );
    assert!(
        is_stored(fill(successor, "later")),
        "a later load is the better one"
    );
    assert_eq!(bench.held("k").as_deref(), Some("later"));
}

#[test]
fn c2_an_earlier_load_never_replaces_a_later_ones_value() {
    let bench = Bench::new();
    let slow = bench.lead("k");
    bench.pass(SECOND * 11);
    let successor = bench.lead("k");
    assert!(is_stored(fill(successor, "later")));
    assert_eq!(fill(slow, "earlier"), Filled::Superseded);
    assert_eq!(bench.held("k").as_deref(), Some("later"));
}

#[test]
fn c2_a_load_is_worth_nothing_after_max_load() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    bench.pass(SECOND * 60);
    assert_eq!(fill(lease, "ancient"), Filled::Superseded);
    assert_eq!(bench.held("k"), None);
}

#[test]
fn c2_a_loader_slower_than_its_lease_is_run_a_bounded_number_of_times() {
    // A 3 s loader under a 2 s lease, 10 calls a second for 60 s.
    let bench = Bench::with(Policy {
        lease: SECOND * 2,
        ..policy()
    });
    let (mut loads, mut served, mut running) = (0, 0, Vec::new());
    let mut followers = Vec::new();
    for tick in 0..600_u32 {
        let mut due = Vec::new();
        running.retain_mut(|(end, lease): &mut (u32, Option<_>)| {
            if *end == tick {
                due.extend(lease.take());
            }
            *end > tick
        });
        for lease in due {
            assert!(
                is_stored(fill(lease, "v")),
                "at {tick}: its value is stored"
            );
        }
        let mut lookup = Some(bench.get("k"));
        followers.retain_mut(|follower| match poll(follower) {
            Some(answer) => {
                served += usize::from(answer.found.is_some());
                if let Some(lease) = answer.lease {
                    loads += 1;
                    running.push((tick + 30, Some(lease)));
                }
                false
            }
            None => true,
        });
        match lookup.take().expect("just made") {
            Lookup::Answer(answer) => {
                served += usize::from(answer.found.is_some());
                if let Some(lease) = answer.lease {
                    loads += 1;
                    running.push((tick + 30, Some(lease)));
                }
            }
            Lookup::Follow(mut waiter) => {
                if poll(&mut waiter).is_none() {
                    followers.push(waiter);
                }
            }
        }
        bench.pass(Duration::from_millis(100));
    }
    assert!(loads <= 8, "{loads} loads");
    assert!(served >= 590, "{served} of 600 calls served");
}

#[test]
fn c4_a_lease_of_another_boot_or_an_unknown_token_settles_nothing() {
    let bench = Bench::new();
    let other = Bench::new();
    let lease = bench.lead("k");
    let mut grant = other.lead("k").detach();
    assert_eq!(
        bench.pond.fill(&bench.scope, b"k", grant, value("x")),
        Filled::Superseded
    );
    grant.boot = bench.pond.boot();
    grant.token = millpond_core::fence::Token::from_bits(u64::MAX);
    assert_eq!(
        bench.pond.fill(&bench.scope, b"k", grant, value("x")),
        Filled::Superseded
    );
    assert!(bench.pond.renew(&bench.scope, b"k", grant, None).is_none());
    let _follower = bench.follow("k"); // the right lease still excludes
    assert!(is_stored(fill(lease, "v")));
}

#[test]
fn c4_a_lease_settles_once() {
    let bench = Bench::new();
    let grant = bench.lead("k").detach();
    let settle = |text| bench.pond.fill(&bench.scope, b"k", grant, value(text));
    assert!(is_stored(settle("once")));
    assert_eq!(settle("twice"), Filled::Superseded);
    bench.invalidate("k");
    assert_eq!(settle("thrice"), Filled::Superseded);
    assert_eq!(bench.held("k"), None);
}

#[test]
fn c4_a_holder_that_slept_cannot_release_its_successors_lease() {
    let bench = Bench::new();
    let sleeper = bench.lead("k");
    bench.pass(SECOND * 11);
    let successor = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    drop(sleeper);
    assert!(poll(&mut follower).is_none(), "the successor still leads");
    let _other = bench.follow("k");
    assert!(is_stored(fill(successor, "v")));
    assert_eq!(
        found(&poll(&mut follower).expect("woken")).as_deref(),
        Some("v")
    );
}

#[test]
fn c5_a_dropped_leader_promotes_exactly_one_follower() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut followers: Vec<_> = (0..10).map(|_| bench.follow("k")).collect();
    assert!(
        followers
            .iter_mut()
            .all(|follower| poll(follower).is_none())
    );
    drop(lease);
    let mut answers: Vec<_> = followers.iter_mut().filter_map(poll).collect();
    assert_eq!(answers.len(), 1);
    let answer = answers.remove(0);
    assert_eq!(
        (answer.error.is_none(), answer.reason),
        (true, None),
        "not an error"
    );
    assert!(is_stored(fill(answer.lease.expect("the lease"), "v")));
    let served = followers
        .iter_mut()
        .skip(1)
        .filter_map(poll)
        .filter_map(|a| found(&a))
        .count();
    assert_eq!(served, 9);
}

#[test]
fn c5_a_leader_that_panics_promotes_a_follower() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = lease;
        std::panic::resume_unwind(Box::new("the loader panics"));
    }));
    assert!(unwound.is_err());
    assert!(poll(&mut follower).expect("woken").lease.is_some());
}

#[test]
fn c5_a_leader_that_died_is_succeeded_at_its_deadline() {
    let bench = Bench::new();
    let _dead = bench.lead("k").detach();
    let mut followers: Vec<_> = (0..5).map(|_| bench.follow("k")).collect();
    assert!(
        followers
            .iter_mut()
            .all(|follower| poll(follower).is_none())
    );
    bench.pass(SECOND * 10 - Duration::from_nanos(1));
    assert!(
        followers
            .iter_mut()
            .all(|follower| poll(follower).is_none())
    );
    bench.pass(Duration::from_nanos(1));
    assert!(
        followers
            .iter()
            .all(|follower| follower.wake_at() <= bench.clock.now())
    );
    let leases: Vec<_> = followers
        .iter_mut()
        .filter_map(poll)
        .filter_map(|answer| answer.lease)
        .collect();
    assert_eq!(leases.len(), 1, "exactly one leads");
}

#[test]
fn c5_a_promoted_follower_that_leaves_hands_on_to_the_next() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let (mut first, mut second) = (bench.follow("k"), bench.follow("k"));
    assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
    drop(lease); // promotes the first,
    drop(first); // which never looks
    assert!(poll(&mut second).expect("woken").lease.is_some());
}

#[test]
fn c5_when_everybody_leaves_nothing_is_held() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let followers: Vec<_> = (0..1_000).map(|_| bench.follow("k")).collect();
    drop(lease);
    drop(followers);
    assert_eq!(bench.pond.gauges().loads, 0);
    assert!(bench.answer("k").lease.is_some());
}

#[test]
fn c6_an_error_reaches_the_followers_and_is_not_remembered() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let mut follower = bench.follow("k");
    assert!(poll(&mut follower).is_none());
    assert_eq!(done(lease.settle(failed("no route"))), Filled::Noted);
    let answer = poll(&mut follower).expect("woken");
    assert_eq!(answer.reason, Some(Reason::LoadFailed));
    assert_eq!(
        answer.error.expect("the leader's error").message(),
        "no route"
    );
    assert!(
        bench.answer("k").lease.is_some(),
        "the next reader loads at once"
    );
}

#[test]
fn c6_absence_is_remembered_briefly_and_invalidated_like_a_value() {
    let bench = Bench::new();
    let absent = |bench: &Bench| {
        let fill = Fill::Found {
            body: Body::Absent,
            times: Times::default(),
            tags: vec!["t".into()],
            etag: Default::default(),
        };
        done(bench.lead("k").settle(fill))
    };
    assert!(is_stored(absent(&bench)));
    assert_eq!(bench.held("k").as_deref(), Some("(absent)"));
    bench.pass(SECOND * 5);
    assert_eq!(bench.held("k"), None);
    assert!(is_stored(absent(&bench)));
    bench.invalidate_as(millpond_core::cache::Target::Tags(&["t"]), HARD);
    assert_eq!(bench.held("k"), None);
}

#[test]
fn absence_that_is_not_remembered_still_removes_the_value_it_contradicts() {
    let bench = Bench::with(Policy {
        negative: Duration::ZERO,
        ..policy()
    });
    bench.load("k", "v");
    bench.pass(SECOND * 31);
    let lease = bench.answer("k").lease.expect("a refresh");
    assert!(is_stored(done(lease.settle(Fill::absent()))));
    assert_eq!(bench.held("k"), None);
}

#[test]
fn renewal_keeps_a_slow_loader_alone_up_to_max_load() {
    let bench = Bench::new();
    let grant = bench.lead("k").detach();
    let renew = || bench.pond.renew(&bench.scope, b"k", grant, None);
    for _ in 0..5 {
        bench.pass(SECOND * 9);
        assert!(renew().is_some());
        let mut follower = bench.follow("k");
        assert!(poll(&mut follower).is_none());
    }
    bench.pass(SECOND * 9); // 54 s: renewed to the 60th
    assert_eq!(
        renew().map(|end| end.since(bench.clock.now())),
        Some(SECOND * 6)
    );
    bench.pass(SECOND * 6);
    assert!(renew().is_none());
    assert!(bench.answer("k").lease.is_some());
}

#[test]
fn a_renewal_after_somebody_else_leads_is_refused() {
    let bench = Bench::new();
    let grant = bench.lead("k").detach();
    bench.pass(SECOND * 11);
    let _successor = bench.lead("k");
    assert!(bench.pond.renew(&bench.scope, b"k", grant, None).is_none());
}

#[test]
fn not_modified_renews_the_entry_it_was_asked_about_and_no_other() {
    let bench = Bench::new();
    let filled = bench.lead("k").settle(Fill::Found {
        body: Body::Value("v".into()),
        times: Times::default(),
        tags: vec!["t".into()],
        etag: "e1".into(),
    });
    assert!(is_stored(done(filled)));
    bench.pass(SECOND * 31);
    let lease = bench.answer("k").lease.expect("a refresh");
    assert_eq!(&lease.etag()[..], b"e1");
    let confirmed = lease.settle(Fill::NotModified {
        times: Times::default(),
    });
    assert!(is_stored(done(confirmed)));
    let answer = bench.answer("k");
    assert!(!answer.stale);
    assert_eq!(answer.found.expect("held").tags().next(), Some(&b"t"[..]));

    bench.pass(SECOND * 31);
    let lease = bench.answer("k").lease.expect("a refresh");
    bench.pass(SECOND * 3_600);
    bench.pond.sweep(); // the value is gone; the lease's load is past max_load too
    assert_eq!(
        done(lease.settle(Fill::NotModified {
            times: Times::default()
        })),
        Filled::Superseded
    );
}

#[test]
fn not_modified_without_the_value_asks_for_it_and_keeps_the_lease() {
    let bench = Bench::new();
    let lease = bench.lead("k");
    let Settlement::NeedValue(lease) = lease.settle(Fill::NotModified {
        times: Times::default(),
    }) else {
        panic!("there is nothing to confirm");
    };
    assert!(is_stored(fill(lease, "v")));
}

#[test]
fn a_followers_own_patience_ends_its_wait() {
    let bench = Bench::new();
    let _lease = bench.lead("k");
    let want = Want::load_until(bench.clock.now().after(SECOND));
    let Lookup::Follow(mut follower) = bench.pond.get(&bench.scope, b"k", want) else {
        panic!("somebody leads");
    };
    assert!(poll(&mut follower).is_none());
    bench.pass(SECOND);
    let answer = poll(&mut follower).expect("at its deadline");
    assert_eq!(
        (answer.reason, answer.found.is_none()),
        (Some(Reason::WaitExpired), true)
    );
}

#[test]
fn a_load_s_time_is_counted_from_its_grant_however_it_is_settled() {
    let bench = Bench::new();
    let stored = bench.lead("stored");
    bench.pass(SECOND);
    assert!(is_stored(fill(stored, "v")));
    let given_up = bench.lead("given up");
    bench.pass(SECOND * 2);
    drop(given_up);
    let durations = bench.pond.load_durations();
    assert_eq!((durations.count(), durations.sum()), (2, SECOND * 3));
}
