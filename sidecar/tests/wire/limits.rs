//! `LimitService`: what is decided, who waits, what is remembered, what is refused.

mod refusals;
mod reservations;

use std::time::Duration;

use bytes::Bytes;
use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::limit::{Quota, UnknownLimits};
use millpond_core::tenant::{
    Declaration, LimitName, NamedQuota, OnLimit, Overrides, Pace, State, TenantId, TierName,
};
use millpond_proto::v1;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use millpond_sidecar::{Config, Drained};
use prost::Message;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::raw::{Peer, framed, head};
use crate::support::{LONG, Pod, eventually};

pub(crate) type Limits = LimitServiceClient<Channel>;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn quota(amount: u64, burst: u64) -> Quota {
    Quota::per_second(amount, burst).expect("valid")
}

pub(crate) fn named(name: &str, total: Option<Quota>, per_key: Option<Quota>) -> NamedQuota {
    NamedQuota {
        total,
        per_key,
        ..NamedQuota::new(LimitName::parse(name).expect("valid"))
    }
}

/// A pod whose time stands still until it is moved, so that every decision is known.
pub(crate) struct Still {
    pub(crate) pod: Pod,
    pub(crate) clock: ManualClock,
}

impl Still {
    pub(crate) fn with(config: Config) -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * MINUTE));
        let mut config = config;
        config.cache.clock = Clock::Manual(clock.clone());
        Self {
            pod: Pod::with(config),
            clock,
        }
    }

    pub(crate) fn start() -> Self {
        Self::with(Config::on_free_ports())
    }

    pub(crate) fn put(&self, tenant: &str, request: Option<Quota>, limits: Vec<NamedQuota>) {
        put(&self.pod, tenant, request, limits);
    }

    pub(crate) async fn client(&self) -> Limits {
        LimitServiceClient::new(self.pod.channel().await)
    }
}

pub(crate) fn put(pod: &Pod, tenant: &str, request: Option<Quota>, limits: Vec<NamedQuota>) {
    let declaration = Declaration {
        overrides: Overrides {
            request: request.map_or_else(Pace::unlimited, Pace::from),
            limits,
            ..Overrides::default()
        },
        ..Declaration::of(TierName::parse("free").expect("valid"))
    };
    let directory = pod.running.limiter().directory();
    let put = directory.put(&id(tenant), &declaration);
    put.expect("it is valid");
}

fn id(tenant: &str) -> TenantId {
    TenantId::parse(tenant).expect("valid")
}

pub(crate) fn charge(limit: &str, key: &str, cost: u64) -> v1::Charge {
    v1::Charge {
        limit: limit.to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        cost: Some(cost),
    }
}

fn acquire(charges: &[(&str, &str, u64)]) -> v1::AcquireRequest {
    v1::AcquireRequest {
        tenant: "acme".to_owned(),
        charges: charges
            .iter()
            .map(|(limit, key, cost)| charge(limit, key, *cost))
            .collect(),
        ..v1::AcquireRequest::default()
    }
}

async fn asked(client: &Limits, request: v1::AcquireRequest) -> v1::AcquireReply {
    let reply = client.clone().acquire(request).await;
    reply.expect("it is well formed").into_inner()
}

async fn refused(client: &Limits, request: v1::AcquireRequest) -> (Code, String) {
    let status = client.clone().acquire(request).await;
    let status = status.expect_err("it is refused");
    (status.code(), status.message().to_owned())
}

/// Whole tokens left of the tenant's own.
async fn remaining(client: &Limits) -> u64 {
    let request = v1::PeekRequest {
        tenant: "acme".to_owned(),
        charges: vec![charge("", "", 0)],
    };
    let reply = client.clone().peek(request).await;
    reply.expect("it is well formed").into_inner().remaining
}

/// How long a call of one token would be told to stay away.
async fn retry_after(client: &Limits) -> u64 {
    let request = v1::PeekRequest {
        tenant: "acme".to_owned(),
        charges: Vec::new(),
    };
    let reply = client.clone().peek(request).await;
    reply
        .expect("it is well formed")
        .into_inner()
        .retry_after_ms
}

#[tokio::test]
async fn a_call_is_told_whether_why_and_where_the_bucket_stands() {
    let still = Still::start();
    still.put("acme", Some(quota(2, 10)), Vec::new());
    let client = still.client().await;
    let first = asked(&client, acquire(&[])).await;
    assert_eq!(
        first,
        v1::AcquireReply {
            allowed: true,
            reason: v1::LimitReason::Ok.into(),
            decided_by: Some(v1::Decider::default()),
            capacity: 10,
            remaining: 9,
            reset_after_ms: 500,
            rate: 2,
            period_ms: 1_000,
            ..v1::AcquireReply::default()
        }
    );
    assert!(asked(&client, acquire(&[("", "", 9)])).await.allowed);
    let denied = asked(&client, acquire(&[("", "", 3)])).await;
    assert_eq!(denied.reason(), v1::LimitReason::OverLimit);
    assert_eq!((denied.allowed, denied.retry_after_ms), (false, 1_500));
    let never = asked(&client, acquire(&[("", "", 11)])).await;
    assert_eq!(never.reason(), v1::LimitReason::Never);
    assert_eq!((never.allowed, never.retry_after_ms), (false, 0));
    still.clock.advance(Duration::from_millis(1_500));
    assert!(asked(&client, acquire(&[("", "", 3)])).await.allowed);
    let free = asked(&client, acquire(&[("", "", 0)])).await;
    assert_eq!((free.allowed, free.remaining), (true, 0));

    let stranger = v1::AcquireRequest {
        tenant: "stranger".to_owned(),
        ..v1::AcquireRequest::default()
    };
    let unlimited = asked(&client, stranger).await;
    assert_eq!((unlimited.allowed, unlimited.decided_by), (true, None));
}

#[tokio::test]
async fn levels_are_charged_all_or_none_and_the_tightest_decides() {
    let still = Still::start();
    let sms = named("sms", Some(quota(1, 4)), Some(quota(1, 3)));
    still.put("acme", Some(quota(1, 10)), vec![sms]);
    let client = still.client().await;
    let by = |reply: &v1::AcquireReply| {
        let by = reply.decided_by.clone().expect("it is limited");
        (by.limit, by.keyed)
    };
    let first = asked(&client, acquire(&[("sms", "u", 3)])).await;
    assert!(first.allowed);
    assert_eq!((by(&first), first.remaining), (("sms".to_owned(), true), 0));
    // The total has one left: another key is denied two, and spends nothing.
    let denied = asked(&client, acquire(&[("sms", "v", 2)])).await;
    assert_eq!(
        (denied.allowed, by(&denied)),
        (false, ("sms".to_owned(), false))
    );
    assert_eq!(remaining(&client).await, 7);
    let both = asked(&client, acquire(&[("sms", "v", 1), ("", "", 2)])).await;
    assert!(both.allowed);
    assert_eq!(remaining(&client).await, 5, "the largest of its costs");
}

#[tokio::test]
async fn a_tenant_that_is_not_served_is_told_so_in_a_reply() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 5)), Vec::new());
    let client = still.client().await;
    let limiter = still.pod.running.limiter();
    for (state, reason, again) in [
        (State::Suspended, v1::LimitReason::Suspended, 0),
        (State::Offboarded, v1::LimitReason::Suspended, 0),
        (State::Maintenance, v1::LimitReason::Unavailable, 1_000),
    ] {
        let set = limiter.directory().set_state(&id("acme"), state);
        set.expect("it may follow");
        let reply = asked(&client, acquire(&[])).await;
        assert_eq!((reply.allowed, reply.reason()), (false, reason), "{state}");
        assert_eq!(reply.retry_after_ms, again, "{state}");
    }
}

#[tokio::test]
async fn a_limit_that_is_not_enforced_admits_and_says_that_it_would_have_denied() {
    let still = Still::start();
    let shadow = NamedQuota {
        shadow: true,
        ..named("shadow", Some(quota(1, 1)), None)
    };
    let metered = NamedQuota {
        on_limit: OnLimit::Admit,
        ..named("metered", Some(quota(1, 1)), None)
    };
    still.put("acme", None, vec![shadow, metered]);
    let client = still.client().await;
    for limit in ["shadow", "metered"] {
        let would_deny = |reply: v1::AcquireReply| (reply.allowed, reply.would_deny);
        let call = || asked(&client, acquire(&[(limit, "", 1)]));
        assert_eq!(would_deny(call().await), (true, false), "{limit}");
        assert_eq!(would_deny(call().await), (true, true), "{limit}");
    }
    let page = metrics(&still.pod).await;
    assert!(page.contains("millpond_limit_would_deny_total 2"), "{page}");
    let allowed = "millpond_limit_decisions_total{verdict=\"allowed\"} 4";
    assert!(page.contains(allowed), "{page}");
    for of_tenant in [
        "calls_total{tenant=\"acme\",limit=\"shadow\",verdict=\"allowed\"} 2",
        "would_deny_total{tenant=\"acme\",limit=\"shadow\"} 1",
        "tokens_total{tenant=\"acme\",limit=\"metered\"} 2",
        "calls_total{tenant=\"acme\",limit=\"\",verdict=\"allowed\"} 4",
        "calls_total{tenant=\"other\",limit=\"other\",verdict=\"allowed\"} 0",
    ] {
        let sample = format!("millpond_limit_tenant_{of_tenant}");
        assert!(page.contains(&sample), "{sample} in {page}");
    }
}

pub(crate) async fn metrics(pod: &Pod) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let probe = pod.running.probe().expect("it answers probes");
    let mut stream = tokio::net::TcpStream::connect(probe)
        .await
        .expect("it accepts");
    let asked = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.expect("it reads");
    let mut page = String::new();
    timeout(LONG, stream.read_to_string(&mut page))
        .await
        .expect("it answers")
        .expect("it is text");
    page
}

#[tokio::test]
async fn an_unknown_limit_is_not_found_or_the_tenants_own_as_configured() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 5)), Vec::new());
    let client = still.client().await;
    let (code, message) = refused(&client, acquire(&[("sms", "", 1)])).await;
    assert_eq!(code, Code::NotFound);
    assert_eq!(message, "limit: the tenant has none named `sms`");

    let mut config = Config::on_free_ports();
    config.limits.unknown = UnknownLimits::Own;
    let still = Still::with(config);
    still.put("acme", Some(quota(1, 5)), Vec::new());
    let client = still.client().await;
    let reply = asked(&client, acquire(&[("sms", "u", 2)])).await;
    assert_eq!((reply.allowed, reply.remaining), (true, 3));
    assert_eq!(reply.decided_by, Some(v1::Decider::default()));
}

#[tokio::test]
async fn retries_of_one_call_at_once_charge_once() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 50)), Vec::new());
    let client = still.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let client = client.clone();
        let request = v1::AcquireRequest {
            request_id: Bytes::from_static(b"once"),
            ..acquire(&[("", "", 3)])
        };
        calls.spawn(async move { asked(&client, request).await });
    }
    while let Some(reply) = calls.join_next().await {
        let reply = reply.expect("it does not fail");
        assert_eq!((reply.allowed, reply.remaining), (true, 47));
    }
    assert_eq!(remaining(&client).await, 47);
    let figures = still.pod.running.limiter().figures();
    assert_eq!((figures.ledgers, figures.remembered), (1, 1));
}

#[tokio::test]
async fn callers_that_wait_are_answered_in_the_order_they_came() {
    let still = Still::start();
    // 50 ms a token; the clock stands still, so the turns are 50, 100, 150 ms off.
    still.put("acme", Some(quota(20, 1)), Vec::new());
    let client = still.client().await;
    assert!(asked(&client, acquire(&[])).await.allowed);
    let (said, mut order) = tokio::sync::mpsc::unbounded_channel();
    for nth in 1..=4_u64 {
        let (client, said) = (client.clone(), said.clone());
        let request = v1::AcquireRequest {
            max_wait_ms: 10_000,
            ..acquire(&[])
        };
        tokio::spawn(async move {
            let reply = asked(&client, request).await;
            let _told = said.send((nth, reply));
        });
        eventually("it is charged", || {
            let limiter = still.pod.running.limiter();
            let peek = limiter.peek("acme", &[own(1)]).expect("known");
            peek.retry_after == Duration::from_millis(50 * (nth + 1))
        })
        .await;
    }
    for nth in 1..=4 {
        let told = timeout(LONG, order.recv()).await.expect("its turn comes");
        let (which, reply) = told.expect("all are answered");
        assert_eq!((which, reply.allowed), (nth, true));
        assert_eq!(reply.waited_ms, 50 * nth);
    }
    eventually("nothing is held", || {
        still.pod.running.in_flight_bytes() == 0
    })
    .await;
}

fn own(cost: u64) -> millpond_core::limit::Charge<'static> {
    millpond_core::limit::Charge {
        limit: "",
        key: &[],
        cost,
    }
}

#[tokio::test]
async fn a_caller_that_leaves_before_its_turn_gives_back_unless_its_retry_waits_on() {
    let still = Still::start();
    let slow = Quota::new(1, MINUTE, 1).expect("valid");
    still.put("acme", Some(slow), Vec::new());
    let client = still.client().await;
    assert!(asked(&client, acquire(&[])).await.allowed);
    let limiter = still.pod.running.limiter();
    let away = || {
        let peek = limiter.peek("acme", &[own(1)]).expect("known");
        peek.retry_after
    };
    let wait = |request_id: &'static [u8]| {
        let client = client.clone();
        let request = v1::AcquireRequest {
            max_wait_ms: 60_000,
            request_id: Bytes::from_static(request_id),
            ..acquire(&[])
        };
        tokio::spawn(async move { asked(&client, request).await })
    };
    for request_id in [&b""[..], b"named"] {
        let waiting = wait(request_id);
        eventually("it is charged", || away() == 2 * MINUTE).await;
        waiting.abort();
        eventually("it is given back", || away() == MINUTE).await;
    }
    let (first, retry) = (wait(b"both"), wait(b"both"));
    let waits = || {
        let beside = still.pod.running.in_flight_calls();
        away() == 2 * MINUTE && beside == 2
    };
    eventually("both wait", waits).await;
    first.abort();
    eventually("one is gone", || still.pod.running.in_flight_calls() == 1).await;
    assert_eq!(away(), 2 * MINUTE);
    retry.abort();
    eventually("it is given back", || away() == MINUTE).await;
}

#[tokio::test]
async fn nobody_waits_longer_than_the_calls_deadline() {
    let still = Still::start();
    let slow = Quota::new(1, MINUTE, 1).expect("valid");
    still.put("acme", Some(slow), Vec::new());
    let client = still.client().await;
    assert!(asked(&client, acquire(&[])).await.allowed);
    let mut request = Request::new(v1::AcquireRequest {
        max_wait_ms: 60_000,
        ..acquire(&[])
    });
    request.set_timeout(Duration::from_secs(10));
    let reply = client.clone().acquire(request).await;
    let reply = reply.expect("it is answered at once").into_inner();
    assert_eq!(reply.reason(), v1::LimitReason::OverLimit);
    assert_eq!(reply.retry_after_ms, 60_000);
    assert_eq!(retry_after(&client).await, 60_000, "nothing was charged");
}
