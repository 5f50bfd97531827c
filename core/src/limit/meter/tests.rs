use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock, Time};
use crate::limit::{Call, Charge, Config, Decision, Handle, Limiter, Quota, Verdict};
use crate::tenant::{
    self, Declaration, Directory, NamedQuota, Overrides, Pace, State, Strangers, Tier, TierName,
    Tiers,
};

const SECOND: Duration = Duration::from_secs(1);
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "other"];

struct Rig {
    limiter: Arc<Limiter>,
    clock: ManualClock,
}

fn id(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

fn tier(name: &str, rate: u64, shadow: bool, sms: u64) -> Tier {
    let quota = |rate| Quota::per_second(rate, 20).expect("valid");
    Tier {
        name: TierName::parse(name).expect("valid"),
        extends: None,
        settings: Overrides {
            request: Pace::from(quota(rate)),
            shadow: Some(shadow),
            limits: vec![NamedQuota {
                total: Some(quota(sms)),
                ..NamedQuota::new(LimitName::parse("sms").expect("valid"))
            }],
            ..Overrides::default()
        },
    }
}

fn of_tier(name: &str) -> Declaration {
    Declaration::of(TierName::parse(name).expect("valid"))
}

const TIERS: [&str; 3] = ["slow", "fast", "shadow"];

impl Rig {
    fn new(metered: usize) -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND));
        let tiers = vec![
            tier("slow", 1, false, 1),
            tier("fast", 9, false, 2),
            tier("shadow", 1, true, 9),
        ];
        let directory = Directory::new(tenant::Config {
            tiers: Tiers::new(tiers).expect("valid"),
            strangers: Strangers::Refuse,
            tenants: NAMES.map(|name| (id(name), of_tier("slow"))).into(),
            clock: Clock::Manual(clock.clone()),
        });
        let config = Config {
            metered,
            ..Config::default()
        };
        let limiter = Limiter::new(directory.expect("valid"), config);
        Self { limiter, clock }
    }

    fn put(&self, name: &str, tier: &str) {
        let directory = self.limiter.directory();
        directory.put(&id(name), &of_tier(tier)).expect("valid");
    }

    fn call(&self, name: &str, limit: &str, cost: u64) -> Option<Decision> {
        let charges = [Charge {
            limit,
            key: b"",
            cost,
        }];
        let call = Call {
            charges: &charges,
            ..Call::default()
        };
        let acquired = self.limiter.acquire(name, &call).ok()?;
        Some(acquired.decision)
    }

    fn sums(&self) -> [Counts; 2] {
        self.limiter.meters.sums(self.limiter.now())
    }

    fn told(&self) -> HashMap<(Option<TenantId>, MeteredOf), Counts> {
        let all = self.limiter.metered().into_iter();
        all.map(|told| ((told.tenant, told.limit), told.total))
            .collect()
    }

    fn own(&self, name: &str) -> Option<Counts> {
        let told = self.told();
        told.get(&(Some(id(name)), MeteredOf::Own)).copied()
    }
}

/// One call, as those it charged count it together.
fn counted(verdict: Verdict, would_deny: bool, cost: u64, limits: u64) -> Counts {
    let mut counts = Counts::default();
    match verdict {
        _ if cost == 0 => {}
        Verdict::Allowed => {
            counts.allowed = limits;
            counts.tokens = limits * cost;
            counts.would_deny = u64::from(would_deny);
        }
        Verdict::OverLimit => (counts.over_limit, counts.elsewhere) = (1, limits - 1),
        Verdict::Never => (counts.never, counts.elsewhere) = (1, limits - 1),
        Verdict::NotServed(_) | Verdict::Unavailable => {}
    }
    counts
}

#[derive(Clone, Debug)]
enum Step {
    Own(usize, u64),
    Slow(usize, u64),
    Sms(usize, u64),
    Screen(usize, u64),
    Handle(usize, u64),
    DropHandle(usize),
    Tier(usize, usize),
    Remove(usize),
    Purge(usize),
    Roll,
    Told,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let cost = || prop_oneof![6 => Just(1_u64), 1 => Just(0), 2 => 2_u64..9, 1 => Just(40)];
    prop_oneof![
        6 => (name.clone(), cost()).prop_map(|(name, cost)| Step::Own(name, cost)),
        2 => (name.clone(), cost()).prop_map(|(name, cost)| Step::Slow(name, cost)),
        3 => (name.clone(), cost()).prop_map(|(name, cost)| Step::Sms(name, cost)),
        2 => (name.clone(), cost()).prop_map(|(name, cost)| Step::Screen(name, cost)),
        6 => (name.clone(), cost()).prop_map(|(name, cost)| Step::Handle(name, cost)),
        1 => name.clone().prop_map(Step::DropHandle),
        3 => (name.clone(), 0..TIERS.len()).prop_map(|(name, tier)| Step::Tier(name, tier)),
        1 => name.clone().prop_map(Step::Remove),
        1 => name.prop_map(Step::Purge),
        3 => Just(Step::Roll),
        2 => Just(Step::Told),
        4 => (0_u64..25).prop_map(Step::Pass),
    ]
}

fn screened(rig: &Rig, name: &str, cost: u64) -> Counts {
    use crate::limit::screen::{Ask, Of};
    let ask = Ask {
        tenant: name,
        of: Of::Limit("sms"),
        key: b"",
        cost,
        shadow: false,
        overdraw: false,
    };
    let screened = rig.limiter.screen(&[ask]).expect("one");
    match screened.answers[0].verdict {
        Ok(verdict) => counted(verdict, screened.answers[0].would_deny, cost, 2),
        Err(_) => Counts::default(),
    }
}

fn walk(steps: &[Step]) {
    let rig = Rig::new(2);
    let mut handles: [Option<Handle>; NAMES.len()] = Default::default();
    let mut expected = Counts::default();
    let mut before = rig.told();
    for step in steps {
        match *step {
            Step::Own(at, cost) => {
                if let Ok(decision) = rig.limiter.acquire_own(NAMES[at], cost) {
                    expected += counted(decision.verdict, decision.would_deny, cost, 1);
                }
            }
            Step::Slow(at, cost) => {
                if let Some(decision) = rig.call(NAMES[at], "", cost) {
                    expected += counted(decision.verdict, decision.would_deny, cost, 1);
                }
            }
            Step::Sms(at, cost) => {
                if let Some(decision) = rig.call(NAMES[at], "sms", cost) {
                    expected += counted(decision.verdict, decision.would_deny, cost, 2);
                }
            }
            Step::Screen(at, cost) => expected += screened(&rig, NAMES[at], cost),
            Step::Handle(at, cost) => {
                let place = &mut handles[at];
                if place.is_none() {
                    *place = rig.limiter.handle(NAMES[at]).ok();
                }
                if let Some(handle) = place {
                    // Those of a handle's first thousand calls are counted elsewhere.
                    let tally = handle.tally();
                    tally.calls = tally.calls.max(Tally::WORTH_ONE - 2);
                    expected += match handle.try_acquire(cost) {
                        Ok(()) => counted(Verdict::Allowed, false, cost, 1),
                        Err(denial) => counted(denial.verdict, false, cost, 1),
                    };
                }
            }
            Step::DropHandle(at) => handles[at] = None,
            Step::Tier(at, tier) => rig.put(NAMES[at], TIERS[tier]),
            Step::Remove(at) => {
                let _was = rig.limiter.directory().remove(&id(NAMES[at]));
            }
            Step::Purge(at) => {
                let name = id(NAMES[at]);
                let _purged = rig.limiter.directory().purge(&name);
                rig.limiter.forget(&name);
                before.retain(|(tenant, _), _| tenant.as_ref() != Some(&name));
            }
            Step::Roll => rig.limiter.roll(),
            Step::Told => {
                let told = rig.told();
                for (name, counts) in &before {
                    let now = told.get(name).expect("nobody is left out within an hour");
                    assert_eq!(now.each(*counts, u64::max), *now, "{name:?} fell");
                }
                before = told;
            }
            Step::Pass(seconds) => rig.clock.advance(Duration::from_secs(seconds)),
        }
    }
    // A handle does not tell what would have been denied, and in a screening more than
    // one limit may deny.
    let plain = |counts: Counts| Counts {
        would_deny: 0,
        over_limit: 0,
        never: 0,
        elsewhere: counts.denied() + counts.elsewhere,
        ..counts
    };
    let sums = rig.sums().map(plain);
    assert_eq!(sums, [plain(expected); 2], "in all, and within the hour");
    let tenants: std::collections::HashSet<_> = rig
        .told()
        .into_keys()
        .filter_map(|(tenant, _)| tenant)
        .collect();
    assert!(!tenants.contains(&id("other")));
    assert!(tenants.len() <= 8, "{tenants:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_sums_over_tenants_and_others_are_what_was_counted(
        steps in prop::collection::vec(step(), 1..140)
    ) {
        walk(&steps);
    }
}

#[test]
fn what_threads_and_handles_count_while_tiers_change_is_neither_lost_nor_doubled() {
    const CALLS: u64 = 20_000;
    let rig = Rig::new(1);
    let done = AtomicBool::new(false);
    let tokens = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|number| {
                let (limiter, tokens) = (&rig.limiter, &tokens);
                scope.spawn(move || {
                    let name = NAMES[number % 2];
                    let mut handle = limiter.handle(name).expect("known");
                    for call in 0..CALLS {
                        let cost = 1 + call % 3;
                        let allowed = if call % 2 == 0 {
                            handle.try_acquire(cost).is_ok()
                        } else {
                            let decision = limiter.acquire_own(name, cost);
                            decision.expect("known").is_allowed()
                        };
                        if allowed {
                            tokens.fetch_add(cost, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let rig = &rig;
        let done = &done;
        scope.spawn(move || {
            for change in (0..TIERS.len()).cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                for name in &NAMES[..2] {
                    rig.put(name, TIERS[change]);
                }
                rig.clock.advance(SECOND);
                rig.limiter.roll();
            }
        });
        for caller in callers {
            caller.join().expect("it ends");
        }
        done.store(true, Ordering::Relaxed);
    });
    let [total, _] = rig.sums();
    assert_eq!(total.calls(), 4 * CALLS);
    assert_eq!(total.tokens, tokens.into_inner());
}

#[test]
fn one_that_is_told_apart_no_more_is_told_for_an_hour_as_it_stood() {
    let rig = Rig::new(1);
    let calls = |name: &str, calls| {
        for _ in 0..calls {
            let _decided = rig.limiter.acquire_own(name, 1);
        }
    };
    calls("a", 3);
    assert_eq!(rig.own("a").map(|counts| counts.calls()), Some(3));
    rig.clock.advance(10 * SECOND);
    calls("b", 3);
    calls("a", 2);
    assert_eq!(rig.own("b"), None, "it must exceed the other by a tenth");
    calls("b", 10);
    assert_eq!(rig.own("b").map(|counts| counts.calls()), Some(10));
    calls("a", 1);
    for _ in 0..359 {
        rig.clock.advance(10 * SECOND);
        calls("b", 1);
        rig.limiter.roll();
        assert_eq!(rig.own("a").map(|counts| counts.calls()), Some(5));
        assert_eq!(rig.limiter.recent(&id("a"), ""), None);
    }
    rig.clock.advance(10 * SECOND);
    assert_eq!(rig.own("a"), None);
    assert_eq!(rig.own("b").map(|counts| counts.calls()), Some(10 + 359));
    assert_eq!(rig.sums()[0].calls(), 16 + 3 + 359);
}

#[test]
fn the_last_window_minute_and_hour_are_told_apart() {
    let rig = Rig::new(1);
    let calls = |recent: Counts| recent.calls();
    for _ in 0..400 {
        let _decided = rig.limiter.acquire_own("a", 1);
        rig.clock.advance(10 * SECOND);
        rig.limiter.roll();
    }
    let recent = rig.limiter.recent(&id("a"), "").expect("the only one");
    assert_eq!(calls(recent.window), 1);
    assert_eq!(
        calls(recent.minute),
        5,
        "and none yet in the window that is open"
    );
    assert_eq!(calls(recent.hour), 359);
    let never_called = rig.limiter.recent(&id("a"), "sms");
    assert_eq!(never_called, Some(Recent::default()));
    assert_eq!(rig.limiter.recent(&id("b"), ""), None);
}

#[test]
fn a_change_of_tier_goes_on_with_the_meter_and_what_was_observed() {
    let rig = Rig::new(1);
    rig.put("a", "shadow");
    for _ in 0..5 {
        let _decided = rig.limiter.acquire_own("a", 1);
        let _decided = rig.call("a", "sms", 1);
    }
    let own = |rig: &Rig| rig.limiter.advice("a", "").map(|advice| advice.calls);
    assert_eq!(own(&rig), Some(10));
    rig.put("a", "slow");
    rig.put("a", "shadow");
    let _decided = rig.limiter.acquire_own("a", 1);
    let _decided = rig.call("a", "sms", 1);
    assert_eq!(own(&rig), Some(12));
    assert_eq!(rig.sums()[0].calls(), 12 + 6);
    assert_eq!(rig.limiter.meters.known(), 2);
    assert_eq!(rig.limiter.advice("a", "sms"), None, "it is enforced");
}

#[test]
fn a_meter_that_nobody_counts_on_is_dropped_after_its_last_count() {
    let rig = Rig::new(1);
    {
        let mut handle = rig.limiter.handle("a").expect("known");
        for _ in 0..2_000 {
            let _denied = handle.try_acquire(1);
        }
        assert_eq!(rig.sums()[0].calls(), 2_000);
        assert_eq!(
            rig.limiter.meters.known(),
            2,
            "the tenant's and the handle's"
        );
        let _denied = handle.try_acquire(1);
    }
    assert_eq!(rig.sums()[0].calls(), 2_001);
    assert_eq!(rig.limiter.meters.known(), 1);
}

#[test]
fn nothing_is_told_in_the_name_of_a_tenant_that_is_purged() {
    let rig = Rig::new(1);
    let _decided = rig.limiter.acquire_own("a", 1);
    assert!(rig.own("a").is_some());
    let _decided = rig.limiter.acquire_own("a", 1);
    rig.limiter.directory().purge(&id("a")).expect("known");
    rig.limiter.forget(&id("a"));
    assert_eq!(rig.own("a"), None);
    assert_eq!(rig.sums().map(|sum| sum.calls()), [2; 2]);
    rig.put("a", "slow");
    let entry = rig.limiter.directory().resolve("a").expect("anew");
    assert_eq!(entry.state(), State::Active);
    let _decided = rig.limiter.acquire_own("a", 1);
    assert_eq!(rig.own("a").map(|counts| counts.calls()), Some(1));
}

#[test]
fn an_observation_that_nobody_asks_for_an_hour_ends() {
    let rig = Rig::new(1);
    rig.put("a", "shadow");
    let _decided = rig.limiter.acquire_own("a", 1);
    rig.limiter.roll();
    assert!(rig.limiter.advice("a", "").is_some());
    rig.clock.advance(3_599 * SECOND);
    rig.limiter.roll();
    assert!(rig.limiter.advice("a", "").is_some());
    rig.clock.advance(11 * SECOND);
    rig.limiter.roll();
    assert_eq!(rig.limiter.advice("a", ""), None);
}
