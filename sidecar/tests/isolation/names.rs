//! Names that would be the same if they were put together carelessly.

use bytes::Bytes;
use millpond_proto::v1;
use tonic::Code;

use crate::state::{acquire, charge, put, tenant};
use crate::worlds::{Who, Worlds};

/// A's tenant and cache, and B's.
const PLACES: [[(&str, &str); 2]; 7] = [
    [("a", "b.c"), ("a.b", "c")],
    [("a", "b-c"), ("a-b", "c")],
    [("ab", "c"), ("a", "bc")],
    [("a.b", "c.d"), ("a.b.c", "d")],
    [("acme", "users"), ("Acme", "users")],
    [("acme", "users"), ("acme.", "users")],
    [("0", "00"), ("00", "0")],
];

/// Keys that hold names of tenants and caches, or the numbers they are told apart by.
fn keys() -> Vec<Bytes> {
    let mut keys: Vec<Bytes> = ["key", "a\0b.c\0key", "a/b.c/key", "a:b.c:key", "a.b.c.key"]
        .iter()
        .map(|key| Bytes::from_static(key.as_bytes()))
        .collect();
    for number in 0_u64..6 {
        keys.push([&number.to_le_bytes()[..], b"key"].concat().into());
        keys.push([&number.to_be_bytes()[..], b"key"].concat().into());
    }
    keys.push(Bytes::from_static(&[0; 8]));
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_names_come_to_the_same_place() {
    for [of_a, of_b] in PLACES {
        let worlds = Worlds::start().await;
        for ((tenant, cache), who) in [(of_a, Who::A), (of_b, Who::B)] {
            for key in keys() {
                let get = v1::GetRequest {
                    tenant: tenant.to_owned(),
                    cache: cache.to_owned(),
                    key: key.clone(),
                    load: v1::Load::Caller.into(),
                    wait_ms: Some(0),
                    ..v1::GetRequest::default()
                };
                let set = v1::SetRequest {
                    tenant: tenant.to_owned(),
                    cache: cache.to_owned(),
                    key,
                    value: Bytes::from(format!("{who:?}")),
                    tags: vec!["c:tag".to_owned(), "tag".to_owned()],
                    ..v1::SetRequest::default()
                };
                worlds.ask(who, get.clone()).await.ok();
                worlds.ask(who, set).await.ok();
                worlds.ask(who, get).await.ok();
            }
        }
        // Tags that look like the other's, the whole cache, and the tenant.
        let (tenant, cache) = of_b;
        for target in [
            v1::invalidate_request::Target::Tags(v1::Tags {
                tags: vec!["tag".to_owned(), format!("{}:tag", of_a.0)],
            }),
            v1::invalidate_request::Target::WholeCache(true),
        ] {
            let all = v1::InvalidateRequest {
                tenant: tenant.to_owned(),
                cache: cache.to_owned(),
                target: Some(target),
                ..v1::InvalidateRequest::default()
            };
            worlds.ask(Who::B, all).await.ok();
        }
        for key in keys() {
            let held = v1::GetRequest {
                tenant: of_a.0.to_owned(),
                cache: of_a.1.to_owned(),
                key,
                ..v1::GetRequest::default()
            };
            let held = worlds.ask(Who::A, held).await.ok();
            assert!(
                held.together.found.is_some(),
                "{of_a:?} lost it to {of_b:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_names_spend_from_the_same_bucket() {
    let worlds = Worlds::start().await;
    for (who, name, limit, key) in [
        (Who::A, "a", "b.c", "d"),
        (Who::B, "a.b", "c", "d"),
        (Who::B, "a.b", "c.d", ""),
        (Who::B, "ab", "c", "d"),
        (Who::B, "A", "b.c", "d"),
    ] {
        let mut asked = put(who);
        asked.tenant = name.to_owned();
        for setting in ["rate", "rate_per_key"] {
            let setting = format!("limits.{limit}.{setting}");
            asked.settings.insert(setting, "2/h".to_owned());
        }
        worlds.ask(who, asked).await.ok();
        for _ in 0..3 {
            let mut spent = acquire(who, vec![charge(limit, key, 1)]);
            spent.tenant = name.to_owned();
            spent.request_id = Bytes::new();
            worlds.ask(who, spent).await.ok();
        }
    }
}

/// What is refused says nothing of who else is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_none_is_refused_alike_whoever_is_there() {
    let worlds = Worlds::start().await;
    crate::state::seed(&worlds, Who::A).await;
    let long = "t".repeat(129);
    let names = ["", "*", "a/b", "tenant-a ", "tenant-a\0", "tenant-ä", &long];
    for name in names {
        let get = v1::GetRequest {
            tenant: name.to_owned(),
            ..crate::state::get(Who::B, "held")
        };
        let refused = worlds.ask(Who::B, get).await.refused();
        assert_eq!(refused.code, Code::InvalidArgument);
        let mut spent = acquire(Who::B, vec![charge("sms", "user", 1)]);
        spent.tenant = name.to_owned();
        let refused = worlds.ask(Who::B, spent).await.refused();
        assert!(!refused.said.contains("secret"), "{refused:?}");
    }
    // Limits of its own that it does not have, and A does.
    let spent = acquire(Who::B, vec![charge("sms", "user", 1)]);
    let refused = worlds.ask(Who::B, spent).await.refused();
    assert!(!refused.said.contains(&tenant(Who::A)), "{refused:?}");
}
