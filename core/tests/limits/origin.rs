//! What loads cost a tenant.

use std::sync::Arc;
use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::cache::{
    self, Answer, CacheName, Fill, Lookup, Mode, Policy, Pond, Reason, Scope, Want,
};
use millpond_core::clock::{Clock, Time};
use millpond_core::tenant::{Overrides, Tier, TierName};

use crate::rig::{Rig, SECOND, quota, tenant, tier};

struct Loads {
    rig: Rig,
    pond: Arc<Pond>,
    scope: Arc<Scope>,
}

fn origin(name: &str, rate: u64, burst: u64) -> Tier {
    Tier {
        name: TierName::parse(name).expect("valid"),
        extends: None,
        settings: Overrides {
            origin: quota(rate, burst).into(),
            ..Overrides::default()
        },
    }
}

impl Loads {
    /// Two loads at once, one a second; the second tier has ten.
    fn new(mode: Mode) -> Self {
        let rig = Rig::new(vec![origin("two", 1, 2), origin("ten", 1, 10)]);
        let pond = Pond::new(cache::Config {
            clock: Clock::Manual(rig.clock.clone()),
            entropy: Entropy::Fixed(0.0),
            directory: Some(Arc::clone(rig.limiter.directory())),
            undeclared: Policy {
                jitter: 0.0,
                mode,
                ..Policy::declared()
            },
            ..cache::Config::default()
        });
        let cache = CacheName::parse("c").expect("valid");
        let scope = pond.scope(&tenant("a"), &cache).expect("room");
        Self { rig, pond, scope }
    }

    fn lookup(&self, key: &str) -> Lookup {
        let want = Want::load_until(Time::FAR);
        self.pond.get(&self.scope, key.as_bytes(), want)
    }

    fn read(&self, key: &str) -> Answer {
        match self.lookup(key) {
            Lookup::Answer(answer) => answer,
            Lookup::Follow(_) => panic!("somebody leads {key}"),
        }
    }

    fn load(&self, key: &str) {
        let lease = self.read(key).lease.expect("its turn");
        let _stored = lease.settle(Fill::value("v"));
    }

    fn refused(&self, key: &str) -> (Option<Reason>, Option<Duration>) {
        let answer = self.read(key);
        assert!(answer.lease.is_none() && answer.found.is_none());
        (answer.reason, answer.retry_after)
    }
}

#[test]
fn a_load_costs_one_token_however_many_wait_for_it_and_hits_cost_none() {
    let loads = Loads::new(Mode::On);
    let lease = loads.read("k").lease.expect("the first");
    let waiting: Vec<Lookup> = (0..50).map(|_| loads.lookup("k")).collect();
    assert!(
        waiting
            .iter()
            .all(|lookup| matches!(lookup, Lookup::Follow(_)))
    );
    let _stored = lease.settle(Fill::value("v"));
    for _ in 0..50 {
        assert!(loads.read("k").found.is_some());
    }
    loads.load("another");
    assert_eq!(
        loads.refused("third"),
        (Some(Reason::OverBudget), Some(SECOND))
    );
    loads.rig.clock.advance(SECOND);
    loads.load("third");
    let own = loads.rig.limiter.acquire_own("a", 1).expect("known");
    assert!(own.standing.is_none(), "the cache spends no requests");
    assert_eq!(loads.pond.totals().over_budget, 1);
}

#[test]
fn what_is_stale_is_answered_when_its_refresh_cannot_be_paid() {
    let loads = Loads::new(Mode::On);
    loads.load("k");
    // Stale after 30 s, only on error after 90.
    for (after, lease) in [(30, true), (91, true)] {
        let loads = Loads::new(Mode::On);
        loads.load("k");
        loads.rig.clock.advance(SECOND * after);
        loads.load("x");
        loads.load("y");
        let stale = loads.read("k");
        assert!(
            stale.found.is_some() && stale.lease.is_none(),
            "after {after} s"
        );
        assert_eq!(stale.reason, Some(Reason::OverBudget));
        assert_eq!(stale.retry_after, Some(SECOND));
        assert_eq!(loads.pond.totals().stale_over_budget, 1);
        loads.rig.clock.advance(SECOND);
        assert_eq!(loads.read("k").lease.is_some(), lease);
    }
}

#[test]
fn a_load_that_is_handed_on_is_paid_into_debt() {
    let loads = Loads::new(Mode::On);
    let lease = loads.read("k").lease.expect("the first");
    let Lookup::Follow(waiter) = loads.lookup("k") else {
        panic!("somebody leads")
    };
    loads.load("another");
    drop(lease);
    let mut waiter = std::pin::pin!(waiter);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = waiter.as_mut().poll(&mut context) else {
        panic!("the lease was handed on")
    };
    let lease = answer.lease.expect("its turn, though the budget is spent");
    let _stored = lease.settle(Fill::value("v"));
    assert_eq!(
        loads.refused("third"),
        (Some(Reason::OverBudget), Some(2 * SECOND))
    );
}

#[test]
fn a_change_of_tier_holds_for_the_next_load_and_gives_nothing_back() {
    let loads = Loads::new(Mode::On);
    loads.load("1");
    loads.load("2");
    assert_eq!(loads.refused("3").0, Some(Reason::OverBudget));
    loads.rig.put("ten");
    for key in 3..=10 {
        loads.load(&key.to_string());
    }
    assert_eq!(loads.refused("11").0, Some(Reason::OverBudget));
    loads.rig.put("two");
    assert_eq!(loads.refused("11").1, Some(9 * SECOND));
}

#[test]
fn callers_of_a_cache_that_observes_pay_nothing() {
    let loads = Loads::new(Mode::Observe);
    for key in 0..20 {
        loads.load(&key.to_string());
    }
}

#[test]
fn a_tenant_without_a_budget_loads_as_it_likes() {
    let rig = Rig::new(vec![tier("free", None, Vec::new())]);
    let pond = Pond::new(cache::Config {
        clock: Clock::Manual(rig.clock.clone()),
        directory: Some(Arc::clone(rig.limiter.directory())),
        ..cache::Config::default()
    });
    let cache = CacheName::parse("c").expect("valid");
    for name in ["a", "stranger"] {
        let scope = pond.scope(&tenant(name), &cache).expect("room");
        for key in 0..100_u32 {
            let want = Want::load_until(Time::FAR);
            let Lookup::Answer(answer) = pond.get(&scope, &key.to_be_bytes(), want) else {
                panic!("nobody leads")
            };
            assert!(answer.lease.is_some(), "{name}");
            let _stored = answer.lease.map(|lease| lease.settle(Fill::value("v")));
        }
    }
}
