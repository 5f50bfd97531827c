//! `Explain`: what is told of a key, in numbers and in words.

use millpond_proto::v1;
use millpond_proto::v1::invalidate_request::Target;
use tonic::Code;

use crate::support::{Pod, fill, fill_outcome, invalidate, lead, read, settle};
use crate::{Operator, operator, support};

fn of(key: &'static str) -> v1::ExplainRequest {
    v1::ExplainRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: key.into(),
        limit: None,
    }
}

async fn explain(operator: &mut Operator, key: &'static str) -> v1::ExplainReply {
    let reply = operator.explain(of(key)).await;
    reply.expect("it is well formed").into_inner()
}

fn happened(reply: &v1::ExplainReply) -> Vec<&str> {
    reply.events.iter().map(|event| &*event.what).collect()
}

#[tokio::test]
async fn a_key_is_followed_from_its_lease_to_its_invalidation() {
    let pod = Pod::start();
    let (client, mut operator) = (pod.client().await, operator(&pod).await);

    let nobody = explain(&mut operator, "key").await;
    assert!(
        nobody
            .verdict
            .starts_with("not held: nobody has used this cache")
    );
    assert!(nobody.cache.is_none() && nobody.events.is_empty());
    assert_eq!(pod.running.pond().gauges().caches, 0);

    let lease = lead(&client, "key").await;
    let loading = explain(&mut operator, "key").await;
    assert!(loading.verdict.starts_with("not held: loading since"));
    let flight = loading.flight.as_ref().expect("it is loaded");
    assert_eq!((flight.loads, flight.waiters, flight.void), (1, 0, false));
    assert!(flight.exclusive_for_ms > 5_000 && !flight.refresh);
    assert_eq!(happened(&loading), ["leased"]);

    fill_outcome(&client, fill("key", lease, "value")).await;
    let held = explain(&mut operator, "key").await;
    assert!(held.verdict.starts_with("answered: fresh for another"));
    let entry = held.entry.as_ref().expect("it is held");
    assert_eq!((&*entry.state, entry.value_bytes), ("fresh", 5));
    assert!(entry.counted_bytes > 5 && entry.fresh_for_ms > 20_000 && !entry.absent);
    let version = read(&client, support::held("key")).await.version;
    assert_eq!(entry.version, version);
    assert!(held.flight.is_none());
    assert_eq!(happened(&held), ["stored", "leased"]);
    let cache = held.cache.as_ref().expect("it is in use");
    assert_eq!((&*cache.name, cache.tenants), ("users", 1));

    let whole = invalidate(Target::WholeCache(true));
    client.clone().invalidate(whole).await.expect("it is done");
    let gone = explain(&mut operator, "key").await;
    assert_eq!(
        gone.verdict,
        "not answered: its cache was invalidated; the next read loads"
    );
    assert_eq!(gone.entry.as_ref().expect("not swept").state, "invalidated");
    assert_eq!(happened(&gone), ["cache_invalidated", "stored", "leased"]);

    let lease = lead(&client, "other").await;
    let keys = Target::Keys(v1::Keys {
        keys: vec!["other".into()],
    });
    client
        .clone()
        .invalidate(invalidate(keys))
        .await
        .expect("it is done");
    fill_outcome(&client, fill("other", lease, "late")).await;
    let late = explain(&mut operator, "other").await;
    assert!(late.verdict.contains("last it was superseded"));
    assert!(late.verdict.contains("the key was invalidated"));
    assert_eq!(happened(&late)[..2], ["superseded", "invalidated"]);
    // The load that failed is told with what it came to, and never with its words.
    let lease = lead(&client, "failing").await;
    let failure = v1::fill::Settlement::Failed(v1::Failed {
        error: "password=secret".to_owned(),
        ..v1::Failed::default()
    });
    fill_outcome(&client, settle("failing", lease, failure)).await;
    let failed = explain(&mut operator, "failing").await;
    assert_eq!(happened(&failed), ["failed", "leased", "cache_invalidated"]);
    assert!(!format!("{failed:?}").contains("secret"));
}

#[tokio::test]
async fn explaining_changes_nothing() {
    let pod = Pod::start();
    let (client, mut operator) = (pod.client().await, operator(&pod).await);
    lead(&client, "key").await;
    let pond = pod.running.pond();
    let before = (pond.totals(), pond.gauges());
    for key in ["key", "unknown"] {
        explain(&mut operator, key).await;
    }
    let elsewhere = v1::ExplainRequest {
        tenant: "unknown".to_owned(),
        ..of("key")
    };
    operator.explain(elsewhere).await.expect("it answers");
    assert_eq!((pond.totals(), pond.gauges()), before);
}

#[tokio::test]
async fn a_name_or_a_key_out_of_form_is_named() {
    let pod = Pod::start();
    let mut operator = operator(&pod).await;
    for (request, message) in [
        (
            v1::ExplainRequest {
                tenant: String::new(),
                ..of("key")
            },
            "tenant: is empty, needs at least 1 byte",
        ),
        (
            v1::ExplainRequest {
                cache: "Users".to_owned(),
                ..of("key")
            },
            "cache: byte 0 is outside [a-z0-9._-]",
        ),
        (of(""), "key: is empty, needs at least 1 byte"),
    ] {
        let refused = operator.explain(request).await.expect_err("out of form");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), message);
    }
}
