//! What calls over the wire come to in the counters.

use bytes::Bytes;
use millpond_proto::v1;
use millpond_sidecar::Config;

use crate::calls::{fill, sample, settle};
use crate::support::{Pod, eventually, get, read};

#[tokio::test]
async fn a_follower_s_wait_is_counted_as_a_wait_and_its_answer_as_loaded() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = read(&client, get("key")).await.lease;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, get("key")).await }
    });
    eventually("it waits", || pod.running.pond().totals().coalesced == 1).await;
    fill(&client, "key", lease).await;
    assert!(following.await.expect("it ends").found.is_some());
    assert!(read(&client, get("key")).await.found.is_some());

    for (name, value) in [
        ("millpond_cache_hits_total{source=\"loaded\"}", 1.0),
        ("millpond_cache_hits_total{source=\"l1\"}", 1.0),
        ("millpond_cache_hits_total{source=\"l2\"}", 0.0),
        ("millpond_cache_load_duration_seconds_count", 1.0),
        (
            "millpond_rpc_duration_seconds_count{method=\"Get\",phase=\"total\"}",
            3.0,
        ),
        (
            "millpond_rpc_duration_seconds_count{method=\"Get\",phase=\"wait\"}",
            1.0,
        ),
        (
            "millpond_rpc_duration_seconds_count{method=\"Fill\",phase=\"total\"}",
            1.0,
        ),
        ("millpond_stage{stage=\"serving\"}", 1.0),
    ] {
        assert_eq!(sample(&pod, name).await, Some(value), "{name}");
    }
    let sum = async |what: &str| {
        let name = format!("millpond_rpc_duration_seconds_sum{{method=\"Get\",phase=\"{what}\"}}");
        sample(&pod, &name).await.expect("it is there")
    };
    let (total, wait) = (sum("total").await, sum("wait").await);
    assert!(0.0 < wait && wait < total, "{wait} of {total}");
}

#[tokio::test]
async fn a_bulk_read_that_waits_for_several_keys_waited_once() {
    let pod = Pod::start();
    let client = pod.client().await;
    let first = read(&client, get("first")).await.lease;
    let second = read(&client, get("second")).await.lease;
    let bulk = v1::GetManyRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        keys: ["first", "second"]
            .map(|key| v1::KeyRequest {
                key: Bytes::from_static(key.as_bytes()),
                ..v1::KeyRequest::default()
            })
            .into(),
        load: v1::Load::Caller.into(),
        ..v1::GetManyRequest::default()
    };
    let following = tokio::spawn({
        let mut client = client.clone();
        async move { client.get_many(bulk).await }
    });
    eventually("it waits", || pod.running.pond().totals().coalesced == 2).await;
    fill(&client, "first", first).await;
    fill(&client, "second", second).await;
    following.await.expect("it ends").expect("it is answered");
    for (name, value) in [
        ("millpond_cache_hits_total{source=\"loaded\"}", 2.0),
        (
            "millpond_rpc_duration_seconds_count{method=\"GetMany\",phase=\"wait\"}",
            1.0,
        ),
    ] {
        assert_eq!(sample(&pod, name).await, Some(value), "{name}");
    }
}

#[tokio::test]
async fn stale_answers_are_counted_by_their_reason() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = read(&client, get("key")).await.lease;
    fill(&client, "key", lease).await;
    let soft = v1::InvalidateRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        target: Some(v1::invalidate_request::Target::WholeCache(true)),
        soft: true,
        ..v1::InvalidateRequest::default()
    };
    client.clone().invalidate(soft).await.expect("it is done");
    let stale = read(&client, get("key")).await;
    assert!(stale.stale);
    let failed = v1::fill::Settlement::Failed(v1::Failed {
        error: "down".to_owned(),
        retry_after_ms: 60_000,
    });
    let failed = settle("key", stale.lease, failed);
    client.clone().fill(failed).await.expect("it is noted");
    assert!(read(&client, get("key")).await.stale);
    for (name, value) in [
        (
            "millpond_cache_stale_reads_total{reason=\"revalidating\"}",
            1.0,
        ),
        (
            "millpond_cache_stale_reads_total{reason=\"load_failed\"}",
            1.0,
        ),
        (
            "millpond_cache_stale_reads_total{reason=\"breaker_open\"}",
            0.0,
        ),
        ("millpond_cache_hits_total{source=\"l1\"}", 0.0),
    ] {
        assert_eq!(sample(&pod, name).await, Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_connection_too_many_is_counted() {
    let pod = Pod::with(Config {
        max_connections: 1,
        ..Config::on_free_ports()
    });
    let _only = pod.client().await;
    eventually("it is open", || pod.running.connections() == 1).await;
    let address = pod.running.tcp().expect("it listens on TCP");
    let mut second = tokio::net::TcpStream::connect(address)
        .await
        .expect("the kernel takes it");
    let mut nothing = Vec::new();
    // Closed at once: nothing, or a reset.
    let read = tokio::io::AsyncReadExt::read_to_end(&mut second, &mut nothing).await;
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(
        sample(&pod, "millpond_connections_refused_total").await,
        Some(1.0)
    );
    assert_eq!(sample(&pod, "millpond_connections_limit").await, Some(1.0));
}
