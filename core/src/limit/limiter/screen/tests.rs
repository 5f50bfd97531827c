use super::*;
use crate::cache::TenantId;
use crate::clock::{Clock, ManualClock, Time};
use crate::limit::{Config, Quota};
use crate::tenant::{
    self, Declaration, Directory, NamedQuota, Overrides, Pace, State, Strangers, TierName,
};

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    hand: ManualClock,
    limiter: Arc<Limiter>,
    path: Arc<str>,
}

fn quota(amount: u64) -> Quota {
    Quota::per_second(amount, amount).expect("valid")
}

fn id(name: &str) -> TenantId {
    TenantId::parse(name).expect("a name")
}

/// Unlimited, but for a limit `sms` of 5, 3 for each key, beside a request bucket.
fn declared(request: u64) -> Declaration {
    let sms = NamedQuota {
        total: Some(quota(5)),
        per_key: Some(quota(3)),
        ..NamedQuota::new(tenant::LimitName::parse("sms").expect("a name"))
    };
    Declaration {
        overrides: Overrides {
            request: Pace::of(request, SECOND, request),
            limits: vec![sms],
            ..Overrides::default()
        },
        ..Declaration::of(TierName::parse("enterprise").expect("a name"))
    }
}

impl Bench {
    fn with(strangers: Strangers) -> Self {
        let hand = ManualClock::starting_at(Time::ZERO.after(SECOND * 1_000));
        let directory = Directory::new(tenant::Config {
            strangers,
            tenants: ["acme", "umbrella"]
                .map(|name| (id(name), declared(1_000)))
                .to_vec(),
            clock: Clock::Manual(hand.clone()),
            ..tenant::Config::default()
        });
        Self {
            hand,
            limiter: Limiter::new(directory.expect("valid"), Config::default()),
            path: Arc::from("edge.path"),
        }
    }

    fn new() -> Self {
        Self::with(Strangers::Unlimited)
    }

    fn rule<'a>(&'a self, tenant: &'a str, key: &'a str, quota: &'a Quota, cost: u64) -> Ask<'a> {
        Ask {
            tenant,
            of: Of::Rule {
                path: &self.path,
                quota,
            },
            key: key.as_bytes(),
            cost,
            shadow: false,
            overdraw: false,
        }
    }

    fn screen(&self, asks: &[Ask<'_>]) -> Screened {
        self.limiter.screen(asks).expect("few")
    }

    /// How often one ask is allowed at this moment, at most 100 times.
    fn drain(&self, ask: Ask<'_>) -> usize {
        (0..100).take_while(|_| self.screen(&[ask]).allowed).count()
    }
}

fn limit<'a>(tenant: &'a str, name: &'a str, key: &'a str, cost: u64) -> Ask<'a> {
    Ask {
        tenant,
        of: Of::Limit(name),
        key: key.as_bytes(),
        cost,
        shadow: false,
        overdraw: false,
    }
}

fn remaining(answer: &Answer) -> u64 {
    answer.standing.as_ref().expect("limited").1.remaining
}

#[test]
fn each_tenant_and_each_key_has_a_bucket_of_its_own() {
    let bench = Bench::new();
    let three = quota(3);
    for tenant in ["acme", "umbrella", "stranger", "another"] {
        for key in ["", "a", "b"] {
            assert_eq!(
                bench.drain(bench.rule(tenant, key, &three, 1)),
                3,
                "{tenant} {key}"
            );
        }
    }
    let other = Bench {
        path: Arc::from("edge.other"),
        hand: bench.hand.clone(),
        limiter: Arc::clone(&bench.limiter),
    };
    assert_eq!(other.drain(other.rule("acme", "a", &three, 1)), 3);
    bench.hand.advance(SECOND / 2);
    assert_eq!(bench.drain(bench.rule("acme", "a", &three, 1)), 1);
}

#[test]
fn what_is_refused_has_spent_nothing_of_anybodys() {
    let bench = Bench::new();
    let (five, one) = (quota(5), quota(1));
    let asks = [
        bench.rule("acme", "a", &five, 2),
        limit("umbrella", "sms", "7", 1),
        Ask {
            of: Of::Own {
                domain: &bench.path,
                quota: &one,
            },
            ..bench.rule("acme", "a", &one, 1)
        },
    ];
    let first = bench.screen(&asks);
    assert!(first.allowed);
    assert_eq!(
        first.answers.iter().map(remaining).collect::<Vec<_>>(),
        [3, 2, 0]
    );
    let second = bench.screen(&asks);
    assert!(!second.allowed);
    let allowed: Vec<_> = second.answers.iter().map(Answer::is_allowed).collect();
    assert_eq!(allowed, [true, true, false]);
    assert_eq!(
        second.answers.iter().map(remaining).collect::<Vec<_>>(),
        [3, 2, 0]
    );
    assert_eq!(second.answers[2].retry_after, SECOND);
    assert_eq!(second.answers[0].retry_after, Duration::ZERO);
}

#[test]
fn a_profiles_limits_are_the_buckets_that_other_calls_charge() {
    let bench = Bench::new();
    let charge = |key| Charge {
        limit: "sms",
        key,
        cost: 1,
    };
    let call = crate::limit::Call {
        charges: &[charge(b"7")],
        ..Default::default()
    };
    assert!(
        bench
            .limiter
            .acquire("acme", &call)
            .expect("known")
            .decision
            .is_allowed()
    );
    let told = bench.screen(&[limit("acme", "sms", "7", 1)]);
    let (bound, standing) = told.answers[0].standing.clone().expect("limited");
    let sms = tenant::LimitName::parse("sms").expect("a name");
    assert_eq!(
        (bound, standing.capacity, standing.remaining),
        (Bound::Limit(sms), 3, 1)
    );
    // The limit's total of 5 is what the keys share, and it also charges the tenant's own.
    assert_eq!(bench.drain(limit("acme", "sms", "8", 1)), 3);
    assert_eq!(bench.drain(limit("acme", "sms", "9", 1)), 0);
    let own = bench.screen(&[limit("acme", "", "", 0)]);
    assert_eq!(remaining(&own.answers[0]), 995);
    assert_eq!(
        own.answers[0].standing.as_ref().expect("limited").0,
        Bound::Own
    );
}

#[test]
fn asks_of_one_bucket_add_up_and_are_refused_together() {
    let bench = Bench::new();
    let five = quota(5);
    let twice = |cost| [bench.rule("acme", "a", &five, cost); 2];
    let told = bench.screen(&twice(3));
    assert!(!told.allowed);
    assert!(
        told.answers
            .iter()
            .all(|answer| answer.verdict == Ok(Verdict::Never))
    );
    assert!(bench.screen(&twice(2)).allowed);
    let told = bench.screen(&twice(1));
    assert!(!told.allowed);
    assert!(
        told.answers
            .iter()
            .all(|answer| answer.verdict == Ok(Verdict::OverLimit))
    );
    assert_eq!(remaining(&told.answers[0]), 1);
}

#[test]
fn a_cost_of_nothing_asks_whether_a_token_is_there() {
    let bench = Bench::new();
    let two = quota(2);
    for _ in 0..10 {
        assert!(bench.screen(&[bench.rule("acme", "a", &two, 0)]).allowed);
    }
    assert_eq!(bench.drain(bench.rule("acme", "a", &two, 1)), 2);
    let told = bench.screen(&[
        bench.rule("acme", "a", &two, 0),
        limit("acme", "sms", "", 1),
    ]);
    assert!(!told.allowed);
    assert_eq!(told.answers[0].verdict, Ok(Verdict::OverLimit));
    assert_eq!(remaining(&told.answers[1]), 5, "all or none");
}

#[test]
fn what_happened_already_is_charged_into_debt_whatever_comes_of_the_rest() {
    let bench = Bench::new();
    let (ten, one) = (quota(10), quota(1));
    let done = |cost| Ask {
        overdraw: true,
        ..bench.rule("acme", "a", &ten, cost)
    };
    assert!(bench.screen(&[done(7)]).allowed);
    let told = bench.screen(&[done(7)]);
    assert!(!told.allowed);
    assert_eq!(told.answers[0].verdict, Ok(Verdict::OverLimit));
    // 14 of 10 are spent: in 0.5 s one is back.
    assert!(!bench.screen(&[done(0)]).allowed);
    bench.hand.advance(SECOND / 2);
    assert!(bench.screen(&[done(0)]).allowed);
    let refused = bench.rule("acme", "b", &one, 2);
    assert!(!bench.screen(&[done(1), refused]).allowed);
    assert!(!bench.screen(&[done(0)]).allowed);
}

#[test]
fn what_is_only_counted_never_refuses() {
    let bench = Bench::new();
    let one = quota(1);
    let counted = Ask {
        shadow: true,
        ..bench.rule("acme", "a", &one, 1)
    };
    assert!(!bench.screen(&[counted]).answers[0].would_deny);
    let told = bench.screen(&[counted]);
    assert!(told.allowed && told.answers[0].is_allowed() && told.answers[0].would_deny);
    assert_eq!(
        bench.drain(bench.rule("acme", "a", &one, 1)),
        0,
        "it was counted"
    );
}

#[test]
fn no_change_of_a_rules_quota_and_no_sweep_is_a_refill() {
    let bench = Bench::new();
    let (slow, fast) = (quota(10), quota(20));
    assert_eq!(bench.drain(bench.rule("acme", "a", &slow, 1)), 10);
    // Ten are spent: at the new quota ten of twenty are left.
    assert_eq!(bench.drain(bench.rule("acme", "a", &fast, 1)), 10);
    assert_eq!(bench.drain(bench.rule("acme", "a", &slow, 1)), 0);
    bench.limiter.sweep_keys();
    assert_eq!(bench.drain(bench.rule("acme", "a", &slow, 1)), 0);
    assert_eq!(bench.limiter.tables.len(), 1);
    bench.hand.advance(SECOND * 10);
    bench.limiter.sweep_keys();
    assert_eq!(bench.limiter.tables.len(), 0);
    assert_eq!(bench.drain(bench.rule("acme", "a", &slow, 1)), 10);
}

#[test]
fn a_table_that_went_is_charged_by_nobody_who_found_it_before() {
    let room = Arc::new(crate::limit::room::Room::new(0));
    let table = KeyTable::new(quota(3), 8, room);
    let (tag, now) = (Tag(1), Ticks::of(SECOND));
    assert!(table.charge(tag, now, 1, Ticks::ZERO).is_ok());
    assert!(!table.retire(now), "something is spent");
    let later = now.plus(Ticks::of(SECOND));
    assert!(table.retire(later));
    assert_eq!(
        table.charge(tag, later, 1, Ticks::ZERO).err(),
        Some(Refused::Sealed)
    );
    assert_eq!(table.peek(tag, later, 1, Ticks::ZERO), Err(Refused::Sealed));
    assert!(!table.debit(tag, later, 1));
}

#[test]
fn quotas_that_calls_bring_are_bounded_for_each_tenant_by_itself() {
    let bench = Bench::new();
    let quotas: Vec<_> = (1..=66).map(quota).collect();
    let own = |tenant, at: usize| Ask {
        of: Of::Own {
            domain: &bench.path,
            quota: &quotas[at],
        },
        ..bench.rule(tenant, "a", &quotas[at], 1)
    };
    assert!((0..64).all(|at| bench.screen(&[own("acme", at)]).allowed));
    let told = bench.screen(&[own("acme", 64)]);
    assert_eq!(told.answers[0].verdict, Ok(Verdict::Unavailable));
    assert!(!told.allowed);
    assert!(bench.screen(&[own("umbrella", 64)]).allowed);
    bench.hand.advance(SECOND);
    assert!(
        bench.screen(&[own("acme", 64)]).allowed,
        "full ones make room"
    );
}

#[test]
fn who_is_not_served_or_not_known_is_refused() {
    let bench = Bench::with(Strangers::Refuse);
    let one = quota(1);
    let directory = bench.limiter.directory();
    directory
        .set_state(&id("acme"), State::Suspended)
        .expect("known");
    let told = bench.screen(&[
        bench.rule("acme", "a", &one, 1),
        bench.rule("stranger", "a", &one, 1),
        bench.rule("no name", "a", &one, 1),
        limit("umbrella", "fax", "a", 1),
        bench.rule("umbrella", "a", &one, 1),
    ]);
    assert!(!told.allowed);
    let verdicts: Vec<_> = told.answers.iter().map(|answer| &answer.verdict).collect();
    assert_eq!(*verdicts[0], Ok(Verdict::NotServed(State::Suspended)));
    assert!(matches!(verdicts[1], Err(CallError::UnknownTenant { .. })));
    assert!(matches!(verdicts[2], Err(CallError::Field(_))));
    assert!(matches!(verdicts[3], Err(CallError::UnknownLimit { .. })));
    assert_eq!(*verdicts[4], Ok(Verdict::Allowed));
    assert_eq!(
        bench.drain(bench.rule("umbrella", "a", &one, 1)),
        1,
        "all or none"
    );
}

#[test]
fn a_tenant_that_was_purged_begins_anew_and_a_suspended_one_does_not() {
    let bench = Bench::new();
    let two = quota(2);
    let directory = bench.limiter.directory();
    assert_eq!(bench.drain(bench.rule("acme", "a", &two, 1)), 2);
    for state in [State::Suspended, State::Active] {
        directory.set_state(&id("acme"), state).expect("known");
    }
    assert_eq!(bench.drain(bench.rule("acme", "a", &two, 1)), 0);
    directory.purge(&id("acme")).expect("known");
    directory.put(&id("acme"), &declared(1_000)).expect("valid");
    assert_eq!(bench.drain(bench.rule("acme", "a", &two, 1)), 2);
}

#[test]
fn a_stranger_that_gets_its_own_begins_with_what_others_spent() {
    let free = TierName::parse("free").expect("a name");
    let bench = Bench::with(Strangers::Tier {
        tier: free,
        most: 1,
    });
    let slow = Quota::new(2, SECOND * 3_600, 2).expect("valid");
    // The first has an entry of its own and has spent of it, so the next one shares.
    assert!(bench.screen(&[limit("first", "", "", 50)]).allowed);
    assert_eq!(bench.drain(bench.rule("second", "a", &slow, 1)), 2);
    // When the first is full again it is forgotten: whoever comes now gets its own.
    bench.hand.advance(SECOND * 60);
    assert_eq!(bench.drain(bench.rule("third", "a", &slow, 1)), 0);
    bench.hand.advance(SECOND * 3_600);
    assert_eq!(bench.drain(bench.rule("third", "a", &slow, 1)), 2);
    assert_eq!(bench.drain(bench.rule("fourth", "a", &slow, 1)), 2);
}

#[test]
fn too_much_at_once_is_refused_and_a_long_key_is_not() {
    let bench = Bench::new();
    let one = quota(1);
    let asks = [bench.rule("acme", "a", &one, 1); MAX_ASKS + 1];
    assert_eq!(bench.limiter.screen(&asks), Err(TooManyAsks(65)));
    let nine = [limit("acme", "sms", "a", 1); 9];
    let told = bench.screen(&nine);
    assert!(!told.allowed);
    assert_eq!(
        told.answers[0].verdict,
        Err(CallError::Charges { count: 9 })
    );
    let long = "a".repeat(5_000);
    let longer = "a".repeat(5_001);
    assert_eq!(bench.drain(limit("acme", "sms", &long, 1)), 3);
    assert_eq!(
        bench.drain(limit("acme", "sms", &longer, 1)),
        2,
        "of the total"
    );
}

#[test]
fn two_threads_spend_a_burst_once_and_leave_no_halves() {
    let bench = Bench::new();
    let (narrow, wide) = (quota(1_000), quota(10_000));
    let spend = || {
        let asks = [
            bench.rule("acme", "a", &wide, 1),
            bench.rule("umbrella", "b", &narrow, 1),
        ];
        (0..1_000).filter(|_| bench.screen(&asks).allowed).count()
    };
    let admitted: usize = std::thread::scope(|scope| {
        let threads = [scope.spawn(spend), scope.spawn(spend)];
        threads
            .map(|thread| thread.join().expect("no panic"))
            .iter()
            .sum()
    });
    assert_eq!(admitted, 1_000);
    let told = bench.screen(&[Ask {
        key: b"a",
        ..bench.rule("acme", "", &wide, 0)
    }]);
    assert_eq!(remaining(&told.answers[0]), 9_000);
}
