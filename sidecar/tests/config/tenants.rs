//! Tiers and tenants: every kind of mistake with its exact message, and what a good
//! file comes to.

use millpond_core::tenant::{Class, State, Strangers};

use crate::{read, wrong};

const KNOWN: &str = "one of enterprise, free, pro";
const BOTH: &str = "rate, burst, origin_rate, origin_burst, cache_cap, cache_reserve, class, weight, on_limit, enforce_from, shadow, scope, without_store, limits";

/// What stands below the version, and what is wrong with it, in any order.
fn rows() -> Vec<(&'static str, Vec<String>)> {
    let one = |text: &str| vec![text.to_owned()];
    vec![
        (
            "tiers: {a: {extends: b}, b: {extends: c}, c: {extends: b}}",
            vec![
                "2:22: tiers.a.extends: goes in a circle: a, b, c, b; expected a tier that does not extend it".to_owned(),
                "2:39: tiers.b.extends: goes in a circle: b, c, b; expected a tier that does not extend it".to_owned(),
                "2:56: tiers.c.extends: goes in a circle: c, b, c; expected a tier that does not extend it".to_owned(),
            ],
        ),
        (
            "tiers: {a: {extends: fre}}",
            one("2:22: tiers.a.extends: found \"fre\", which is no tier, much like free; expected one of a, enterprise, free, pro"),
        ),
        (
            "tiers: {a: {rate: 100}}",
            one("2:19: tiers.a.rate: found \"100\", which says no period; expected a rate such as 100/min, 5000/s, 10/h or 1/30s, 1/366d to 100000000/s, or unlimited"),
        ),
        (
            "tiers: {a: {rate: 200000000/s}}",
            one("2:19: tiers.a.rate: found \"200000000/s\", which is too fast; expected a rate such as 100/min, 5000/s, 10/h or 1/30s, 1/366d to 100000000/s, or unlimited"),
        ),
        (
            "tiers: {a: {rate: 1/d, burst: 1000}}",
            one("2:31: tiers.a.burst: makes a burst that takes more than 366 days to come back; expected a burst that the rate gives back within 366d"),
        ),
        (
            "tiers: {a: {origin_burst: 10}}",
            one("2:27: tiers.a.origin_burst: makes of the origin: a burst without a rate; expected origin_rate beside it"),
        ),
        (
            "tiers: {a: {burst: 0, rate: 1/s}}",
            one("2:20: tiers.a.burst: found \"0\", which is too few; expected a whole number from 1 to 1000000000000"),
        ),
        (
            "tiers: {Gold: {}}",
            one("2:9: tiers.Gold: found the name \"Gold\"; expected 1 to 64 of the letters a-z, digits, ., _ and -"),
        ),
        (
            "tiers: {refuse: {}}",
            one("2:9: tiers.refuse: found the name \"refuse\"; expected another: unknown_tenants would not know them apart"),
        ),
        (
            "tiers: {a: {cache_cap: 1MiB, cache_reserve: 2MiB}}",
            one("2:45: tiers.a.cache_reserve: comes to 2MiB, more than cache_cap, 1MiB; expected at most cache_cap"),
        ),
        (
            "tiers: {a: {tier: free}}",
            vec![format!("2:13: tiers.a.tier: unknown key, much like tenants.(name).tier; expected one of extends, {BOTH}")],
        ),
        (
            "tiers: {a: {limits: {x: {burst_per_key: 5}}}}",
            one("2:41: tiers.a.limits.x.burst_per_key: makes a burst without a rate; expected rate_per_key beside it"),
        ),
        (
            "tiers: {a: {limits: {x: {apart: on}}}}",
            one("2:22: tiers.a.limits.x: says no rate, and limits nothing; expected rate, rate_per_key or both"),
        ),
        (
            "tiers: {a: {limits: {X: {rate: 1/s}}}}",
            one("2:22: tiers.a.limits.X: found the name \"X\"; expected 1 to 64 of the letters a-z, digits, ., _ and -"),
        ),
        (
            "tenants: {acme: {tier: gold}}",
            vec![format!("2:24: tenants.acme.tier: found \"gold\", which is no tier; expected {KNOWN}")],
        ),
        (
            "tenants: {acme: {}}",
            vec![format!("2:11: tenants.acme: says no tier; expected tier: and {KNOWN}")],
        ),
        (
            "tenants: {acme: free}",
            one("2:17: tenants.acme: found \"free\"; expected fields such as tier:"),
        ),
        (
            "tiers: {a: {limits: {x: 5/s}}}",
            one("2:25: tiers.a.limits.x: found \"5/s\"; expected fields such as rate:"),
        ),
        (
            "tenants: {a/b: {tier: free}}",
            one("2:11: tenants.a/b: found the name \"a/b\"; expected 1 to 128 of the letters a-z and A-Z, digits, ., _ and -"),
        ),
        (
            "tenants: {acme: {tier: free, state: purged}}",
            one("2:37: tenants.acme.state: found \"purged\", and only a purge leads there; expected active, trial, suspended, maintenance, pending_offboard or offboarded"),
        ),
        (
            "tenants: {acme: {tier: free, cache_reserve: 64MiB}}",
            one("2:45: tenants.acme.cache_reserve: comes to 64MiB, more than cache_cap, 32MiB; expected at most cache_cap"),
        ),
        (
            "tenants: {acme: {tier: free, enforce_from: 1.12.2026}}",
            one("2:44: tenants.acme.enforce_from: found \"1.12.2026\"; expected a date such as 2026-12-01, or a moment such as 2026-12-01T08:30:00Z, or none"),
        ),
        (
            "memory: 64MiB\ntenants: {a: {tier: pro, cache_reserve: 40MiB}, b: {tier: pro, cache_reserve: 40MiB}}",
            one("3:10: tenants: reserve 80MiB together, more than memory, 64MiB; expected cache_reserve that fits into memory"),
        ),
        (
            "tenants: {acme: {tier: free, weight: 0, class: vip, shadow: maybe}}",
            vec![
                "2:38: tenants.acme.weight: found \"0\", which is too few; expected a whole number from 1 to 1000".to_owned(),
                "2:48: tenants.acme.class: found \"vip\"; expected best_effort, standard or critical".to_owned(),
                "2:61: tenants.acme.shadow: found \"maybe\"; expected on or off".to_owned(),
            ],
        ),
        (
            "unknown_tenants: deny",
            vec![format!("2:18: unknown_tenants: found \"deny\", which is no tier; expected refuse, unlimited, or a tier: {KNOWN}")],
        ),
        (
            "unknown_tenants: [free]",
            one("2:18: unknown_tenants: found a list; expected refuse, unlimited or a tier's name"),
        ),
        (
            "rate: 5/s",
            one("2:1: rate: unknown key, much like tenants.(name).rate; expected one of listen, socket, probe, admin, memory, in_flight, workers, drain, canary, unknown_limits, limits, log, tracing, undeclared, caches, tiers, tenants, unknown_tenants, descriptors, apiVersion"),
        ),
    ]
}

#[test]
fn each_mistake_has_its_exact_message() {
    for (text, mut expected) in rows() {
        let document = format!("apiVersion: millpond/v1\n{text}\n");
        let mut found = wrong(document.as_bytes());
        found.sort();
        for message in &mut expected {
            message.insert_str(0, "millpond.yaml:");
        }
        expected.sort();
        assert_eq!(found, expected, "{document}");
    }
}

#[test]
fn a_mistake_in_a_tier_is_told_once_and_not_for_each_of_its_tenants() {
    let document = "apiVersion: millpond/v1
tiers: {a: {rate: fast}, b: {extends: nowhere}}
tenants: {x: {tier: a}, y: {tier: b}, z: {tier: c}}
";
    let found = wrong(document.as_bytes());
    let paths: Vec<_> = found
        .iter()
        .filter_map(|message| message.split(": ").nth(1))
        .collect();
    assert_eq!(paths, ["tiers.a.rate", "tiers.b.extends", "tenants.z.tier"]);
}

const GOOD: &str = "apiVersion: millpond/v1
memory: 256MiB
limits: {unknown_tenants: 1000}
tiers:
  gold:
    extends: pro
    burst: 50
    class: critical
    cache_cap: none
    limits:
      exports: {rate: 10/h, burst: 2, rate_per_key: 1/min, apart: yes, enforce_from: 2026-12-01}
  free:
tenants:
  acme: {tier: gold, rate: 100/s, state: trial}
  zeta: {tier: pro, state: hibernating}
unknown_tenants: gold
";

#[test]
fn a_file_comes_to_tiers_and_tenants() {
    let reading = read(GOOD.as_bytes());
    assert_eq!(reading.mistakes, []);
    let warned: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
    let told = "millpond.yaml:15:28: tenants.zeta.state: is not known here, and reads as suspended; expected a state of this version";
    assert!(warned.contains(&told.to_owned()), "{warned:?}");
    let tenancy = reading.config.tenancy;
    let [acme, zeta] = ["acme", "zeta"].map(|name| {
        let mut named = tenancy.tenants.iter();
        let (_, said) = named.find(|(id, _)| id.as_str() == name).expect("named");
        said
    });
    assert_eq!(
        (acme.state, zeta.state),
        (Some(State::Trial), Some(State::Suspended))
    );
    let profile = tenancy
        .tiers
        .resolve(&acme.tier, &acme.overrides)
        .expect("it was checked");
    let request = profile.request.expect("limited");
    assert_eq!(
        (
            request.amount(),
            request.period().as_secs(),
            request.burst()
        ),
        (100, 1, 50)
    );
    assert_eq!(
        (profile.class, profile.cache_cap, profile.weight),
        (Class::Critical, None, 4)
    );
    let (_, exports) = profile.limit("exports").expect("there");
    assert!(exports.apart && exports.enforce_from.is_some());
    assert_eq!(
        exports.per_key.expect("limited").burst(),
        1,
        "unless said, as the rate"
    );
    assert!(matches!(
        tenancy.strangers,
        Strangers::Tier { most: 1_000, .. }
    ));
    let free = tenancy
        .tiers
        .iter()
        .find(|tier| tier.tier.as_str() == "free")
        .expect("there");
    assert_eq!(free.request, None, "replaced by a tier that says nothing");
}

#[test]
fn what_is_in_force_is_printed_as_a_file_that_says_the_same() {
    let reading = read(GOOD.as_bytes());
    let printed = reading.effective();
    let again = read(printed.as_bytes());
    assert_eq!(again.mistakes, [], "{printed}");
    // What this version does not know reads as suspended, and is printed so.
    assert_eq!(again.config.tenancy, reading.config.tenancy, "{printed}");
}

#[test]
fn a_scope_that_needs_a_store_is_told_of_because_there_is_none() {
    let text = "\
apiVersion: millpond/v1
tiers:
  gold: {rate: 5/s, scope: fleet, limits: {sms: {rate: 1/s, scope: divided}}}
tenants:
  acme: {tier: gold, scope: pod}
";
    let reading = read(text.as_bytes());
    assert_eq!(reading.mistakes, []);
    let warned: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
    let told = |at: &str| {
        format!(
            "millpond.yaml:{at}: needs a store, which this version has not: each pod has all of it; expected pod"
        )
    };
    let expected = [
        told("3:28: tiers.gold.scope"),
        told("3:68: tiers.gold.limits.sms.scope"),
    ];
    let ours: Vec<_> = warned
        .iter()
        .filter(|said| said.contains("store"))
        .collect();
    assert_eq!(ours, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_limit_that_the_tenants_own_bucket_never_lets_fill_is_told_of_where_it_is_said() {
    let text = "\
apiVersion: millpond/v1
tiers:
  a:
    rate: 5/s
    burst: 10
    limits:
      tokens: {rate: 100/s, burst: 1000}
      users: {rate: 1/s, rate_per_key: 20/s}
      fine: {rate: 1/s, burst: 10}
      bytes: {rate: 100/s, apart: on}
  b: {extends: a, rate: 9/s, burst: 2000}
  c: {extends: a, on_limit: admit, limits: {more: {rate: 50/s}}}
tenants:
  acme: {tier: a}
  zeta: {tier: b, burst: 15}
";
    let reading = read(text.as_bytes());
    assert_eq!(reading.mistakes, []);
    let warned: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
    let told = |at: &str, most: u32, own: u32| {
        format!(
            "millpond.yaml:{at}: comes to {most}, but a call charges the tenant's own bucket as much, and that holds {own}; expected apart: on, or at most {own}"
        )
    };
    let expected = [
        told("7:36: tiers.a.limits.tokens.burst", 1000, 10),
        told("8:40: tiers.a.limits.users.burst_per_key", 20, 10),
        told("15:3: tenants.zeta.limits.tokens.burst", 1000, 15),
        told("15:3: tenants.zeta.limits.users.burst_per_key", 20, 15),
    ];
    let ours: Vec<_> = warned
        .iter()
        .filter(|said| said.contains("own bucket"))
        .collect();
    assert_eq!(ours, expected.iter().collect::<Vec<_>>());
}
