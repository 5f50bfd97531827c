//! Bytes: what lies within A's reserve is not evicted by what B writes.

use bytes::Bytes;
use millpond_core::cache::{Allowance, TenantId};
use millpond_proto::v1;
use millpond_sidecar::Config;

use crate::state::tenant;
use crate::worlds::{Who, Worlds, config};

const BUDGET: u64 = 16 << 20;
const VALUE: usize = 16 << 10;
/// 2 MiB, half of what is reserved.
const OF_A: u32 = 128;
/// Four times the budget.
const OF_B: u32 = 4_096;

fn set(who: Who, number: u32) -> v1::SetRequest {
    v1::SetRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        key: Bytes::copy_from_slice(&number.to_be_bytes()),
        value: vec![7; VALUE].into(),
        ..v1::SetRequest::default()
    }
}

/// Of A's entries those that are held once B has written all of its own, twice.
async fn held_by_a(reserve: u64) -> usize {
    let worlds = Worlds::with(|| {
        let mut config = config(&Config::on_free_ports());
        config.cache.budget = BUDGET;
        let id = TenantId::parse(&tenant(Who::A)).expect("a name");
        let allowance = Allowance { cap: None, reserve };
        config
            .cache
            .shares
            .extend((reserve > 0).then_some((id, allowance)));
        config
    })
    .await;
    for number in 0..OF_A {
        worlds.ask(Who::A, set(Who::A, number)).await.ok();
    }
    // Where B is alone something else is evicted, of B's own: that is not compared.
    for _ in 0..2 {
        for number in 0..OF_B {
            let set = set(Who::B, number);
            worlds.together.call(set.clone()).await.expect("it is kept");
            let get = v1::GetRequest {
                tenant: set.tenant,
                cache: set.cache,
                key: set.key,
                ..v1::GetRequest::default()
            };
            worlds.together.call(get).await.expect("it is answered");
        }
    }
    let mut held = 0;
    for number in 0..OF_A {
        let get = v1::GetRequest {
            tenant: tenant(Who::A),
            cache: "users".to_owned(),
            key: set(Who::A, number).key,
            ..v1::GetRequest::default()
        };
        let reply = worlds.together.call(get).await.expect("it is answered");
        held += usize::from(reply.found.is_some());
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_within_a_reserve_is_not_evicted_by_another() {
    assert_eq!(held_by_a(4 << 20).await, 128);
    assert!(held_by_a(0).await < 128, "B had not written enough to tell");
}
