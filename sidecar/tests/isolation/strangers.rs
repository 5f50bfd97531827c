//! Tenants that nobody named: whether they are let in or refused, they are not told of others.

use millpond_core::tenant::{Strangers, TierName};
use millpond_sidecar::Config;
use tonic::Code;

use crate::envoy::hits;
use crate::state::{acquire, charge, get, look, put, set};
use crate::worlds::{Who, Worlds, config};

async fn worlds(strangers: Strangers) -> Worlds {
    Worlds::with(|| {
        let mut config = config(&Config::on_free_ports());
        config.tenancy.strangers = strangers.clone();
        config
    })
    .await
}

fn free() -> Strangers {
    Strangers::Tier {
        tier: TierName::parse("free").expect("a name"),
        most: 64,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_of_one_tier_have_a_bucket_each() {
    let worlds = worlds(free()).await;
    for _ in 0..4 {
        for who in [Who::A, Who::B] {
            let own = acquire(who, vec![charge("", "", 30)]);
            worlds.ask(who, own).await.ok();
            worlds.ask(who, set(who, "held", "its own")).await.ok();
            worlds.ask(who, get(who, "missing")).await.ok();
            worlds.ask(who, hits(who, 2)).await.ok();
            look(&worlds, who).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_is_refused_is_not_told_who_is_known() {
    let worlds = worlds(Strangers::Refuse).await;
    worlds.ask(Who::A, put(Who::A)).await.ok();
    worlds.ask(Who::A, set(Who::A, "held", "secret")).await.ok();
    let refused = worlds.ask(Who::B, get(Who::B, "held")).await.refused();
    assert_eq!(refused.code, Code::PermissionDenied);
    worlds
        .ask(Who::B, set(Who::B, "held", "of B"))
        .await
        .refused();
    let own = acquire(Who::B, vec![charge("sms", "user", 1)]);
    worlds.ask(Who::B, own).await.refused();
    worlds.ask(Who::B, hits(Who::B, 1)).await.ok();
    look(&worlds, Who::B).await;
    look(&worlds, Who::A).await;
}
