//! `CacheService`: B asks for A's keys, settles A's leases and removes under A's names.

use bytes::Bytes;
use millpond_proto::v1;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::invalidate_request::Target;

use crate::state::{
    KEYS, Seeded, failed, fill as fills, get as reads, leases, look, set as sets, tenant, void,
};
use crate::worlds::{Side, Who, Worlds};

fn value(text: &'static str) -> Settlement {
    Settlement::Value(Bytes::from_static(text.as_bytes()))
}

pub(crate) async fn hello(worlds: &Worlds, _: &Seeded) {
    worlds.ask(Who::B, v1::HelloRequest {}).await.ok();
}

pub(crate) async fn get(worlds: &Worlds, of_a: &Seeded) {
    for key in KEYS {
        let held = v1::GetRequest {
            load: v1::Load::Never.into(),
            ..reads(Who::B, key)
        };
        worlds.ask(Who::B, held).await.ok();
        // It leads its own load of what A holds, refreshes, loads or failed to.
        let led = worlds.ask(Who::B, reads(Who::B, key)).await;
        look(worlds, Who::A).await;
        let lease = leases(worlds, Who::B, &led);
        let settled = |side: Side| fills(Who::B, key, *lease.at(side), value("of B"));
        worlds.by(Who::B, settled).await.ok();
        worlds.ask(Who::B, reads(Who::B, key)).await.ok();
    }
    // What A was told is what A may ask to see, and B's reads are not of that.
    let after = |side: Side| v1::GetRequest {
        min_version: of_a.version.at(side).clone(),
        ..reads(Who::A, "held")
    };
    worlds.by(Who::A, after).await.ok();
    let settled = |side: Side| fills(Who::A, "led", *of_a.led.at(side), value("of A"));
    worlds.by(Who::A, settled).await.ok();
    let settled = |side: Side| fills(Who::A, "stale", *of_a.refresh.at(side), value("of A"));
    worlds.by(Who::A, settled).await.ok();
}

pub(crate) async fn get_many(worlds: &Worlds, _: &Seeded) {
    let many = |who: Who, load: v1::Load| v1::GetManyRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        keys: KEYS
            .iter()
            .map(|key| v1::KeyRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
                min_version: Bytes::new(),
            })
            .collect(),
        load: load.into(),
        wait_ms: Some(0),
        ..v1::GetManyRequest::default()
    };
    let never = many(Who::B, v1::Load::Never);
    worlds.ask(Who::B, never).await.ok();
    for who in [Who::B, Who::A, Who::B] {
        let led = worlds.ask(who, many(who, v1::Load::Caller)).await.ok();
        look(worlds, Who::A).await;
        let settled = |side: Side| {
            let entries = KEYS.iter().zip(&led.at(side).entries);
            let mut all = fills(who, "missing", void(worlds, who, side), value("void"));
            for (key, entry) in entries {
                if let Some(lease) = entry.lease {
                    let one = fills(who, key, lease, value("loaded"));
                    all.fills.extend(one.fills);
                }
            }
            all
        };
        worlds.by(who, settled).await.ok();
    }
}

/// With A's lease in B's name, whatever it says became of the load.
pub(crate) async fn fill(worlds: &Worlds, of_a: &Seeded) {
    for settlement in [
        value("of B"),
        Settlement::Absent(true),
        Settlement::NotModified(true),
        failed("of B"),
        Settlement::GivenUp(true),
    ] {
        let led = |side| {
            let lease = of_a.stolen_lead(worlds, side);
            fills(Who::B, "led", lease, settlement.clone())
        };
        worlds.by(Who::B, led).await.ok();
        let refreshed = |side| {
            let lease = of_a.stolen_refresh(worlds, side);
            fills(Who::B, "stale", lease, settlement.clone())
        };
        worlds.by(Who::B, refreshed).await.ok();
        worlds.ask(Who::A, reads(Who::A, "led")).await.ok();
        look(worlds, Who::A).await;
    }
    // Nor while B has a load of the same key of its own, nor after it failed.
    for settlement in [failed("secret of B"), value("of B")] {
        let own = worlds.ask(Who::B, reads(Who::B, "led")).await;
        let own = leases(worlds, Who::B, &own);
        let stolen = |side| fills(Who::B, "led", of_a.stolen_lead(worlds, side), value("x"));
        worlds.by(Who::B, stolen).await.ok();
        let settled = |side: Side| fills(Who::B, "led", *own.at(side), settlement.clone());
        worlds.by(Who::B, settled).await.ok();
        worlds.ask(Who::A, reads(Who::A, "led")).await.ok();
    }
    let settled = |side: Side| fills(Who::A, "led", *of_a.led.at(side), failed("of A"));
    worlds.by(Who::A, settled).await.ok();
    worlds.ask(Who::B, reads(Who::B, "led")).await.ok();
}

pub(crate) async fn renew(worlds: &Worlds, of_a: &Seeded) {
    let renew = |who: Who, key: &str, lease: v1::Lease| v1::RenewRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        lease: Some(lease),
        lease_ms: Some(50_000),
    };
    let led = |side| renew(Who::B, "led", of_a.stolen_lead(worlds, side));
    worlds.by(Who::B, led).await.ok();
    let refreshed = |side| renew(Who::B, "stale", of_a.stolen_refresh(worlds, side));
    worlds.by(Who::B, refreshed).await.ok();
    let own = worlds.ask(Who::B, reads(Who::B, "led")).await;
    let own = leases(worlds, Who::B, &own);
    worlds.by(Who::B, led).await.ok();
    look(worlds, Who::A).await;
    let renewed = |side: Side| renew(Who::B, "led", *own.at(side));
    worlds.by(Who::B, renewed).await.ok();
    let renewed = |side: Side| renew(Who::A, "led", *of_a.led.at(side));
    worlds.by(Who::A, renewed).await.ok();
}

pub(crate) async fn set(worlds: &Worlds, of_a: &Seeded) {
    for key in KEYS {
        // Over A's version: where B is alone, over one of a key that is not there.
        let over = |side: Side| v1::SetRequest {
            if_version: Some(match side {
                Side::Together => of_a.version.together.clone(),
                Side::Alone => Bytes::from_static(&[1; 16]),
            }),
            ..sets(Who::B, key, "of B")
        };
        let _compared = worlds.by(Who::B, over).await;
        worlds.ask(Who::B, sets(Who::B, key, "of B")).await.ok();
        look(worlds, Who::A).await;
    }
    let mut large = sets(Who::B, "held", "");
    large.value = vec![7; 2 << 20].into();
    worlds.ask(Who::B, large).await.refused();
    look(worlds, Who::A).await;
    for key in KEYS {
        worlds.ask(Who::A, sets(Who::A, key, "again")).await.ok();
        look(worlds, Who::B).await;
    }
}

pub(crate) async fn invalidate(worlds: &Worlds, of_a: &Seeded) {
    let keys = KEYS.map(|key| Bytes::from_static(key.as_bytes())).to_vec();
    let targets = [
        Target::Keys(v1::Keys { keys }),
        Target::Tags(v1::Tags {
            tags: vec!["tag".to_owned()],
        }),
        Target::WholeCache(true),
    ];
    for target in targets {
        for (soft, settle_ms) in [(true, None), (false, Some(1_000)), (false, None)] {
            let all = |who: Who| v1::InvalidateRequest {
                tenant: tenant(who),
                cache: "users".to_owned(),
                target: Some(target.clone()),
                settle_ms,
                soft,
            };
            worlds.ask(Who::B, all(Who::B)).await.ok();
            look(worlds, Who::A).await;
            worlds.ask(Who::B, sets(Who::B, "held", "of B")).await.ok();
        }
    }
    // What A loads was not overtaken by B's word.
    let settled = |side: Side| fills(Who::A, "led", *of_a.led.at(side), value("of A"));
    worlds.by(Who::A, settled).await.ok();
    worlds.ask(Who::A, reads(Who::A, "led")).await.ok();
}
