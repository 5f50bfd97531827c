//! The fill table: one leader, every follower told, the lease handed on.
#![cfg(millpond_loom)]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::thread;
use millpond_core::cache::Lookup;
use millpond_loom_tests::{Model, explore, fill, text};

#[test]
fn of_two_readers_exactly_one_leads() {
    explore(|| {
        let model = Model::new();
        let other = model.clone();
        let reader = thread::spawn(move || other.lookup());
        let lookups = [model.lookup(), reader.join().expect("no panic")];
        let leads = lookups
            .iter()
            .filter(|lookup| matches!(lookup, Lookup::Answer(answer) if answer.lease.is_some()))
            .count();
        assert_eq!(leads, 1);
        drop(lookups);
        model.assert_at_rest();
    });
}

#[test]
fn every_follower_wakes_with_the_value() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || text(&model.get()))
            })
            .collect();
        fill(lease, "v");
        for reader in readers {
            assert_eq!(reader.join().expect("no panic").as_deref(), Some(&b"v"[..]));
        }
        model.assert_at_rest();
    });
}

#[test]
fn a_dropped_lease_goes_to_a_follower_in_whatever_state_it_is() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let other = model.clone();
        let reader = thread::spawn(move || {
            let answer = other.get();
            fill(answer.lease.expect("it was handed on"), "v");
        });
        drop(lease);
        reader.join().expect("no panic");
        assert_eq!(model.held().as_deref(), Some(&b"v"[..]));
        model.assert_at_rest();
    });
}

#[test]
fn a_promoted_follower_that_leaves_hands_on() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let Lookup::Follow(leaver) = model.lookup() else {
            panic!("somebody leads")
        };
        let Lookup::Follow(stayer) = model.lookup() else {
            panic!("somebody leads")
        };
        let leaving = thread::spawn(move || drop(leaver));
        drop(lease);
        leaving.join().expect("no panic");
        let answer = loom::future::block_on(stayer);
        fill(answer.lease.expect("nobody else is left"), "v");
        model.assert_at_rest();
    });
}

#[test]
fn two_followers_of_a_dead_leader_elect_one() {
    explore(|| {
        let model = Model::new();
        let _dead = model.lead().detach();
        let Lookup::Follow(waiter) = model.lookup() else {
            panic!("somebody leads")
        };
        model.clock.advance(std::time::Duration::from_secs(11));
        let other = model.clone();
        let newcomer = thread::spawn(move || match other.get() {
            answer if answer.lease.is_some() => {
                fill(answer.lease.expect("just seen"), "v");
                1
            }
            _ => 0,
        });
        let answer = loom::future::block_on(waiter);
        let mut leads = 0;
        if let Some(lease) = answer.lease {
            fill(lease, "v");
            leads += 1;
        }
        leads += newcomer.join().expect("no panic");
        assert_eq!(leads, 1);
        assert_eq!(model.held().as_deref(), Some(&b"v"[..]));
    });
}

#[test]
fn a_waiter_is_not_handed_what_an_invalidation_overtook() {
    explore(|| {
        let model = Model::new();
        let lease = model.lead();
        let Lookup::Follow(mut waiter) = model.lookup() else {
            panic!("somebody leads")
        };
        let loader = thread::spawn(move || fill(lease, "old"));
        model.invalidate();
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = Pin::new(&mut waiter).poll(&mut context) {
            assert_eq!(text(&answer), None, "the invalidation has returned");
        }
        drop(waiter);
        loader.join().expect("no panic");
    });
}
