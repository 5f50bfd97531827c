//! Stats and hot keys.

use millpond_proto::v1;
use serde_json::Value;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Pod, fill, fill_outcome, get, get_many, held, lead, read, set};
use crate::{curl, operator};

#[tokio::test]
async fn stats_tell_what_was_done_over_both_protocols() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    fill_outcome(&client, fill("key", lease, "value")).await;
    read(&client, get("key")).await;
    read(&client, held("other")).await;
    let mut bad = get("key");
    bad.tenant.clear();
    client.clone().get(bad).await.expect_err("it is refused");
    lead(&client, "unsettled").await;

    let stats = operator(&pod).await.stats(v1::StatsRequest {}).await;
    let stats = stats.expect("it answers").into_inner();
    assert_eq!(stats.scope(), v1::Scope::Pod);
    assert_eq!(stats.program, env!("CARGO_PKG_VERSION"));
    assert_eq!(stats.boot, pod.running.pond().boot().to_bits());
    assert_eq!(stats.stage, "serving");
    let cache = stats.cache.clone().expect("always told");
    assert_eq!((cache.hits, cache.misses, cache.leads), (1, 3, 2));
    assert_eq!((cache.stored, stats.loads_unsettled), (1, 1));
    assert_eq!(cache.stale_by_reason.values().sum::<u64>(), cache.stale);
    let memory = stats.memory.expect("always told");
    assert_eq!(memory.entries, 1);
    assert!(memory.entry_bytes > 5 && memory.entry_bytes < memory.budget_bytes);
    assert!(memory.resident_bytes > 1 << 20);
    assert_eq!(memory.in_flight_budget_bytes, Some(64 << 20));
    let get = stats.methods.iter().find(|of| of.method == "Get");
    let get = get.expect("every method is listed");
    assert_eq!((get.calls, get.by_code["INVALID_ARGUMENT"]), (5, 1));
    assert_eq!((stats.connections, stats.tenant_caches), (1, 1));
    let users = &stats.caches[0];
    assert_eq!((&*users.name, users.declared), ("users", false));
    assert_eq!((users.mode(), users.tenants), (v1::Mode::On, 1));
    assert_eq!((users.fresh_ms, users.stale_ms), (30_000, 0));
    assert_eq!(stats.changes[0].kind, "start");
    let config = stats.config.expect("always told");
    assert!(config.file.is_empty() && config.refused.is_empty());

    let json = curl(&pod, "GET /stats.json", &[]).await;
    let json: Value = serde_json::from_str(&json.body).expect("JSON");
    assert_eq!(json["scope"], "pod");
    assert_eq!(json["boot"], format!("{:016x}", stats.boot));
    assert_eq!(json["cache"]["misses"], 3);
    assert_eq!(json["memory"]["entries"], 1);
    assert_eq!(json["memory"]["in_flight_bytes"], 0);
    assert_eq!(json["caches"][0]["mode"], "on");
    assert_eq!(json["caches"][0]["mode_ends_in_ms"], Value::Null);
    assert_eq!(json["methods"][1]["method"], "Get");
}

#[tokio::test]
async fn hot_keys_are_told_by_hash_and_the_hash_finds_the_key() {
    let pod = Pod::start();
    let client = pod.client().await;
    let mut client = client.clone();
    client.set(set("hot", "value")).await.expect("it is stored");
    let keys = ["hot"; 500];
    for _ in 0..20 {
        let reply = client.get_many(get_many(&keys)).await;
        assert_eq!(reply.expect("it answers").into_inner().entries.len(), 500);
    }
    let mut operator = operator(&pod).await;
    let hot = operator.hot_keys(v1::HotKeysRequest { limit: 0 }).await;
    let hot = hot.expect("it answers").into_inner().keys;
    assert_eq!(hot.len(), 1);
    assert_eq!((&*hot[0].tenant, &*hot[0].cache), ("acme", "users"));
    // About 156 looks of 64 reads; half and twice are far beyond chance.
    assert!((5_000..20_000).contains(&hot[0].reads), "{}", hot[0].reads);
    let asked = v1::ExplainRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: "hot".into(),
        limit: None,
    };
    let explained = operator.explain(asked).await.expect("it answers");
    assert_eq!(explained.into_inner().key_hash, hot[0].key_hash);

    let many = v1::HotKeysRequest { limit: 101 };
    let refused = operator.hot_keys(many).await.expect_err("too many");
    assert_eq!(refused.message(), "limit: 101, limit 100");
}

#[tokio::test]
async fn health_and_reflection_answer_beside_it() {
    let pod = Pod::start();
    let endpoint = format!("http://{}", crate::admin(&pod));
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("a URI");
    let channel = endpoint.connect().await.expect("it accepts");
    let mut health = HealthClient::new(channel.clone());
    let status = health.check(HealthCheckRequest::default()).await;
    assert_eq!(status.expect("it is served").into_inner().status, 1);

    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let asked = tonic_reflection::pb::v1::ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let replies = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(asked))
        .await;
    let reply = replies.expect("it is served").into_inner().message().await;
    let reply = format!("{:?}", reply.expect("it answers"));
    assert!(reply.contains("millpond.v1.AdminService"), "{reply}");
}
