//! Token buckets: what is charged at once, handed back, settled and granted.
#![cfg(millpond_loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::fence::Token;
use millpond_core::limit::{Call, Charge, Config, Granted, Limiter, Quota, Settlement};
use millpond_core::tenant::{
    self, Declaration, Directory, LimitName, NamedQuota, Overrides, Strangers, TenantId, Tier,
    TierName, Tiers,
};
use millpond_loom_tests::explore;

const SECOND: Duration = Duration::from_secs(1);

/// One tenant, `t`, that has some tokens of its own, and some of its limit `n`.
#[derive(Clone)]
struct Model {
    limiter: Arc<Limiter>,
    clock: ManualClock,
    tenant: TenantId,
}

impl Model {
    fn new(own: u64, named: u64) -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND));
        let tenant = TenantId::parse("t").expect("valid");
        let name = TierName::parse("tier").expect("valid");
        let quota = |burst| Quota::per_second(1, burst).expect("valid");
        let tier = Tier {
            name: name.clone(),
            extends: None,
            settings: Overrides {
                request: quota(own).into(),
                limits: vec![NamedQuota {
                    total: Some(quota(named)),
                    ..NamedQuota::new(LimitName::parse("n").expect("valid"))
                }],
                ..Overrides::default()
            },
        };
        let directory = Directory::new(tenant::Config {
            tiers: Tiers::new(vec![tier]).expect("valid"),
            strangers: Strangers::Refuse,
            tenants: vec![(tenant.clone(), Declaration::of(name))],
            clock: Clock::Manual(clock.clone()),
        });
        let limiter = Limiter::new(directory.expect("valid"), Config::default());
        Self {
            limiter,
            clock,
            tenant,
        }
    }

    fn own(&self) -> u64 {
        let decision = self.limiter.acquire_own("t", 1).expect("known");
        u64::from(decision.is_allowed())
    }

    fn call(&self, limit: &str, hold: Option<Duration>, request: &[u8]) -> (u64, Option<Token>) {
        let charges = [Charge {
            limit,
            key: b"",
            cost: 1,
        }];
        let call = Call {
            charges: &charges,
            hold,
            request,
            ..Call::default()
        };
        let decision = self.limiter.acquire("t", &call).expect("known").decision;
        (u64::from(decision.is_allowed()), decision.reservation)
    }

    /// Tokens left, of limit `n` and of its own.
    fn left(&self) -> Vec<u64> {
        let charge = Charge {
            limit: "n",
            key: b"",
            cost: 1,
        };
        let levels = self.limiter.levels("t", charge).expect("known");
        levels
            .iter()
            .map(|level| level.standing.remaining)
            .collect()
    }
}

#[test]
fn what_is_admitted_at_once_is_the_burst() {
    explore(|| {
        let model = Model::new(2, 2);
        let chargers: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || model.own() + model.own())
            })
            .collect();
        let joined = chargers.into_iter().map(|charger| charger.join());
        let admitted: u64 = joined.map(|count| count.expect("no panic")).sum();
        assert_eq!(admitted, 2, "no more than the burst, and no less");
    });
}

#[test]
fn a_call_that_loses_a_race_spends_nowhere_and_admits_nobody() {
    explore(|| {
        let model = Model::new(1, 3);
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || model.call("n", None, b"").0)
            })
            .collect();
        let joined = callers.into_iter().map(|caller| caller.join());
        let admitted: u64 = joined.map(|count| count.expect("no panic")).sum();
        assert_eq!(admitted, 1);
        assert_eq!(model.left(), [2, 0], "one is spent of each");
    });
}

#[test]
fn a_release_gives_back_no_more_than_refill_has_left() {
    explore(|| {
        let model = Model::new(2, 2);
        let (admitted, held) = model.call("", Some(60 * SECOND), b"");
        assert_eq!(admitted, 1);
        // Refill has given it back.
        model.clock.advance(2 * SECOND);
        let other = model.clone();
        let spender = thread::spawn(move || other.own() + other.own());
        let held = held.expect("reserved");
        assert_eq!(model.limiter.release(&model.tenant, held), Settlement::Done);
        let spent = spender.join().expect("no panic") + model.own() + model.own();
        assert_eq!(spent, 2, "the bucket was full");
    });
}

#[test]
fn a_refund_beside_a_caller_that_waits_leaves_its_token() {
    explore(|| {
        let model = Model::new(2, 2);
        let hold = || model.call("", Some(60 * SECOND), b"").1.expect("held");
        let held = [hold(), hold()];
        let releasers = held.map(|token| {
            let model = model.clone();
            thread::spawn(move || model.limiter.release(&model.tenant, token))
        });
        let call = Call {
            charges: &[Charge {
                limit: "",
                key: b"",
                cost: 1,
            }],
            patience: SECOND,
            ..Call::default()
        };
        let turn = model.limiter.acquire("t", &call).expect("known").turn;
        for releaser in releasers {
            assert_eq!(releaser.join().expect("no panic"), Settlement::Done);
        }
        model.clock.advance(SECOND);
        if let Some(turn) = turn {
            turn.take();
            assert_eq!(model.own() + model.own(), 1, "2 at this moment, with it");
        } else {
            assert_eq!(model.own() + model.own(), 2);
        }
    });
}

#[test]
fn a_reservation_is_settled_once() {
    explore(|| {
        let model = Model::new(2, 2);
        let (_, held) = model.call("", Some(60 * SECOND), b"");
        let held = held.expect("reserved");
        let other = model.clone();
        let committer = thread::spawn(move || {
            let settled = other.limiter.commit(&other.tenant, held, &[2]);
            settled.expect("one charge") == Settlement::Done
        });
        let released = model.limiter.release(&model.tenant, held) == Settlement::Done;
        let committed = committer.join().expect("no panic");
        assert!(released != committed, "one of them");
        assert_eq!(model.own() + model.own(), if released { 2 } else { 0 });
    });
}

#[test]
fn of_a_call_and_its_retry_one_spends() {
    explore(|| {
        let model = Model::new(2, 2);
        let other = model.clone();
        let retry = thread::spawn(move || other.call("", None, b"id").0);
        assert_eq!(model.call("", None, b"id").0, 1);
        assert_eq!(retry.join().expect("no panic"), 1);
        assert_eq!(model.own() + model.own(), 1);
    });
}

#[test]
fn what_is_held_while_a_ledger_is_forgotten_is_not_lost() {
    explore(|| {
        let model = Model::new(2, 2);
        // Leaves a ledger behind that is empty once its hour is over.
        let (_, first) = model.call("", Some(SECOND), b"");
        let first = first.expect("reserved");
        assert_eq!(
            model.limiter.release(&model.tenant, first),
            Settlement::Done
        );
        model.clock.advance(7_200 * SECOND);
        let other = model.clone();
        let sweeper = thread::spawn(move || other.limiter.sweep());
        let (_, held) = model.call("", Some(60 * SECOND), b"");
        sweeper.join().expect("no panic");
        let held = held.expect("reserved");
        assert_eq!(model.limiter.release(&model.tenant, held), Settlement::Done);
        assert_eq!(model.own() + model.own(), 2);
    });
}

#[test]
fn a_process_spends_what_it_was_granted_and_no_more() {
    explore(|| {
        let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND));
        let granted = Arc::new(Granted::none(Clock::Manual(clock.clone())));
        granted.add(3, clock.now(), SECOND);
        let other = Arc::clone(&granted);
        let spender = thread::spawn(move || {
            let spent = || u64::from(other.spend(1).is_some());
            spent() + spent()
        });
        granted.add(1, clock.now(), SECOND);
        let returned = u64::from(granted.take_back(1));
        let spent = spender.join().expect("no panic");
        let report = granted.report();
        assert_eq!((report.used, report.returned), (spent, returned));
        assert_eq!(spent + returned + u64::from(granted.left()), 4);
        clock.advance(SECOND);
        assert_eq!(granted.spend(1), None, "its time is over");
    });
}
