//! Many at once.

use millpond_proto::v1;
use tokio::task::JoinSet;

use crate::process::Process;
use crate::support::{Client, Pod, get, held, set, value};

const CALLS: usize = 10_000;

async fn at_once(client: &Client, request: impl Fn() -> v1::GetRequest) -> JoinSet<v1::GetReply> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let (mut client, request) = (client.clone(), request());
        calls.spawn(async move { client.get(request).await.expect("it succeeds").into_inner() });
    }
    calls
}

#[tokio::test]
async fn ten_thousand_calls_at_once_on_one_connection_succeed() {
    let pod = Pod::start();
    let client = pod.client().await;
    client
        .clone()
        .set(set("key", "value"))
        .await
        .expect("it is set");
    let mut calls = at_once(&client, || held("key")).await;
    while let Some(reply) = calls.join_next().await {
        assert_eq!(value(&reply.expect("no call fails")), Some(&b"value"[..]));
    }
}

#[tokio::test]
async fn ten_thousand_calls_on_one_connection_can_wait_at_once() {
    let pod = Pod::start();
    let client = pod.client().await;
    let mut calls = at_once(&client, || get("key")).await;
    pod.until_coalesced(CALLS as u64 - 1).await;
    let leader = calls
        .join_next()
        .await
        .expect("one leads")
        .expect("it does not fail");
    let lease = leader.lease.expect("the first to be answered leads");
    let filled = client
        .clone()
        .fill(crate::support::fill("key", lease, "value"))
        .await;
    filled.expect("it is well formed");
    let mut answered = 0;
    while let Some(reply) = calls.join_next().await {
        assert_eq!(value(&reply.expect("no call fails")), Some(&b"value"[..]));
        answered += 1;
    }
    assert_eq!(answered, CALLS - 1);
}

#[tokio::test]
async fn a_stored_value_costs_its_own_bytes_and_not_its_message() {
    // The smallest message is decoded in a buffer of 8 KiB: 32 MiB of them here.
    const VALUES: usize = 4_000;
    const ALLOWED: u64 = 12 << 20;
    let process = Process::start(&[]);
    let mut client = process.client().await;
    let store = |at: usize| v1::SetRequest {
        key: format!("key {at}").into(),
        ..set("", "value")
    };
    client.set(store(0)).await.expect("it is set");
    let before = process.resident();
    for at in 0..VALUES {
        client.set(store(at)).await.expect("it is set");
    }
    let grown = process.resident().saturating_sub(before);
    assert!(grown < ALLOWED, "{grown} bytes for {VALUES} values");
}
