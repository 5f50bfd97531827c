use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock, Time};
use crate::limit::{Call, Config, Granted, Quota};
use crate::tenant::{
    self, Declaration, Directory, LimitName, NamedQuota, Overrides, Pace, Strangers, TenantId,
    Tier, TierName, Tiers,
};

const SECOND: Duration = Duration::from_secs(1);

/// As long as a sidecar grants for.
const LIVES: Duration = Duration::from_secs(2);

fn quota(amount: u64, burst: u64) -> Quota {
    Quota::per_second(amount, burst).expect("valid")
}

fn tier(name: &str, request: Option<Quota>, limits: Vec<NamedQuota>) -> Tier {
    Tier {
        name: TierName::parse(name).expect("valid"),
        extends: None,
        settings: Overrides {
            request: request.map(Pace::from).unwrap_or_default(),
            limits,
            ..Overrides::default()
        },
    }
}

/// Tenant `a` of the first tier.
fn limiter(tiers: Vec<Tier>) -> (Arc<Limiter>, ManualClock) {
    let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND));
    let first = Declaration::of(tiers[0].name.clone());
    let directory = Directory::new(tenant::Config {
        tiers: Tiers::new(tiers).expect("valid"),
        strangers: Strangers::Refuse,
        tenants: vec![(TenantId::parse("a").expect("valid"), first)],
        clock: Clock::Manual(clock.clone()),
    });
    (
        Limiter::new(directory.expect("valid"), Config::default()),
        clock,
    )
}

fn of_rate(amount: u64, burst: u64) -> (Arc<Limiter>, ManualClock) {
    limiter(vec![tier("t", Some(quota(amount, burst)), Vec::new())])
}

fn ask(id: u64, want: u32, used: u64, returned: u64) -> Ask<'static> {
    Ask {
        id,
        tenant: "a",
        limit: "",
        key: &[],
        want,
        used,
        returned,
    }
}

fn given(grants: &mut Grants, ask: Ask<'_>) -> (u32, Duration) {
    let given = grants.ask(&ask).expect("valid");
    (given.tokens, given.retry_after)
}

fn remaining(limiter: &Limiter) -> u64 {
    let decision = limiter.peek(
        "a",
        &[Charge {
            limit: "",
            key: &[],
            cost: 0,
        }],
    );
    decision.expect("valid").standing.expect("valid").remaining
}

#[test]
fn a_grant_is_half_of_what_is_left_but_ten_milliseconds_of_the_rate_while_there_are() {
    let (limiter, clock) = of_rate(1_000, 100);
    let mut grants = Grants::none(Arc::clone(&limiter));
    let all = |grants: &mut Grants| -> Vec<u32> {
        let mut sizes = Vec::new();
        while let (tokens @ 1.., _) = given(grants, ask(1, 1_000, 0, 0)) {
            sizes.push(tokens);
        }
        sizes
    };
    assert_eq!(all(&mut grants), [50, 25, 12, 10, 3]);
    assert_eq!(given(&mut grants, ask(1, 5, 0, 0)), (0, LEAST_TIME));
    clock.advance(LEAST_TIME);
    assert_eq!(given(&mut grants, ask(1, 4, 0, 0)).0, 4, "never above want");
    assert_eq!(remaining(&limiter), 6);
}

#[test]
fn a_slow_buckets_retry_is_when_its_next_token_comes() {
    let (limiter, _clock) = of_rate(4, 1);
    let mut grants = Grants::none(limiter);
    assert_eq!(given(&mut grants, ask(1, 9, 0, 0)).0, 1);
    let refused = grants.ask(&ask(1, 9, 1, 0)).expect("valid");
    assert_eq!(refused.verdict, Verdict::OverLimit);
    assert_eq!((refused.tokens, refused.retry_after), (0, SECOND / 4));
    let report = grants.ask(&ask(1, 0, 1, 0)).expect("valid");
    assert_eq!((report.tokens, report.verdict), (0, Verdict::Allowed));
}

#[test]
fn every_level_of_the_charge_is_debited_and_the_narrowest_sizes_it() {
    let limit = NamedQuota {
        total: Some(quota(1, 40)),
        per_key: Some(quota(1, 10)),
        ..NamedQuota::new(LimitName::parse("sms").expect("valid"))
    };
    let (limiter, _clock) = limiter(vec![tier("t", Some(quota(1, 100)), vec![limit])]);
    let mut grants = Grants::none(Arc::clone(&limiter));
    let of_key = |id, key| Ask {
        limit: "sms",
        key,
        ..ask(id, 1_000, 0, 0)
    };
    assert_eq!(given(&mut grants, of_key(1, b"u")).0, 5);
    let charge = Charge {
        limit: "sms",
        key: b"u",
        cost: 1,
    };
    let levels = limiter.levels("a", charge).expect("valid");
    let left: Vec<_> = levels
        .iter()
        .map(|level| level.standing.remaining)
        .collect();
    assert_eq!(left, [5, 35, 95]);
    let back = Ask {
        want: 0,
        returned: 5,
        ..of_key(1, b"u")
    };
    assert_eq!(grants.ask(&back).expect("valid").returned, 5);
    let levels = limiter.levels("a", charge).expect("valid");
    let left: Vec<_> = levels
        .iter()
        .map(|level| level.standing.remaining)
        .collect();
    assert_eq!(left, [10, 40, 100]);
}

#[test]
fn what_is_handed_back_counts_once_and_no_more_than_was_granted_and_not_used() {
    let (limiter, _clock) = of_rate(1, 100);
    let mut grants = Grants::none(Arc::clone(&limiter));
    assert_eq!(given(&mut grants, ask(1, 40, 0, 0)).0, 40);
    assert_eq!(remaining(&limiter), 60);
    for _ in 0..3 {
        grants.ask(&ask(1, 0, 10, 5)).expect("valid");
        assert_eq!(remaining(&limiter), 65);
    }
    // Overtaken.
    grants.ask(&ask(1, 0, 10, 2)).expect("valid");
    assert_eq!(remaining(&limiter), 65);
    // 30 were not used: no more than that comes back, whatever is said.
    grants.ask(&ask(1, 0, 10, u64::MAX)).expect("valid");
    assert_eq!(remaining(&limiter), 90);
    grants.ask(&ask(1, 0, 0, u64::MAX)).expect("valid");
    assert_eq!(remaining(&limiter), 90);
}

#[test]
fn a_grant_that_began_on_another_stream_hands_back_what_this_one_granted_and_no_more() {
    let (limiter, _clock) = of_rate(1, 100);
    let mut grants = Grants::none(Arc::clone(&limiter));
    assert_eq!(given(&mut grants, ask(1, 10, 500, 100)).0, 10);
    assert_eq!(remaining(&limiter), 90);
    grants.ask(&ask(1, 0, 504, 106)).expect("valid");
    assert_eq!(remaining(&limiter), 96);
    grants.ask(&ask(1, 0, 504, 200)).expect("valid");
    assert_eq!(remaining(&limiter), 96, "10 less 4 used less 6 returned");
}

#[test]
fn refill_and_refund_do_not_both_give_a_token_back_however_it_is_split() {
    // 6 granted, 5 come back by themselves, then all that is there is spent.
    let back = |parts: &[u64]| {
        let (limiter, clock) = of_rate(1, 12);
        let mut grants = Grants::none(Arc::clone(&limiter));
        assert_eq!(given(&mut grants, ask(1, 6, 0, 0)).0, 6);
        clock.advance(5 * SECOND);
        let rest = remaining(&limiter);
        assert_eq!(rest, 11);
        assert!(limiter.acquire_own("a", rest).expect("valid").is_allowed());
        for returned in parts {
            grants.ask(&ask(1, 0, 0, *returned)).expect("valid");
        }
        remaining(&limiter)
    };
    assert_eq!(back(&[6]), 1);
    assert!(back(&[3, 6]) <= 1);
    assert!(back(&[1, 2, 3, 4, 5, 6]) <= 1);
}

#[test]
fn a_ledger_that_is_dropped_gives_nothing_back() {
    let (limiter, _clock) = of_rate(1, 100);
    let mut grants = Grants::none(Arc::clone(&limiter));
    assert_eq!(given(&mut grants, ask(1, 40, 0, 0)).0, 40);
    drop(grants);
    assert_eq!(remaining(&limiter), 60);
}

#[test]
fn grants_are_bounded_and_each_is_of_one_bucket() {
    let limit = NamedQuota::new(LimitName::parse("sms").expect("valid"));
    let (limiter, _clock) = limiter(vec![tier("t", None, vec![limit])]);
    let mut grants = Grants::none(limiter);
    for id in 0..Grants::MOST as u64 {
        assert_eq!(given(&mut grants, ask(id, 1, 0, 0)).0, 1);
    }
    assert_eq!(grants.ask(&ask(9_999, 1, 0, 0)), Err(GrantError::TooMany));
    assert_eq!(given(&mut grants, ask(7, u32::MAX, 0, 0)).0, u32::MAX);
    let other = Ask {
        limit: "sms",
        ..ask(7, 1, 0, 0)
    };
    assert_eq!(grants.ask(&other), Err(GrantError::OtherBucket { id: 7 }));
}

#[test]
fn what_is_not_known_makes_no_grant() {
    let (limiter, _clock) = of_rate(1, 100);
    let mut grants = Grants::none(limiter);
    let unknown = Ask {
        limit: "sms",
        ..ask(1, 1, 0, 0)
    };
    assert!(matches!(
        grants.ask(&unknown),
        Err(GrantError::Call(CallError::UnknownLimit { .. }))
    ));
    assert!(grants.is_empty());
}

/// A process with tokens of one bucket, and its stream.
struct Process {
    granted: Granted,
    stream: Grants,
}

impl Process {
    fn new(limiter: &Arc<Limiter>) -> Self {
        Self {
            granted: Granted::none(limiter.directory().clock().clone()),
            stream: Grants::none(Arc::clone(limiter)),
        }
    }

    fn ask(&mut self, want: u32, asked: Time) {
        let report = self.granted.report();
        let given = self.stream.ask(&ask(1, want, report.used, report.returned));
        self.granted.add(given.expect("valid").tokens, asked, LIVES);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Ask(usize, u32),
    /// The reply to what is asked is lost with the process.
    AskAndDie(usize, u32),
    Spend(usize, u32),
    HandBack(usize, u32),
    Die(usize),
    /// A caller without a grant.
    Acquire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let process = 0_usize..3;
    prop_oneof![
        4 => (0_u64..1_500).prop_map(Step::Advance),
        4 => (process.clone(), 0_u32..60).prop_map(|(who, want)| Step::Ask(who, want)),
        1 => (process.clone(), 0_u32..60).prop_map(|(who, want)| Step::AskAndDie(who, want)),
        6 => (process.clone(), 1_u32..20).prop_map(|(who, cost)| Step::Spend(who, cost)),
        3 => (process.clone(), 1_u32..60).prop_map(|(who, count)| Step::HandBack(who, count)),
        1 => process.prop_map(Step::Die),
        3 => (1_u64..20).prop_map(Step::Acquire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The bound of the module's header, over every window of the history.
    #[test]
    fn admitted_is_at_most_the_burst_and_the_rate_and_what_was_on_grant(
        (rate, burst) in (1_u64..50, 1_u64..60),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (limiter, clock) = of_rate(rate, burst);
        let mut processes: Vec<_> = (0..3).map(|_| Process::new(&limiter)).collect();
        // When, how much was admitted, and what was on grant just before.
        let mut history: Vec<(Time, u64, u64)> = Vec::new();
        for step in steps {
            let on_grant: u64 = processes
                .iter()
                .map(|process| u64::from(process.granted.left()))
                .sum();
            let admitted = match step {
                Step::Advance(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    0
                }
                Step::Ask(who, want) => {
                    processes[who].ask(want, clock.now());
                    0
                }
                Step::AskAndDie(who, want) => {
                    processes[who].ask(want, clock.now());
                    processes[who] = Process::new(&limiter);
                    0
                }
                Step::Spend(who, cost) => {
                    let spent = processes[who].granted.spend(cost);
                    spent.map_or(0, |_| u64::from(cost))
                }
                Step::HandBack(who, count) => {
                    processes[who].granted.take_back(count);
                    processes[who].ask(0, clock.now());
                    0
                }
                Step::Die(who) => {
                    processes[who] = Process::new(&limiter);
                    0
                }
                Step::Acquire(cost) => {
                    let allowed = limiter.acquire_own("a", cost).expect("valid").is_allowed();
                    if allowed { cost } else { 0 }
                }
            };
            history.push((clock.now(), admitted, on_grant));
        }
        for (at, &(from, _, on_grant)) in history.iter().enumerate() {
            let mut admitted = 0;
            for &(to, count, _) in &history[at..] {
                admitted += count;
                let window = to.since(from).as_nanos();
                let refilled = u128::from(rate) * window / 1_000_000_000;
                let bound = u128::from(burst) + refilled + u128::from(on_grant);
                prop_assert!(
                    u128::from(admitted) <= bound,
                    "{admitted} admitted within {window} ns, at most {bound}"
                );
            }
        }
    }
}

#[test]
fn a_call_and_a_grant_spend_from_one_bucket() {
    let (limiter, _clock) = of_rate(1, 10);
    let mut grants = Grants::none(Arc::clone(&limiter));
    assert_eq!(given(&mut grants, ask(1, 5, 0, 0)).0, 5);
    let five = [Charge {
        limit: "",
        key: &[],
        cost: 6,
    }];
    let call = Call {
        charges: &five,
        ..Call::default()
    };
    let acquired = limiter.acquire("a", &call).expect("valid");
    assert_eq!(acquired.decision.verdict, Verdict::OverLimit);
}
