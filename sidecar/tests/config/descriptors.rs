//! Rules for descriptors, as a file says them.

use std::time::Duration;

use millpond_core::limit::Quota;
use millpond_core::limit::rules::{Entry, Rules, Terms};

use crate::wrong;

#[test]
fn a_file_of_the_reference_services_form_is_read() {
    let reading = crate::read(
        b"apiVersion: millpond/v1
descriptors:
  edge:
    tenant_key: org
    tenant: everybody
    descriptors:
    - key: org
      rate_limit: {unit: MINUTE, requests_per_unit: 60}
      descriptors:
      - {key: path, value: /api/*, share_threshold: true, shadow_mode: true, limit: exports}
      - {key: path, value: 404, rate_limit: {unit: day, unit_multiplier: 2, requests_per_unit: 9, burst: 3, name: n}, overdraw: true}
    - {key: free, rate_limit: {unlimited: true}}
    - {key: shut, rate_limit: {unit: year, requests_per_unit: 0}, detailed_metric: true}
",
    );
    assert!(reading.mistakes.is_empty(), "{:?}", reading.mistakes);
    let unknown: Vec<_> = reading.unknown.iter().map(|odd| &*odd.path).collect();
    assert_eq!(unknown, ["descriptors.edge.descriptors[2].detailed_metric"]);
    let rules = Rules::new(&reading.config.descriptors).expect("read without a mistake");
    let find = |entries: &[(&'static str, &'static str)]| {
        let entries = entries.iter().map(|&(key, value)| Entry { key, value });
        let entries: Vec<_> = entries.collect();
        let found = rules.find("edge", &entries)?;
        let leaf = found.leaf;
        let key = String::from_utf8(found.key.into_owned()).expect("of UTF-8 values");
        Some((
            leaf.terms.clone(),
            leaf.name.to_string(),
            found.tenant.to_owned(),
            key,
        ))
    };
    let quota = |amount, secs, burst| {
        Terms::Quota(Quota::new(amount, Duration::from_secs(secs), burst).expect("valid"))
    };
    let (terms, name, tenant, key) = find(&[("org", "acme")]).expect("matched");
    assert_eq!(terms, quota(60, 60, 60));
    assert_eq!((&*name, &*tenant, &*key), ("edge.org", "acme", ""));
    let (terms, .., key) = find(&[("org", "acme"), ("path", "/api/x")]).expect("matched");
    assert!(matches!(terms, Terms::Limit(Some(name)) if name.as_str() == "exports"));
    assert_eq!(key, "");
    let (terms, name, ..) = find(&[("org", "acme"), ("path", "404")]).expect("matched");
    assert_eq!((terms, &*name), (quota(9, 172_800, 3), "n"));
    let (terms, _, tenant, _) = find(&[("free", "x")]).expect("matched");
    assert_eq!((terms, &*tenant), (Terms::Unlimited, "everybody"));
    let (terms, ..) = find(&[("shut", "x")]).expect("matched");
    assert_eq!(terms, Terms::Blocked);
}

#[test]
fn what_is_wrong_has_its_place_and_says_what_is_expected() {
    for (text, message) in [
        (
            "  edge: {descriptors: {key: a}}",
            "3:23: descriptors.edge.descriptors: found a mapping; expected a list of rules",
        ),
        (
            "  edge: {tenant: 'a b'}",
            "3:18: descriptors.edge.tenant: found \"a b\"; expected 1 to 128 of [A-Za-z0-9._-]",
        ),
        (
            "  edge: {descriptors: [{key: tenant, rate_limit: {unit: eon, requests_per_unit: 1}, limit: ''}]}",
            "3:57: descriptors.edge.descriptors[0].rate_limit.unit: found \"eon\"; expected one of second, minute, hour, day, week, month, year",
        ),
        (
            "  edge: {descriptors: [{key: path, limit: exports}]}",
            "3:3: descriptors.edge.path: whose limit it is nobody says: no entry `tenant` on the way, and no tenant of the domain; expected a rule that can be matched",
        ),
        (
            "  edge: {descriptors: [{key: tenant, rate_limit: {unit: year, unit_multiplier: 2, requests_per_unit: 1}}]}",
            "3:24: descriptors.edge.descriptors[0].rate_limit: a burst that takes more than 366 days to come back; expected another rate",
        ),
    ] {
        let file = format!("apiVersion: millpond/v1\ndescriptors:\n{text}\n");
        let told = wrong(file.as_bytes());
        assert!(
            told.iter().any(|told| told.ends_with(message)),
            "{text}: {told:#?}"
        );
    }
}

#[test]
fn a_unit_that_is_wrong_is_not_called_missing_as_well() {
    let rule = "{key: tenant, rate_limit: {unit: min, requests_per_unit: 5}}";
    let file =
        format!("apiVersion: millpond/v1\ndescriptors:\n  edge: {{descriptors: [{rule}]}}\n");
    let told = wrong(file.as_bytes());
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("unit: found \"min\""), "{told:#?}");
}
