//! The rate limit service that Envoy asks.

use std::time::Duration;

use millpond_core::limit::Quota;
use millpond_core::limit::rules::{Domain, Limit, Rule, Terms};
use millpond_core::tenant::{State, TenantId};
use millpond_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use millpond_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{
    Entry, RateLimitOverride,
};
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_response::{Code, RateLimit};
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use millpond_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use millpond_proto::envoy::r#type::v3::RateLimitUnit;
use millpond_sidecar::Config;
use tonic::transport::Channel;
use tonic::{Code as StatusCode, Status};

use crate::support::Pod;

fn rule(key: &str, value: Option<&str>, amount: u64, rules: Vec<Rule>) -> Rule {
    let quota = Quota::new(amount, Duration::from_secs(3_600), amount).expect("valid");
    Rule {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        shared: false,
        limit: Some(Limit {
            name: None,
            terms: Terms::Quota(quota),
            shadow: false,
            overdraw: false,
        }),
        rules,
    }
}

/// `tenant` has 5 an hour, each `path` below it 2.
fn pod() -> Pod {
    let rules = vec![rule("tenant", None, 5, vec![rule("path", None, 2, vec![])])];
    Pod::with(Config {
        descriptors: vec![Domain {
            name: "edge".to_owned(),
            tenant_key: "tenant".to_owned(),
            tenant: None,
            rules,
        }],
        ..Config::on_free_ports()
    })
}

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entries = entries.iter().map(|(key, value)| Entry {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    });
    RateLimitDescriptor {
        entries: entries.collect(),
        ..RateLimitDescriptor::default()
    }
}

struct Asking(RateLimitServiceClient<Channel>);

impl Asking {
    async fn at(pod: &Pod) -> Self {
        Self(RateLimitServiceClient::new(pod.channel().await))
    }

    async fn ask(&mut self, request: RateLimitRequest) -> Result<RateLimitResponse, Status> {
        Ok(self.0.should_rate_limit(request).await?.into_inner())
    }

    async fn of(&mut self, descriptors: &[RateLimitDescriptor]) -> RateLimitResponse {
        let request = RateLimitRequest {
            domain: "edge".to_owned(),
            descriptors: descriptors.to_vec(),
            hits_addend: 0,
        };
        self.ask(request).await.expect("answered")
    }
}

fn codes(response: &RateLimitResponse) -> Vec<Code> {
    response
        .statuses
        .iter()
        .map(|status| status.code())
        .collect()
}

fn left(response: &RateLimitResponse) -> Vec<u32> {
    response
        .statuses
        .iter()
        .map(|status| status.limit_remaining)
        .collect()
}

fn header<'a>(response: &'a RateLimitResponse, name: &str) -> Option<&'a str> {
    let header = response
        .response_headers_to_add
        .iter()
        .find(|header| header.key == name);
    header.map(|header| &*header.value)
}

#[tokio::test]
async fn each_descriptor_has_its_status_and_a_refusal_spends_nothing() {
    let pod = pod();
    let mut asking = Asking::at(&pod).await;
    let all = [
        descriptor(&[("tenant", "acme")]),
        descriptor(&[("nobody", "knows")]),
        descriptor(&[("tenant", "acme"), ("path", "/a")]),
    ];
    for expected in [[4, 0, 1], [3, 0, 0]] {
        let response = asking.of(&all).await;
        assert_eq!(response.overall_code(), Code::Ok);
        assert_eq!(codes(&response), [Code::Ok; 3]);
        assert_eq!(left(&response), expected);
        assert_eq!(response.statuses[1].current_limit, None);
    }
    let refused = asking.of(&all).await;
    assert_eq!(refused.overall_code(), Code::OverLimit);
    assert_eq!(codes(&refused), [Code::Ok, Code::Ok, Code::OverLimit]);
    assert_eq!(left(&refused), [3, 0, 0]);
    assert_eq!(
        refused.statuses[2].current_limit,
        Some(RateLimit {
            requests_per_unit: 2,
            unit: Unit::Hour.into(),
            name: "edge.tenant.path".to_owned(),
            unit_multiplier: None,
        })
    );
    let policy = header(&refused, "RateLimit-Policy");
    assert_eq!(policy, Some("\"edge.tenant.path\";q=2;w=3600"));
    let after: u64 = header(&refused, "Retry-After").unwrap().parse().unwrap();
    // The clock's step is added.
    assert!((1..=1_801).contains(&after), "{after}");
    let expected = format!("\"edge.tenant.path\";r=0;t={after}");
    assert_eq!(header(&refused, "RateLimit"), Some(&*expected));
    let other = asking.of(&[descriptor(&[("tenant", "umbrella")])]).await;
    assert_eq!(left(&other), [4]);
}

#[tokio::test]
async fn costs_are_the_descriptors_own_else_the_requests() {
    let pod = pod();
    let mut asking = Asking::at(&pod).await;
    let tenant = descriptor(&[("tenant", "acme")]);
    let check = RateLimitDescriptor {
        hits_addend: Some(0),
        ..tenant.clone()
    };
    let request = RateLimitRequest {
        domain: "edge".to_owned(),
        descriptors: vec![
            tenant.clone(),
            descriptor(&[("tenant", "acme"), ("path", "/")]),
        ],
        hits_addend: 2,
    };
    assert_eq!(left(&asking.ask(request).await.unwrap()), [3, 0]);
    assert_eq!(left(&asking.of(std::slice::from_ref(&check)).await), [3]);
    let back = RateLimitDescriptor {
        hits_addend: Some(2),
        is_negative_hits: true,
        ..tenant.clone()
    };
    assert_eq!(left(&asking.of(&[back]).await), [3], "nothing comes back");
    let four = RateLimitDescriptor {
        hits_addend: Some(4),
        ..tenant.clone()
    };
    assert_eq!(codes(&asking.of(&[four]).await), [Code::OverLimit]);
    let six = RateLimitDescriptor {
        hits_addend: Some(6),
        ..tenant.clone()
    };
    let never = asking.of(&[six]).await;
    assert_eq!(header(&never, "Retry-After"), None);
    assert_eq!(header(&never, "X-Millpond-Reason"), Some("cost"));
    for _ in 0..3 {
        assert_eq!(
            codes(&asking.of(std::slice::from_ref(&tenant)).await),
            [Code::Ok]
        );
    }
    assert_eq!(codes(&asking.of(&[check]).await), [Code::OverLimit]);
}

#[tokio::test]
async fn a_limit_that_comes_along_holds_instead_of_the_rules() {
    let pod = pod();
    let mut asking = Asking::at(&pod).await;
    let over = |requests_per_unit| RateLimitOverride {
        requests_per_unit,
        unit: RateLimitUnit::Day.into(),
        unit_multiplier: Some(2),
    };
    let with = |entries: &[(&str, &str)], requests| RateLimitDescriptor {
        limit: Some(over(requests)),
        ..descriptor(entries)
    };
    let own = with(&[("tenant", "acme")], 7);
    let response = asking.of(std::slice::from_ref(&own)).await;
    assert_eq!(left(&response), [6]);
    let limit = response.statuses[0].current_limit.as_ref().unwrap();
    assert_eq!((limit.requests_per_unit, limit.unit()), (7, Unit::Day));
    assert_eq!(limit.unit_multiplier, Some(2));
    assert_eq!(
        left(&asking.of(&[descriptor(&[("tenant", "acme")])]).await),
        [4]
    );
    assert_eq!(left(&asking.of(&[own]).await), [5]);
    assert_eq!(
        left(&asking.of(&[with(&[("tenant", "acme")], 9)]).await),
        [8]
    );
    // It need not match, but it must be somebody's.
    assert_eq!(
        left(
            &asking
                .of(&[with(&[("a", "1"), ("tenant", "acme")], 7)])
                .await
        ),
        [6]
    );
    let blocked = asking.of(&[with(&[("tenant", "acme")], 0)]).await;
    assert_eq!(header(&blocked, "X-Millpond-Reason"), Some("blocked"));
    let nobodys = RateLimitRequest {
        domain: "edge".to_owned(),
        descriptors: vec![with(&[("a", "1")], 7)],
        hits_addend: 0,
    };
    let refused = asking.ask(nobodys).await.unwrap_err();
    assert_eq!(refused.code(), StatusCode::InvalidArgument);
}

#[tokio::test]
async fn who_is_not_served_is_over_the_limit_with_the_reason() {
    let pod = pod();
    let mut asking = Asking::at(&pod).await;
    let directory = pod.running.limiter().directory();
    for (tenant, state, after) in [
        ("gone", State::Suspended, None),
        ("away", State::Maintenance, Some("1")),
    ] {
        let id = TenantId::parse(tenant).unwrap();
        let tier = millpond_core::tenant::TierName::parse("pro").unwrap();
        let declared = millpond_core::tenant::Declaration::of(tier);
        directory.put(&id, &declared).unwrap();
        directory.set_state(&id, state).unwrap();
        let refused = asking.of(&[descriptor(&[("tenant", tenant)])]).await;
        assert_eq!(refused.overall_code(), Code::OverLimit);
        assert_eq!(header(&refused, "X-Millpond-Reason"), Some(state.as_str()));
        assert_eq!(header(&refused, "Retry-After"), after);
    }
    let refused = asking.of(&[descriptor(&[("tenant", "no name")])]).await;
    assert_eq!(
        header(&refused, "X-Millpond-Reason"),
        Some("unknown_tenant")
    );
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_an_unknown_domain_is_not() {
    let pod = pod();
    let mut asking = Asking::at(&pod).await;
    let tenant = descriptor(&[("tenant", "acme")]);
    let request = |domain: &str, descriptors: Vec<RateLimitDescriptor>| RateLimitRequest {
        domain: domain.to_owned(),
        descriptors,
        hits_addend: 0,
    };
    for wrong in [
        request("", vec![tenant.clone()]),
        request("edge", vec![]),
        request("edge", vec![tenant.clone(); 65]),
        request("edge", vec![descriptor(&[])]),
        request("edge", vec![descriptor(&[("a", "b"); 33])]),
        request("edge", vec![RateLimitDescriptor::default(); 5_000]),
    ] {
        let refused = asking.ask(wrong).await.unwrap_err();
        assert_eq!(refused.code(), StatusCode::InvalidArgument, "{refused}");
    }
    let other = asking.ask(request("other", vec![tenant])).await.unwrap();
    assert_eq!(other.overall_code(), Code::Ok);
    assert_eq!(codes(&other), [Code::Ok]);
}
