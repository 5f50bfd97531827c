//! `millpond canary`: what it says of a sound sidecar, of one that is told to refuse it, and of a leak.

use std::time::Duration;

use millpond_core::cache::TenantId;
use millpond_core::tenant::{Declaration, State, Strangers, TierName};
use millpond_sidecar::Config;
use millpond_sidecar::canary::{Canary, Check, Names, Outcome};

use crate::state::tenant;
use crate::support::{LONG, Pod};
use crate::worlds::Who;

fn strangers(rule: Strangers) -> Config {
    let mut config = Config::on_free_ports();
    config.tenancy.strangers = rule;
    config
}

async fn round(pod: &Pod) -> Vec<(Check, Outcome)> {
    let mut canary = Canary::new(pod.channel().await, Names::default(), LONG);
    canary.round().await.expect("it is answered")
}

#[tokio::test]
async fn a_canary_finds_no_leak_where_there_is_none() {
    let tier = TierName::parse("free").expect("a name");
    let pod = Pod::with(strangers(Strangers::Tier { tier, most: 64 }));
    // More than once: what a round leaves is no leak to the next.
    for _ in 0..3 {
        for (check, outcome) in round(&pod).await {
            assert_eq!(outcome, Outcome::Passed, "{}", check.name());
        }
    }
    let gauges = pod.running.pond().gauges();
    assert_eq!(gauges.loads, 0, "it leaves no load");
    assert!(gauges.entries <= 4, "{gauges:?}");
}

#[tokio::test]
async fn what_nothing_limits_is_skipped_and_the_rest_is_checked() {
    let pod = Pod::start();
    for (check, outcome) in round(&pod).await {
        let expected = match check {
            Check::Buckets => Outcome::Skipped("nothing limits the tenants".to_owned()),
            _ => Outcome::Passed,
        };
        assert_eq!(outcome, expected, "{}", check.name());
    }
}

#[tokio::test]
async fn a_canary_that_is_refused_says_so() {
    let pod = Pod::with(strangers(Strangers::Refuse));
    let unknown = Outcome::Skipped("tenants are not known".to_owned());
    for (check, outcome) in round(&pod).await {
        assert_eq!(outcome, unknown, "{}", check.name());
    }
    let directory = pod.running.directory();
    let names = Names::default();
    for name in [&names.a, &names.b] {
        let id = TenantId::parse(name).expect("a name");
        let free = Declaration::of(TierName::parse("free").expect("a name"));
        directory.put(&id, &free).expect("it may be");
        directory
            .set_state(&id, State::Suspended)
            .expect("it may be");
    }
    for (check, outcome) in round(&pod).await {
        let why = match check {
            Check::Reservations | Check::Buckets => "tenants are not served",
            _ => "tenant_suspended",
        };
        let expected = Outcome::Skipped(why.to_owned());
        assert_eq!(outcome, expected, "{}", check.name());
    }
}

/// Two names of one tenant are what a leak looks like.
#[tokio::test]
async fn two_tenants_that_are_one_are_a_leak_in_every_check() {
    let tier = TierName::parse("free").expect("a name");
    let pod = Pod::with(strangers(Strangers::Tier { tier, most: 64 }));
    let same = Names {
        a: tenant(Who::A),
        b: tenant(Who::A),
        ..Names::default()
    };
    let mut canary = Canary::new(pod.channel().await, same, LONG);
    for (check, outcome) in canary.round().await.expect("it is answered") {
        assert!(
            matches!(outcome, Outcome::Leak(_)),
            "{}: {outcome}",
            check.name()
        );
    }
}

/// How often each check came to `outcome`, as a scraper reads it.
async fn counted(pod: &Pod, outcome: &str) -> [f64; Check::ALL.len()] {
    let samples = pod.samples().await;
    Check::ALL.map(|check| {
        let labels = format!("check=\"{}\",outcome=\"{outcome}\"", check.name());
        samples[&format!("millpond_canary_checks_total{{{labels}}}")]
    })
}

#[tokio::test]
async fn a_sidecar_that_is_told_to_watches_itself_and_finds_no_leak() {
    let tier = TierName::parse("free").expect("a name");
    let mut config = strangers(Strangers::Tier { tier, most: 64 });
    config.canary = Duration::from_millis(1);
    let pod = Pod::with(config);
    let mut passed = [0.0; Check::ALL.len()];
    // Bounded by pages, each of which is a call that takes its time.
    for _ in 0..20_000 {
        assert_eq!(counted(&pod, "leak").await, [0.0; Check::ALL.len()]);
        passed = counted(&pod, "passed").await;
        if passed.iter().all(|rounds| *rounds >= 2.0) {
            break;
        }
    }
    assert!(passed.iter().all(|rounds| *rounds >= 2.0), "{passed:?}");
}

#[tokio::test]
async fn a_sidecar_that_is_told_nothing_makes_no_round() {
    let pod = Pod::start();
    for outcome in ["passed", "leak", "skipped"] {
        assert_eq!(counted(&pod, outcome).await, [0.0; Check::ALL.len()]);
    }
    assert_eq!(pod.running.pond().totals().misses, 0);
}
