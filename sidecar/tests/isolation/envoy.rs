//! Envoy's service: what B's requests through a proxy come to while A has spent.

use millpond_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use millpond_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use millpond_proto::envoy::service::ratelimit::v3::RateLimitRequest;

use crate::state::{Seeded, tenant};
use crate::worlds::{Who, Worlds};

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

/// Of the tenant's own rule, and of the one below it.
pub(crate) fn hits(who: Who, hits: u32) -> RateLimitRequest {
    let own = tenant(who);
    RateLimitRequest {
        domain: "edge".to_owned(),
        descriptors: vec![
            descriptor(&[("tenant", &own)]),
            descriptor(&[("tenant", &own), ("path", "/same")]),
        ],
        hits_addend: hits,
    }
}

pub(crate) async fn should_rate_limit(worlds: &Worlds, _: &Seeded) {
    // Each to its limit and past it, in turns.
    for spent in [1, 2, 3, 1] {
        worlds.ask(Who::B, hits(Who::B, spent)).await.ok();
        worlds.ask(Who::A, hits(Who::A, 1)).await.ok();
    }
    // Names that run into each other when they are joined by the wrong mark.
    for value in ["tenant-a/path", "tenant-b", "path=/same", "tenant-a"] {
        let request = RateLimitRequest {
            descriptors: vec![descriptor(&[("tenant", &tenant(Who::B)), ("path", value)])],
            ..hits(Who::B, 1)
        };
        worlds.ask(Who::B, request).await.ok();
    }
    let unmatched = RateLimitRequest {
        descriptors: vec![descriptor(&[("path", "/same")])],
        ..hits(Who::B, 1)
    };
    worlds.ask(Who::B, unmatched).await.ok();
    worlds.ask(Who::A, hits(Who::A, 1)).await.ok();
}
