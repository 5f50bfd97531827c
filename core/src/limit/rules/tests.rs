use super::*;

fn quota(amount: u64) -> Limit {
    Limit {
        name: None,
        terms: Terms::Quota(Quota::per_second(amount, amount).expect("valid")),
        shadow: false,
        overdraw: false,
    }
}

fn rule(key: &str, value: Option<&str>, limit: Option<Limit>, rules: Vec<Rule>) -> Rule {
    Rule {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        shared: false,
        limit,
        rules,
    }
}

fn domain(rules: Vec<Rule>) -> Domain {
    Domain {
        name: "edge".to_owned(),
        tenant_key: Domain::TENANT_KEY.to_owned(),
        tenant: Some(TenantId::parse("everybody").expect("a name")),
        rules,
    }
}

fn entries<'a>(text: &'a str) -> Vec<Entry<'a>> {
    let pair = |entry: &'a str| {
        let (key, value) = entry.split_once('=').expect("key=value");
        Entry { key, value }
    };
    text.split_whitespace().map(pair).collect()
}

/// The path of the rule, its tenant and its key, with `|` between open values.
fn found(rules: &Rules, descriptor: &str) -> Option<(String, String, String)> {
    let entries = entries(descriptor);
    let found = rules.find("edge", &entries)?;
    let key = String::from_utf8(found.key.into_owned()).expect("of UTF-8 values");
    Some((
        found.leaf.path.to_string(),
        found.tenant.to_owned(),
        key.replace('\u{1f}', "|"),
    ))
}

fn some(path: &str, tenant: &str, key: &str) -> Option<(String, String, String)> {
    Some((path.to_owned(), tenant.to_owned(), key.to_owned()))
}

#[test]
fn a_value_beats_the_longest_prefix_which_beats_the_key_alone() {
    let path = |value| rule("path", value, Some(quota(1)), vec![]);
    let rules = Rules::new(&[domain(vec![
        path(None),
        path(Some("/a*")),
        path(Some("/api/*")),
        path(Some("/api/v1")),
        path(Some("/ap*")),
    ])])
    .expect("valid");
    for (value, matched, key) in [
        ("/api/v1", "path_/api/v1", ""),
        ("/api/v2", "path_/api/*", "/api/v2"),
        ("/api", "path_/ap*", "/api"),
        ("/about", "path_/a*", "/about"),
        ("/", "path", "/"),
    ] {
        let descriptor = format!("path={value}");
        let expected = some(&format!("edge.{matched}"), "everybody", key);
        assert_eq!(found(&rules, &descriptor), expected, "{value}");
    }
    assert_eq!(found(&rules, "method=GET"), None);
    assert!(rules.find("other", &entries("path=/")).is_none());
}

#[test]
fn a_rule_is_matched_to_its_whole_depth_and_no_deeper() {
    let rules = Rules::new(&[domain(vec![rule(
        "tenant",
        None,
        None,
        vec![rule(
            "path",
            Some("/login"),
            Some(quota(1)),
            vec![rule("user", None, Some(quota(2)), vec![])],
        )],
    )])])
    .expect("valid");
    assert_eq!(found(&rules, "tenant=acme"), None);
    assert_eq!(
        found(&rules, "tenant=acme path=/login"),
        some("edge.tenant.path_/login", "acme", "")
    );
    assert_eq!(
        found(&rules, "tenant=acme path=/login user=7"),
        some("edge.tenant.path_/login.user", "acme", "7")
    );
    assert_eq!(found(&rules, "tenant=acme path=/login user=7 x=1"), None);
    assert_eq!(found(&rules, "path=/login tenant=acme"), None);
    assert_eq!(found(&rules, ""), None);
}

#[test]
fn there_is_no_way_back_from_a_more_specific_step() {
    let below = || vec![rule("user", None, Some(quota(1)), vec![])];
    let rules = Rules::new(&[domain(vec![
        rule("path", Some("/login"), Some(quota(2)), vec![]),
        rule("path", None, None, below()),
    ])])
    .expect("valid");
    assert_eq!(found(&rules, "path=/login user=7"), None);
    assert_eq!(
        found(&rules, "path=/other user=7"),
        some("edge.path.user", "everybody", "/other|7")
    );
}

#[test]
fn the_bucket_is_told_by_the_values_left_open_and_the_tenants_is_not_one() {
    let rules = Rules::new(&[domain(vec![rule(
        "kind",
        Some("sms"),
        None,
        vec![rule(
            "tenant",
            None,
            None,
            vec![
                rule("user", None, Some(quota(1)), vec![]),
                rule("tenant", None, Some(quota(1)), vec![]),
            ],
        )],
    )])])
    .expect("valid");
    assert_eq!(
        found(&rules, "kind=sms tenant=acme user=7"),
        some("edge.kind_sms.tenant.user", "acme", "7")
    );
    // The first entry of the key names the tenant; another one is a value like any.
    assert_eq!(
        found(&rules, "kind=sms tenant=acme tenant=other"),
        some("edge.kind_sms.tenant.tenant", "acme", "other")
    );
}

#[test]
fn values_that_are_to_share_a_bucket_do() {
    let together = Rule {
        shared: true,
        ..rule(
            "path",
            Some("/a*"),
            None,
            vec![rule("user", None, Some(quota(1)), vec![])],
        )
    };
    let rules = Rules::new(&[domain(vec![together])]).expect("valid");
    let expected = some("edge.path_/a*.user", "everybody", "7");
    assert_eq!(found(&rules, "path=/a?x=1 user=7"), expected);
    assert_eq!(found(&rules, "path=/a?x=2 user=7"), expected);
}

#[test]
fn a_descriptor_with_a_limit_of_its_own_needs_a_domain_and_a_tenant() {
    let anonymous = Domain {
        tenant: None,
        ..domain(vec![rule("tenant", None, Some(quota(1)), vec![])])
    };
    let rules = Rules::new(&[anonymous]).expect("valid");
    let named = entries("a=1 tenant=acme");
    let (domain, tenant, key) = rules.own("edge", &named).expect("known").expect("named");
    assert_eq!((&**domain, tenant), ("edge", "acme"));
    assert_eq!(key, b"a\x1f1\x1ftenant\x1facme\x1f");
    assert_eq!(rules.own("edge", &entries("a=1")), Some(Err(NoTenant)));
    assert_eq!(rules.own("other", &named), None);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let nobodys = Domain {
        tenant: None,
        ..domain(vec![
            rule("path", None, Some(quota(1)), vec![]),
            rule("path", None, Some(quota(1)), vec![]),
            rule("idle", None, None, vec![]),
            rule("", Some("x*"), Some(quota(1)), vec![]),
        ])
    };
    let overdrawn = Limit {
        terms: Terms::Limit(None),
        overdraw: true,
        ..quota(1)
    };
    let other = Domain {
        name: "other".to_owned(),
        ..domain(vec![
            rule("a", Some("x*"), Some(overdrawn), vec![]),
            rule("a", Some("x*"), Some(quota(1)), vec![]),
        ])
    };
    let wrong = Rules::new(&[nobodys, other.clone(), other]).expect_err("wrong");
    let told: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    let no_tenant =
        "whose limit it is nobody says: no entry `tenant` on the way, and no tenant of the domain";
    let twice = [
        "other.a_x*: overdraw is for a quota of the rule's own",
        "other.a_x*: is given twice",
    ];
    let mut expected = vec![
        format!("edge.path: {no_tenant}"),
        format!("edge.path: {no_tenant}"),
        "edge.path: is given twice".to_owned(),
        "edge.idle: limits nothing and has no rules below it".to_owned(),
        "edge._x*: a key of 0 bytes: expected 1 to 256".to_owned(),
        format!("edge._x*: {no_tenant}"),
    ];
    expected.extend(twice.map(str::to_owned));
    expected.extend(twice.map(str::to_owned));
    expected.push("other: is given twice".to_owned());
    assert_eq!(told, expected);
}

#[test]
fn more_rules_than_there_may_be_are_refused() {
    let many = |count: usize| {
        let rules = (0..count).map(|i| rule(&i.to_string(), None, Some(quota(1)), vec![]));
        Rules::new(&[domain(rules.collect())])
    };
    assert!(many(Domain::MAX_RULES).is_ok());
    let wrong = many(Domain::MAX_RULES + 1).expect_err("too many");
    assert_eq!(wrong[0].why, Why::TooMany(Domain::MAX_RULES + 1));
}
