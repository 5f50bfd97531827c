//! Callers that wait, while the other tenant does its worst under the same key.
//!
//! A story is told of one sidecar, with B in it or without, and must end the same for A.

use bytes::Bytes;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::{self, TenantState};

use crate::methods::Mask as _;
use crate::state::{failed, fill, get, put, set, tenant};
use crate::worlds::{Refused, Who, World, Worlds};

fn waits(who: Who, key: &str) -> v1::GetRequest {
    v1::GetRequest {
        wait_ms: None,
        ..get(who, key)
    }
}

async fn lead(world: &World, who: Who, key: &str) -> v1::Lease {
    let led = world.call(get(who, key)).await.expect("it is answered");
    led.lease.expect("nobody of its tenant leads")
}

fn value(text: &'static str) -> Settlement {
    Settlement::Value(Bytes::from_static(text.as_bytes()))
}

/// What B does under the key that A's callers wait for.
async fn b_does_its_worst(world: &World) {
    // It leads at once, three times over: its own followers, none of A's, are given what it got.
    for settlement in [
        failed("secret of B"),
        Settlement::GivenUp(true),
        value("of B"),
    ] {
        let lease = lead(world, Who::B, "key").await;
        let settled = fill(Who::B, "key", lease, settlement);
        world.call(settled).await.expect("it is answered");
        let gone = v1::InvalidateRequest {
            tenant: tenant(Who::B),
            cache: "users".to_owned(),
            target: Some(v1::invalidate_request::Target::WholeCache(true)),
            ..v1::InvalidateRequest::default()
        };
        world.call(gone).await.expect("it is answered");
    }
    world.call(put(Who::B)).await.expect("it is answered");
    for state in [TenantState::Suspended, TenantState::Active] {
        let state = v1::SetTenantStateRequest {
            tenant: tenant(Who::B),
            state: state.into(),
            actor: "ada".to_owned(),
            why: "a test".to_owned(),
        };
        world.call(state).await.expect("it is answered");
    }
    let all = v1::InvalidateTenantRequest {
        tenant: tenant(Who::B),
        why: "a test".to_owned(),
    };
    world.call(all).await.expect("it is answered");
    let set = set(Who::B, "key", "of B");
    world.call(set).await.expect("it is answered");
}

/// What A's leader, its follower and its follower by many are told.
async fn told_to_a(
    world: &World,
    with_b: bool,
    end: Settlement,
) -> (v1::FillReply, Vec<Result<v1::GetReply, Refused>>) {
    let lease = lead(world, Who::A, "key").await;
    let one = world.call(waits(Who::A, "key"));
    let many = world.call(v1::GetManyRequest {
        tenant: tenant(Who::A),
        cache: "users".to_owned(),
        keys: vec![v1::KeyRequest {
            key: Bytes::from_static(b"key"),
            min_version: Bytes::new(),
        }],
        load: v1::Load::Caller.into(),
        ..v1::GetManyRequest::default()
    });
    let leader = async {
        world.pod.until_coalesced(2).await;
        if with_b {
            b_does_its_worst(world).await;
            assert_eq!(world.pod.coalesced(), 2, "B waited for nobody");
        }
        let settled = fill(Who::A, "key", lease, end);
        world.call(settled).await.expect("it is answered")
    };
    let (mut filled, one, many) = tokio::join!(leader, one, many);
    filled.mask();
    let many = many.map(|mut reply| reply.entries.remove(0));
    let told = [one, many].map(|told| {
        told.map(|mut reply| {
            reply.mask();
            reply
        })
    });
    (filled, told.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_its_own_leader_is_told_nothing_by_anothers() {
    for end in [value("of A"), failed("of A"), Settlement::Absent(true)] {
        let worlds = Worlds::start().await;
        let beside = told_to_a(&worlds.together, true, end.clone()).await;
        let alone = told_to_a(worlds.at(Who::A, crate::worlds::Side::Alone), false, end).await;
        assert_eq!(beside, alone);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_leader_that_fails_or_goes_is_no_news_to_who_waits() {
    for end in [failed("secret of A"), Settlement::GivenUp(true)] {
        let worlds = Worlds::start().await;
        let world = &worlds.together;
        let of_a = lead(world, Who::A, "key").await;
        let of_b = lead(world, Who::B, "key").await;
        let follower = world.call(waits(Who::B, "key"));
        let leaders = async {
            world.pod.until_coalesced(1).await;
            let settled = fill(Who::A, "key", of_a, end);
            world.call(settled).await.expect("it is answered");
            let settled = fill(Who::B, "key", of_b, value("of B"));
            world.call(settled).await.expect("it is answered");
        };
        let (reply, ()) = tokio::join!(follower, leaders);
        let reply = reply.expect("it is answered");
        let found = v1::get_reply::Found::Value(Bytes::from_static(b"of B"));
        assert_eq!(reply.found, Some(found));
        assert_eq!((reply.lease, reply.load_error), (None, String::new()));
    }
}
