//! Many breakers, of many tenants.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::breaker::registry::{Config, GRANTED, Policies};
use millpond_core::breaker::{
    Breaker, BreakerName, Forced, Outcome, Policy, Registry, State, Window,
};
use millpond_core::cache::TenantId;
use millpond_core::clock::{Clock, ManualClock, Time};

use crate::rig::{FAST, SECOND, by_count, by_time};

const PER_TENANT: usize = 20;
const ROOM: usize = 30;

struct Many {
    registry: Registry,
    clock: ManualClock,
}

impl Many {
    fn new(policies: Policies) -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND));
        let registry = Registry::new(Config {
            clock: Clock::Manual(clock.clone()),
            entropy: Entropy::Fixed(0.0),
            per_tenant: PER_TENANT,
            room: ROOM,
            policies,
        });
        Self {
            registry: registry.expect("valid"),
            clock,
        }
    }

    fn get(&self, tenant: &str, name: &str) -> Arc<Breaker> {
        let tenant = TenantId::parse(tenant).expect("valid");
        self.registry.get(&tenant, &named(name))
    }

    /// So many breakers of a tenant, as they come.
    fn many(&self, tenant: &str, breakers: usize) -> Vec<Arc<Breaker>> {
        (0..breakers)
            .map(|at| self.get(tenant, &format!("b{at}")))
            .collect()
    }

    /// How many of them are breakers of their own.
    fn guarded(&self, breakers: &[Arc<Breaker>]) -> usize {
        let guarded = |breaker: &&Arc<Breaker>| !self.registry.is_unguarded(breaker);
        breakers.iter().filter(guarded).count()
    }

    fn fail(&self, breaker: &Breaker, calls: usize) {
        for _ in 0..calls {
            let now = self.clock.now();
            let permit = breaker.admit(now).expect("admitted");
            permit.record(Outcome::Failure, FAST, now);
        }
    }

    fn names(&self) -> Vec<String> {
        let listed = self.registry.list(None).into_iter();
        listed
            .map(|one| format!("{}/{}", one.tenant, one.name))
            .collect()
    }
}

fn named(name: &str) -> BreakerName {
    BreakerName::parse(name).expect("valid")
}

fn policies(default: Policy) -> Policies {
    Policies {
        default,
        ..Policies::default()
    }
}

#[test]
fn a_breaker_is_a_tenants_own_and_found_again() {
    let many = Many::new(policies(by_time()));
    many.fail(&many.get("a", "mail"), 10);
    assert!(Arc::ptr_eq(&many.get("a", "mail"), &many.get("a", "mail")));
    let state = |tenant, name| many.get(tenant, name).standing(many.clock.now()).state;
    assert_eq!(state("a", "mail"), State::Open);
    assert_eq!(state("b", "mail"), State::Closed);
    assert_eq!(state("a", "sms"), State::Closed);
    assert_eq!(many.names(), ["a/mail", "a/sms", "b/mail"]);
    assert_eq!(
        many.registry.forget(&TenantId::parse("a").expect("valid")),
        2
    );
    assert_eq!(many.names(), ["b/mail"]);
}

#[test]
fn a_tenants_names_are_bounded_and_no_other_tenant_pays_for_them() {
    let many = Many::new(policies(by_time()));
    let mut held = Vec::new();
    let mut guarded = |tenant: &str, breakers| {
        let got = many.many(tenant, breakers);
        let guarded = many.guarded(&got);
        held.push(got); // so that none of them goes
        guarded
    };
    assert_eq!(guarded("greedy", 10 * PER_TENANT), PER_TENANT);
    assert_eq!(guarded("second", PER_TENANT), PER_TENANT);
    let left = ROOM - 2 * (PER_TENANT - GRANTED);
    assert_eq!(guarded("third", PER_TENANT), GRANTED + left);
    for tenant in 0..50 {
        assert_eq!(guarded(&format!("late{tenant}"), PER_TENANT), GRANTED);
    }
}

#[test]
fn a_name_without_room_is_admitted_and_never_refused() {
    let many = Many::new(policies(by_time()));
    let _held = many.many("a", PER_TENANT);
    let breaker = many.get("a", "one-more");
    assert!(many.registry.is_unguarded(&breaker));
    many.fail(&breaker, 1_000);
    assert!(breaker.admit(many.clock.now()).is_ok());
}

#[test]
fn what_is_open_forced_in_hand_or_has_counted_a_failure_does_not_go() {
    let many = Many::new(policies(by_time()));
    many.fail(&many.get("a", "open"), 10);
    many.get("a", "forced").force(Some(Forced::Disabled));
    many.fail(&many.get("a", "failed"), 1);
    let _held = many.get("a", "held");
    let _ = many.get("a", "idle");
    let sweep_often = || (0..5).for_each(|_| many.registry.sweep());
    many.registry.sweep();
    assert_eq!(many.names().len(), 5, "all were used");
    sweep_often();
    assert_eq!(many.names(), ["a/failed", "a/forced", "a/held", "a/open"]);
    many.clock.advance(8 * SECOND);
    sweep_often();
    assert_eq!(many.names(), ["a/forced", "a/held", "a/open"]);
}

#[test]
fn at_its_bound_a_tenants_idle_breaker_makes_room_for_a_new_name() {
    let many = Many::new(policies(by_time()));
    assert_eq!(many.guarded(&many.many("a", PER_TENANT)), PER_TENANT);
    many.fail(&many.get("a", "b0"), 10);
    assert!(many.registry.is_unguarded(&many.get("a", "new")));
    let _ = many.get("a", "b1");
    let new = many.get("a", "new");
    assert!(!many.registry.is_unguarded(&new), "the hand came by twice");
    let names = many.names();
    assert_eq!(names.len(), PER_TENANT);
    assert!(names.contains(&"a/b0".to_owned()), "it is open");
    assert!(names.contains(&"a/b1".to_owned()), "it was used");
}

#[test]
fn another_policy_keeps_the_state_if_the_window_stays() {
    let many = Many::new(policies(by_time()));
    many.fail(&many.get("a", "open"), 10);
    many.fail(&many.get("a", "closed"), 9);
    many.get("a", "forced").force(Some(Forced::Open));
    let longer = Policy {
        minimum_calls: 11,
        open: 7 * SECOND,
        ..by_time()
    };
    many.registry.reconfigure(policies(longer)).expect("valid");
    let standing = |name| many.get("a", name).standing(many.clock.now());
    assert_eq!(standing("open").state, State::Open);
    assert_eq!(standing("closed").counted.failures, 9);
    many.fail(&many.get("a", "closed"), 1);
    assert_eq!(
        standing("closed").state,
        State::Closed,
        "10 are too few now"
    );
    many.registry
        .reconfigure(policies(by_count()))
        .expect("valid");
    assert_eq!(standing("open").state, State::Closed, "it begins anew");
    assert_eq!(standing("closed").counted.calls, 0);
    assert_eq!(standing("forced").state, State::ForcedOpen);
}

#[test]
fn policies_go_by_name_and_all_mistakes_are_told_at_once() {
    let of_mail = Policy {
        minimum_calls: 1,
        ..by_count()
    };
    let many = Many::new(Policies {
        default: by_time(),
        named: [(named("mail"), of_mail)].into(),
    });
    assert_eq!(many.get("a", "mail").policy(), of_mail);
    assert_eq!(many.get("a", "sms").policy(), by_time());
    let bad = Policy {
        probes: 0,
        window: Window::Time(Duration::ZERO),
        ..by_time()
    };
    let wrong = many.registry.reconfigure(Policies {
        default: bad,
        named: [(named("mail"), bad)].into(),
    });
    let wrong: Vec<String> = wrong
        .expect_err("both are wrong")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        wrong,
        [
            "default: window: expected 1 to 1024 calls, or 100 ms to 1 h",
            "default: probes: expected 1 to 63",
            "mail: window: expected 1 to 1024 calls, or 100 ms to 1 h",
            "mail: probes: expected 1 to 63",
        ]
    );
    assert_eq!(many.get("a", "mail").policy(), of_mail, "nothing changed");
}

#[test]
fn one_wait_tells_of_every_breakers_change() {
    let many = Many::new(policies(by_time()));
    let mut context = Context::from_waker(Waker::noop());
    let (mail, sms) = (many.get("a", "mail"), many.get("b", "sms"));
    let steps: [&dyn Fn(); 4] = [
        &|| many.fail(&mail, 10),
        &|| {
            many.clock.advance(5 * SECOND);
            let _probe = mail.issue(many.clock.now()).expect("a probe");
        },
        &|| sms.force(Some(Forced::Open)),
        &|| {
            many.registry
                .reconfigure(policies(by_time()))
                .expect("valid")
        },
    ];
    for step in steps {
        let seen = many.registry.changes();
        let mut wait = pin!(many.registry.changed(seen));
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
        many.fail(&many.get("c", "quiet"), 1);
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
        step();
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(seen + 1));
    }
}
