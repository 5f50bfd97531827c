use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::ACCEPT;
use millpond_core::cache::{CacheName, Config, Policy, Want};
use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::limit::{self, Limiter};
use millpond_core::tenant::{self, Directory};
use tonic::Status;

use super::table::{ALL, Family, Kind, Values};
use super::told::Configured;
use super::*;
use crate::budget::Charge;
use crate::telemetry::metrics::tests::parser::{Parsed, Sample, parse};

mod parser;

const FORMATS: [Format; 2] = [Format::OpenMetrics, Format::Text];

impl Observed {
    /// A sidecar's numbers without the sidecar: two workers, every part there.
    pub(crate) fn alone(pond: Arc<Pond>) -> Self {
        observed(pond)
    }
}

fn observed(pond: Arc<Pond>) -> Observed {
    let clock = pond.clock().clone();
    let budget = Budget::new(1 << 20, 2);
    Observed {
        limiter: Limiter::new(
            Directory::new(tenant::Config::default()).unwrap(),
            limit::Config::default(),
        ),
        pond,
        stages: Stages::serving(),
        calls: vec![
            Arc::new(Calls::new(clock.clone(), None)),
            Arc::new(Calls::new(clock, None)),
        ],
        shares: vec![Share::of(&budget), Share::of(&budget)],
        budget,
        places: Arc::new(Semaphore::new(7)),
        max_connections: 10,
        refusals: Arc::default(),
        canary: Arc::default(),
        spans: Arc::default(),
        started_micros: 1_700_000_000_000_001,
        sources: Sources {
            config: Some(Box::new(|| Configured {
                applied: 4,
                refused: 5,
                successful: true,
                applied_micros: 6_000_001,
                hash: "0\"1\\2\n3".to_owned(),
            })),
        },
    }
}

fn cache(name: &str) -> CacheName {
    CacheName::parse(name).unwrap()
}

/// With one cache that is switched and not declared.
fn small() -> Observed {
    let pond = Pond::new(Config::default());
    pond.switch(&cache("users"), Some(Mode::Observe)).unwrap();
    observed(pond)
}

fn samples(parsed: &Parsed) -> impl Iterator<Item = &Sample> {
    parsed.families.iter().flat_map(|family| &family.samples)
}

fn value(parsed: &Parsed, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let found = samples(parsed).find(|sample| {
        sample.name == name
            && sample.labels.len() == labels.len()
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
    });
    found.map(|sample| sample.value)
}

#[test]
fn a_page_has_every_family_as_the_table_describes_it() {
    let parsed = parse(
        &small().exposition(Format::OpenMetrics),
        Format::OpenMetrics,
    );
    let names: Vec<&str> = parsed.families.iter().map(|read| &*read.name).collect();
    let wanted: Vec<&str> = ALL.iter().map(|family| family.name).collect();
    assert_eq!(names, wanted);
    for (read, family) in parsed.families.iter().zip(ALL) {
        assert_eq!(read.kind, family.kind.name(), "{}", family.name);
        assert_eq!(read.unit.as_deref(), family.unit, "{}", family.name);
        assert_eq!(read.help, family.help, "{}", family.name);
        read.samples
            .iter()
            .for_each(|sample| labelled(family, sample));
    }
}

/// The sample has the family's labels, with values of their sets.
fn labelled(family: &Family, sample: &Sample) {
    let mut wanted: BTreeSet<&str> = family.labels.iter().map(|label| label.name).collect();
    if family.kind == Kind::Histogram && sample.name.ends_with("_bucket") {
        wanted.insert("le");
    }
    let found: BTreeSet<&str> = sample.labels.keys().map(String::as_str).collect();
    assert_eq!(found, wanted, "{}", sample.name);
    for label in family.labels {
        if let Values::Of(values) = label.values {
            assert!(values.contains(&&*sample.labels[label.name]), "{sample:?}");
        }
    }
}

#[test]
fn a_name_with_a_unit_ends_in_it_and_a_name_that_ends_in_one_says_so() {
    for family in ALL {
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| family.name.ends_with(&format!("_{unit}")));
        assert_eq!(family.unit, unit, "{}", family.name);
        assert!(!family.name.ends_with("_total") && !family.name.ends_with("_info"));
    }
}

#[test]
fn both_formats_have_the_same_samples() {
    let observed = small();
    let [open, text] = FORMATS.map(|format| {
        let parsed = parse(&observed.exposition(format), format);
        samples(&parsed)
            .map(|sample| format!("{} {:?}", sample.name, sample.labels))
            .collect::<Vec<_>>()
    });
    assert_eq!(open, text);
}

#[test]
fn values_are_those_of_their_parts() {
    let observed = small();
    let mut charge = Charge::on(&observed.shares[0]);
    assert!(charge.grow(1_000));
    assert!(!charge.grow(1 << 20));
    let parsed = parse(
        &observed.exposition(Format::OpenMetrics),
        Format::OpenMetrics,
    );
    for (name, labels, wanted) in [
        ("millpond_in_flight_bytes", &[][..], 1_000.0),
        ("millpond_in_flight_budget_bytes", &[], 1_048_576.0),
        ("millpond_in_flight_refused_total", &[], 1.0),
        (
            "millpond_config_reloads_total",
            &[("result", "applied")],
            4.0,
        ),
        (
            "millpond_config_reloads_total",
            &[("result", "refused")],
            5.0,
        ),
        ("millpond_config_last_reload_successful", &[], 1.0),
        (
            "millpond_config_last_applied_timestamp_seconds",
            &[],
            6.000_001,
        ),
        ("millpond_config_info", &[("hash", "0\"1\\2\n3")], 1.0),
        (
            "millpond_cache_mode",
            &[("cache", "users"), ("mode", "on")],
            0.0,
        ),
        (
            "millpond_cache_mode",
            &[("cache", "users"), ("mode", "observe")],
            1.0,
        ),
        (
            "millpond_cache_mode",
            &[("cache", "users"), ("mode", "bypass")],
            0.0,
        ),
        ("millpond_connections", &[], 3.0),
        ("millpond_connections_limit", &[], 10.0),
        ("millpond_stage", &[("stage", "serving")], 1.0),
        ("millpond_stage", &[("stage", "draining")], 0.0),
        ("process_start_time_seconds", &[], 1_700_000_000.000_001),
    ] {
        assert_eq!(
            value(&parsed, name, labels),
            Some(wanted),
            "{name} {labels:?}"
        );
    }
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(
            value(&parsed, name, &[]).is_some_and(|is| is > 0.0),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_there_is_left_out() {
    let mut observed = observed(Pond::new(Config::default()));
    observed.sources = Sources::default();
    let parsed = parse(&observed.exposition(Format::Text), Format::Text);
    for prefix in ["millpond_config_", "millpond_cache_mode"] {
        let there = samples(&parsed).any(|sample| sample.name.starts_with(prefix));
        assert!(!there, "{prefix}");
    }
}

#[test]
fn ten_thousand_caches_name_256_of_the_declared_ones() {
    let declared = (0..10_000).map(|number| cache(&format!("c{number:05}")));
    let pond = Pond::new(Config {
        declared: declared.map(|cache| (cache, Policy::declared())).collect(),
        ..Config::default()
    });
    let scopes: Vec<_> = (0..10_000)
        .map(|number| pond.scope_named(&format!("t{number}"), &format!("any{number}")))
        .collect();
    let page = observed(pond).exposition(Format::OpenMetrics);
    assert!(page.len() < 160_000, "{} bytes", page.len());
    let parsed = parse(&page, Format::OpenMetrics);
    assert_eq!(value(&parsed, "millpond_cache_caches", &[]), Some(10_000.0));
    let named: BTreeSet<&str> = samples(&parsed)
        .filter_map(|sample| sample.labels.get("cache").map(String::as_str))
        .filter(|name| *name != OTHER_CACHES)
        .collect();
    assert_eq!(named.len(), 256);
    let any = |prefix: &str| named.iter().any(|name| name.starts_with(prefix));
    assert!(any("c0") && !any("any"));
    assert!(named.contains("c00000"));
    drop(scopes);
}

#[test]
fn reads_and_loads_are_told_by_declared_cache_and_those_of_others_together() {
    let declared = ["orders", "users"].map(|name| (cache(name), Policy::declared()));
    let pond = Pond::new(Config {
        declared: declared.into(),
        ..Config::default()
    });
    for (tenant, cache, reads) in [
        ("acme", "users", 3),
        ("umbrella", "users", 2),
        ("acme", "strange", 4),
        ("acme", "stranger", 1),
    ] {
        let scope = pond.scope_named(tenant, cache).unwrap();
        for key in 0..reads {
            let _ = pond.get(&scope, &[key], Want::load_until(Time::FAR));
        }
    }
    let page = observed(pond).exposition(Format::OpenMetrics);
    let parsed = parse(&page, Format::OpenMetrics);
    for (cache, misses) in [("orders", 0.0), ("users", 5.0), ("other", 5.0)] {
        for (result, wanted) in [("hit", 0.0), ("stale", 0.0), ("miss", misses)] {
            let labels = [("cache", cache), ("result", result)];
            let found = value(&parsed, "millpond_cache_reads_total", &labels);
            assert_eq!(found, Some(wanted), "{cache} {result}");
        }
        let loads = value(&parsed, "millpond_cache_loads_total", &[("cache", cache)]);
        assert_eq!(loads, Some(misses), "{cache}");
    }
    assert!(!page.contains("strange"));
}

#[test]
fn a_switched_cache_is_named_before_those_that_are_only_declared() {
    let declared = (0..300).map(|number| cache(&format!("c{number:05}")));
    let pond = Pond::new(Config {
        declared: declared.map(|cache| (cache, Policy::declared())).collect(),
        ..Config::default()
    });
    let last = cache("c00299");
    pond.switch(&last, Some(Mode::Bypass)).unwrap();
    let page = observed(pond).exposition(Format::OpenMetrics);
    let parsed = parse(&page, Format::OpenMetrics);
    let labels = [("cache", last.as_str()), ("mode", "bypass")];
    assert_eq!(value(&parsed, "millpond_cache_mode", &labels), Some(1.0));
}

#[test]
fn calls_are_counted_by_status_and_time_over_all_workers() {
    let manual = ManualClock::starting_at(Time::from_nanos(1));
    let pond = Pond::new(Config {
        clock: Clock::Manual(manual.clone()),
        ..Config::default()
    });
    let observed = observed(pond);
    let request = || tonic::Request::new(millpond_proto::v1::GetRequest::default());
    let get = |calls: &Calls, micros, end: fn(super::super::calls::Call<'_>)| {
        let request = request();
        let call = calls.begin(Method::Get);
        // Time before the message is there does not count.
        manual.advance(Duration::from_secs(100));
        call.received(&request);
        manual.advance(Duration::from_micros(micros));
        end(call);
    };
    for calls in &observed.calls {
        get(calls, 1_000, |call| call.ended(Ok(())).unwrap());
        get(calls, 2_000, |call| {
            let refused = Err::<(), _>(Status::invalid_argument(""));
            call.ended(refused).unwrap_err();
        });
        get(calls, 3_000_000, |call| drop(call));
        // Refused before its message was read: counted, and without a time.
        let unread = Err::<(), _>(Status::resource_exhausted(""));
        calls.begin(Method::Get).ended(unread).unwrap_err();
    }
    assert_eq!(observed.in_flight(), 0);
    let parsed = parse(
        &observed.exposition(Format::OpenMetrics),
        Format::OpenMetrics,
    );
    for code in ["OK", "INVALID_ARGUMENT", "CANCELLED", "RESOURCE_EXHAUSTED"] {
        let labels = [("method", "Get"), ("code", code)];
        assert_eq!(
            value(&parsed, "millpond_rpc_requests_total", &labels),
            Some(2.0)
        );
    }
    let of_total = |suffix: &str, le: Option<&str>| {
        let mut labels = vec![("method", "Get"), ("phase", "total")];
        labels.extend(le.map(|le| ("le", le)));
        value(
            &parsed,
            &format!("millpond_rpc_duration_seconds{suffix}"),
            &labels,
        )
    };
    assert_eq!(of_total("_count", None), Some(6.0));
    assert_eq!(of_total("_sum", None), Some(6.006));
    assert_eq!(of_total("_bucket", Some("0.000524288")), Some(0.0));
    assert_eq!(of_total("_bucket", Some("0.001048576")), Some(2.0));
    assert_eq!(of_total("_bucket", Some("0.002097152")), Some(4.0));
    assert_eq!(of_total("_bucket", Some("4.294967296")), Some(6.0));
    let median = observed.durations(Method::Get, Phase::Total).quantile(0.5);
    assert!(
        median >= Some(Duration::from_millis(2)) && median < Some(Duration::from_micros(2_251))
    );
    let waits = [("method", "Get"), ("phase", "wait")];
    assert_eq!(
        value(&parsed, "millpond_rpc_duration_seconds_count", &waits),
        Some(0.0)
    );
}

#[test]
fn a_scraper_gets_openmetrics_if_it_prefers_it_and_text_otherwise() {
    let accepted = |accept: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::accepted(&headers)
    };
    assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);
    for text in [
        "*/*",
        "text/plain",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/openmetrics-text;version=1.0.0;q=0",
        "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.3",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;q=nonsense",
        "application/openmetrics-text;q=1.5",
        "",
        ",;=,",
    ] {
        assert_eq!(accepted(text), Format::Text, "{text}");
    }
    for open in [
        // Prometheus 2 and 3.
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; version=\"1.0.0\"",
        "*/*, application/openmetrics-text",
    ] {
        assert_eq!(accepted(open), Format::OpenMetrics, "{open}");
    }
}
