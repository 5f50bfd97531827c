use super::*;
use crate::limit::Quota;

fn name(name: &str) -> TierName {
    TierName::parse(name).expect("valid")
}

fn tier(of: &str, extends: Option<&str>) -> Tier {
    Tier {
        name: name(of),
        extends: extends.map(name),
        settings: Overrides::default(),
    }
}

#[test]
fn the_shipped_tiers_are_those_of_the_table() {
    let tiers = Tiers::shipped();
    let rows: Vec<_> = include_str!("../tier.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .collect();
    assert_eq!(rows.len(), SHIPPED.len());
    for row in rows {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let profile = tiers.get(&name(cells[0])).expect("a row is a tier's");
        let quota = |quota: Option<Quota>| {
            let quota = quota.expect("limited");
            assert_eq!(quota.period(), MINUTE);
            let mut amount = quota.amount().to_string();
            if amount.len() > 3 {
                amount.insert(amount.len() - 3, ' ');
            }
            let mut burst = quota.burst().to_string();
            if burst.len() > 3 {
                burst.insert(burst.len() - 3, ' ');
            }
            format!("{amount} a minute, burst {burst}")
        };
        let cap = profile
            .cache_cap
            .map_or("none".to_owned(), |cap| format!("{} MiB", cap / MIB));
        let class = match profile.class {
            Class::BestEffort => "best_effort",
            Class::Standard => "standard",
            Class::Critical => "critical",
        };
        assert_eq!(
            cells[1..6],
            [
                &*quota(profile.request),
                &*quota(profile.origin),
                &*cap,
                class,
                &*profile.weight.to_string()
            ]
        );
    }
}

#[test]
fn a_tier_has_the_settings_of_those_it_extends_with_its_own_over_them() {
    let mut plus = tier("plus", Some("pro"));
    plus.settings.weight = Some(7);
    let mut most = tier("most", Some("plus"));
    most.settings.request = Pace::unlimited();
    most.settings.cache_cap = Some(None);
    let tiers = Tiers::new(vec![most, plus]).expect("valid");
    let pro = tiers.get(&name("pro")).expect("valid").clone();
    let most = tiers.get(&name("most")).expect("valid");
    let expected = Profile {
        tier: name("most"),
        request: None,
        cache_cap: None,
        weight: 7,
        ..pro
    };
    assert_eq!(*most, expected);
}

#[test]
fn a_replaced_shipped_tier_is_replaced_for_those_that_extend_it() {
    let mut free = tier("free", None);
    free.settings.weight = Some(3);
    let tiers = Tiers::new(vec![free, tier("trial", Some("free"))]).expect("valid");
    for of in ["free", "trial"] {
        let profile = tiers.get(&name(of)).expect("valid");
        assert_eq!((profile.weight, profile.request), (3, None));
    }
}

#[test]
fn every_wrong_tier_is_told_of_at_once() {
    let mut greedy = tier("greedy", Some("free"));
    greedy.settings.cache_reserve = Some(33 * MIB);
    let wrong = Tiers::new(vec![
        tier("a", Some("b")),
        tier("b", Some("c")),
        tier("c", Some("b")),
        tier("self", Some("self")),
        tier("lost", Some("nowhere")),
        greedy,
        tier("twice", None),
        tier("twice", None),
    ])
    .expect_err("refused");
    let said: Vec<_> = wrong.iter().map(BadTier::to_string).collect();
    assert_eq!(
        said,
        [
            "tier twice is given twice",
            "tiers extend each other in a circle: a → b → c → b",
            "tiers extend each other in a circle: b → c → b",
            "tiers extend each other in a circle: c → b → c",
            "tier greedy: a cache_reserve of 34603008 bytes above the cache_cap of 33554432",
            "tier lost extends nowhere, which there is not",
            "tiers extend each other in a circle: self → self",
        ]
    );
}

#[test]
fn a_tenant_is_resolved_over_its_tier_or_told_which_there_are() {
    let tiers = Tiers::shipped();
    let over = Overrides {
        weight: Some(9),
        ..Overrides::default()
    };
    let profile = tiers.resolve(&name("pro"), &over).expect("valid");
    assert_eq!((profile.weight, &profile.overrides), (9, &over));
    assert_eq!(
        profile.request,
        tiers.get(&name("pro")).expect("valid").request
    );
    let wrong = tiers.resolve(&name("gold"), &over).expect_err("refused");
    assert_eq!(
        wrong.to_string(),
        "no tier gold: expected one of enterprise, free, pro"
    );
}
