//! One loader a key, whatever becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_proto::v1;
use millpond_proto::v1::fill_outcome::Outcome;
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::raw::{Peer, framed};
use crate::support::{
    LONG, Pod, fill, fill_outcome, get, give_up, held, invalidate, lead, read, settle, value,
};

#[tokio::test]
async fn a_lease_of_another_boot_is_superseded() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let other = v1::Lease {
        boot: lease.boot ^ 1,
        ..lease
    };
    let outcome = fill_outcome(&client, fill("key", other, "theirs")).await;
    assert_eq!(outcome, Outcome::Superseded);
    assert_eq!(
        read(&client, held("key")).await.reason(),
        v1::Reason::NotHeld
    );
    assert_eq!(
        fill_outcome(&client, fill("key", lease, "ours")).await,
        Outcome::Stored
    );
}

#[tokio::test]
async fn an_unknown_lease_is_superseded() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    for token in [0, lease.token + 1, u64::MAX] {
        let unknown = v1::Lease { token, ..lease };
        let outcome = fill_outcome(&client, fill("key", unknown, "no")).await;
        assert_eq!(outcome, Outcome::Superseded);
    }
}

#[tokio::test]
async fn a_fill_from_before_an_invalidation_is_superseded() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let whole = invalidate(v1::invalidate_request::Target::WholeCache(true));
    client
        .clone()
        .invalidate(whole)
        .await
        .expect("it is well formed");
    assert_eq!(
        fill_outcome(&client, fill("key", lease, "old")).await,
        Outcome::Superseded
    );
    assert!(read(&client, held("key")).await.found.is_none());
}

#[tokio::test]
async fn a_thousand_callers_over_twenty_connections_make_one_load() {
    const CONNECTIONS: usize = 20;
    const CALLERS: usize = 1_000;
    let pod = Pod::start();
    let leads = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = pod.client().await;
        for _ in 0..CALLERS / CONNECTIONS {
            let (client, leads) = (client.clone(), Arc::clone(&leads));
            callers.spawn(async move {
                let reply = read(&client, get("cold")).await;
                if let Some(lease) = reply.lease {
                    leads.fetch_add(1, Ordering::Relaxed);
                    let outcome = fill_outcome(&client, fill("cold", lease, "value")).await;
                    assert_eq!(outcome, Outcome::Stored);
                    return;
                }
                assert_eq!(value(&reply), Some(&b"value"[..]));
            });
        }
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no caller fails");
    }
    assert_eq!(leads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_follower_gets_the_error_of_its_leader() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, get("key")).await }
    });
    pod.until_coalesced(1).await;
    let failed = v1::Failed {
        error: "no route".to_owned(),
        retry_after_ms: 1_500,
    };
    let failing = settle("key", lease, v1::fill::Settlement::Failed(failed));
    assert_eq!(fill_outcome(&client, failing).await, Outcome::Unspecified);
    let reply = following.await.expect("it ends");
    assert_eq!(reply.reason(), v1::Reason::LoadFailed);
    assert_eq!(
        (reply.load_error.as_str(), reply.retry_after_ms),
        ("no route", 1_500)
    );
    assert!(reply.found.is_none() && reply.lease.is_none());
}

#[tokio::test]
async fn a_cancelled_call_is_passed_over_when_its_leader_gives_up() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let follow = || {
        let client = client.clone();
        tokio::spawn(async move { read(&client, get("key")).await })
    };
    let first = follow();
    pod.until_coalesced(1).await;
    let second = follow();
    pod.until_coalesced(2).await;

    first.abort();
    let metrics = || pod.probed("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let cancelled = "millpond_rpc_requests_total{method=\"Get\",code=\"CANCELLED\"} 1";
    let mut asked = 0;
    while !metrics().await.contains(cancelled) {
        asked += 1;
        assert!(asked < 2_000, "the sidecar hears of the cancellation");
    }
    assert_eq!(
        fill_outcome(&client, give_up("key", lease)).await,
        Outcome::Unspecified
    );
    let promoted = timeout(Duration::from_secs(2), second).await;
    let promoted = promoted
        .expect("at once, not when a lease ends")
        .expect("it ends");
    assert!(
        promoted
            .lease
            .is_some_and(|second| second.token > lease.token)
    );
}

#[tokio::test]
async fn a_leader_that_never_settles_is_followed_by_another_when_its_lease_ends() {
    let pod = Pod::start();
    let client = pod.client().await;
    let short = v1::GetRequest {
        lease_ms: Some(150),
        ..get("key")
    };
    let began = Instant::now();
    let dead = read(&client, short).await.lease.expect("nobody leads yet");
    assert!(dead.expires_in_ms <= 150);
    let second = timeout(LONG, read(&client, get("key"))).await;
    let second = second.expect("it ends").lease.expect("it leads now");
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert!(second.token > dead.token);
    // Its value still counts: exclusivity ended, not validity.
    assert_eq!(
        fill_outcome(&client, fill("key", dead, "late")).await,
        Outcome::Stored
    );
    assert_eq!(
        fill_outcome(&client, fill("key", second, "later")).await,
        Outcome::Stored
    );
    assert_eq!(
        value(&read(&client, held("key")).await),
        Some(&b"later"[..])
    );
}

#[tokio::test]
async fn a_renewed_lease_keeps_others_waiting_and_a_void_one_is_not_renewed() {
    let pod = Pod::start();
    let client = pod.client().await;
    let short = v1::GetRequest {
        lease_ms: Some(2_000),
        ..get("key")
    };
    let lease = read(&client, short).await.lease.expect("nobody leads yet");
    let renew = |lease| v1::RenewRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: "key".into(),
        lease: Some(lease),
        lease_ms: Some(30_000),
    };
    let renewed = client
        .clone()
        .renew(renew(lease))
        .await
        .expect("it is well formed");
    let renewed = renewed.into_inner().lease.expect("it still leads");
    assert_eq!((renewed.boot, renewed.token), (lease.boot, lease.token));
    assert!(renewed.expires_in_ms > 20_000);
    let impatient = v1::GetRequest {
        wait_ms: Some(0),
        ..get("key")
    };
    assert_eq!(
        read(&client, impatient).await.reason(),
        v1::Reason::WaitExpired
    );

    assert_eq!(
        fill_outcome(&client, give_up("key", renewed)).await,
        Outcome::Unspecified
    );
    let void = client
        .clone()
        .renew(renew(lease))
        .await
        .expect("it is well formed");
    assert!(void.into_inner().lease.is_none());
}

#[tokio::test]
async fn the_deadline_of_the_call_bounds_the_wait_and_the_sidecar_answers_it() {
    let pod = Pod::start();
    lead(&pod.client().await, "key").await;
    // Its own deadline is not kept by the caller: how late the answer arrives is the
    // machine's affair, and what it says is not.
    let mut peer = Peer::connect(&pod).await;
    let uri = "http://localhost/millpond.v1.CacheService/Get";
    let mut call = peer.begin_at(uri, &[("grpc-timeout", "400m")]).await;
    call.send(framed(&get("key")), true);
    let ended = call.ended().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let reply = v1::GetReply::decode(&ended.body[5..]).expect("a reply");
    // Had it waited as long as the lease it would have come to load.
    assert_eq!(reply.reason(), v1::Reason::WaitExpired);
}

#[tokio::test]
async fn a_wait_of_its_own_ends_a_call_without_deadline() {
    let pod = Pod::start();
    let client = pod.client().await;
    lead(&client, "key").await;
    let waiting = v1::GetRequest {
        wait_ms: Some(50),
        ..get("key")
    };
    let began = Instant::now();
    let reply = timeout(LONG, read(&client, waiting))
        .await
        .expect("it ends");
    assert_eq!(reply.reason(), v1::Reason::WaitExpired);
    assert!(began.elapsed() >= Duration::from_millis(50));
}
