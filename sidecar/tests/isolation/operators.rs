//! `AdminService`: what an operator does to B, or looks at of B, is nothing of A's.

use bytes::Bytes;
use millpond_proto::v1;
use millpond_proto::v1::TenantState;

use crate::state::{KEYS, Seeded, get, leases, look, put, set, tenant};
use crate::worlds::{Side, Who, Worlds};

fn state(who: Who, state: TenantState) -> v1::SetTenantStateRequest {
    v1::SetTenantStateRequest {
        tenant: tenant(who),
        state: state.into(),
        actor: "ada".to_owned(),
        why: "a test".to_owned(),
    }
}

/// B has something of each of A's names.
async fn b_has_some(worlds: &Worlds) {
    for key in KEYS {
        worlds.ask(Who::B, set(Who::B, key, "of B")).await.ok();
    }
}

/// Of the process as a whole; it names no tenant but in the log of what operators did.
pub(crate) async fn stats(worlds: &Worlds, _: &Seeded) {
    let told = worlds.ask(Who::B, v1::StatsRequest {}).await.ok();
    let mut told = told.together;
    told.changes.clear();
    let text = format!("{told:?}");
    for name in [tenant(Who::A), tenant(Who::B)] {
        assert!(!text.contains(&name), "{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

pub(crate) async fn explain(worlds: &Worlds, _: &Seeded) {
    let explained = |key: &str| v1::ExplainRequest {
        tenant: tenant(Who::B),
        cache: "users".to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        limit: None,
    };
    for key in KEYS {
        worlds.ask(Who::B, explained(key)).await.ok();
        let led = worlds.ask(Who::B, get(Who::B, key)).await;
        worlds.ask(Who::B, explained(key)).await.ok();
        let of_both = leases(worlds, Who::B, &led);
        let renew = |side: Side| v1::RenewRequest {
            tenant: tenant(Who::B),
            cache: "users".to_owned(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            lease: Some(*of_both.at(side)),
            lease_ms: None,
        };
        worlds.by(Who::B, renew).await.ok();
        worlds.ask(Who::B, explained(key)).await.ok();
    }
    // A key is known by a hash of its own in each tenant.
    let hash = async |who: Who| {
        let mut asked = explained("held");
        asked.tenant = tenant(who);
        worlds.ask(who, asked).await.ok().together.key_hash
    };
    assert_ne!(hash(Who::A).await, hash(Who::B).await);
}

pub(crate) async fn hot_keys(worlds: &Worlds, _: &Seeded) {
    for _ in 0..600 {
        let hot = v1::GetRequest {
            load: v1::Load::Never.into(),
            ..get(Who::B, "held")
        };
        worlds.together.call(hot).await.expect("it is answered");
    }
    let told = worlds.ask(Who::B, v1::HotKeysRequest { limit: 100 }).await;
    // Where both are: what A hardly reads has no more reads because B reads its namesake.
    let keys = told.ok().together.keys;
    let reads = |who: Who| {
        let own = keys.iter().filter(|key| key.tenant == tenant(who));
        own.map(|key| key.reads - key.reads_over).sum::<u64>()
    };
    assert!(reads(Who::B) > 64, "{keys:?}");
    assert!(reads(Who::A) < reads(Who::B), "{keys:?}");
    let text = format!("{keys:?}");
    assert!(!text.contains("held"), "no key by its bytes: {text}");
}

/// It is of a cache over all tenants, by what it is for: the caches of other names stay as they are.
pub(crate) async fn set_mode(worlds: &Worlds, _: &Seeded) {
    let mode = v1::SetModeRequest {
        cache: "others".to_owned(),
        mode: v1::Mode::Bypass.into(),
        for_ms: 0,
        why: "a test".to_owned(),
    };
    worlds.ask(Who::B, mode).await.ok();
    b_has_some(worlds).await;
}

pub(crate) async fn invalidate_tenant(worlds: &Worlds, of_a: &Seeded) {
    b_has_some(worlds).await;
    let all = v1::InvalidateTenantRequest {
        tenant: tenant(Who::B),
        why: "a test".to_owned(),
    };
    worlds.ask(Who::B, all).await.ok();
    a_goes_on(worlds, of_a).await;
}

pub(crate) async fn list_tenants(worlds: &Worlds, _: &Seeded) {
    // Only what is asked for by name: a page of all is the operator's.
    for after in ["", "tenant-0"] {
        let one = v1::ListTenantsRequest {
            after: after.to_owned(),
            limit: 1,
            tenant: tenant(Who::B),
        };
        worlds.ask(Who::B, one.clone()).await.ok();
        worlds.ask(Who::B, put(Who::B)).await.ok();
        worlds.ask(Who::B, one).await.ok();
    }
}

pub(crate) async fn put_tenant(worlds: &Worlds, of_a: &Seeded) {
    b_has_some(worlds).await;
    for (name, setting) in [
        ("rate", "1/h"),
        ("origin_rate", "1/h"),
        ("cache_cap", "1MiB"),
    ] {
        let mut other = put(Who::B);
        other.settings.insert(name.to_owned(), setting.to_owned());
        worlds.ask(Who::B, other).await.ok();
        look(worlds, Who::A).await;
    }
    let mut wrong = put(Who::B);
    wrong.tier = "no-such-tier".to_owned();
    worlds.ask(Who::B, wrong).await.refused();
    a_goes_on(worlds, of_a).await;
}

pub(crate) async fn set_tenant_state(worlds: &Worlds, of_a: &Seeded) {
    worlds.ask(Who::B, put(Who::B)).await.ok();
    b_has_some(worlds).await;
    for to in [
        TenantState::Suspended,
        TenantState::Active,
        TenantState::Maintenance,
        TenantState::PendingOffboard,
        TenantState::Offboarded,
    ] {
        let _compared = worlds.ask(Who::B, state(Who::B, to)).await;
        let _compared = worlds.ask(Who::B, get(Who::B, "held")).await;
        look(worlds, Who::A).await;
        look(worlds, Who::B).await;
    }
    a_goes_on(worlds, of_a).await;
}

pub(crate) async fn purge_tenant(worlds: &Worlds, of_a: &Seeded) {
    worlds.ask(Who::B, put(Who::B)).await.ok();
    b_has_some(worlds).await;
    let purge = |force| v1::PurgeTenantRequest {
        tenant: tenant(Who::B),
        force,
        actor: "ada".to_owned(),
        why: "a test".to_owned(),
    };
    worlds.ask(Who::B, purge(false)).await.refused();
    // Its receipt counts what was B's.
    worlds.ask(Who::B, purge(true)).await.ok();
    let _compared = worlds.ask(Who::B, get(Who::B, "held")).await;
    a_goes_on(worlds, of_a).await;
    worlds.ask(Who::B, put(Who::B)).await.ok();
    look(worlds, Who::B).await;
}

pub(crate) async fn reload_config(worlds: &Worlds, of_a: &Seeded) {
    b_has_some(worlds).await;
    let _compared = worlds.ask(Who::B, v1::ReloadConfigRequest {}).await;
    a_goes_on(worlds, of_a).await;
}

/// A's leases are A's still.
async fn a_goes_on(worlds: &Worlds, of_a: &Seeded) {
    look(worlds, Who::A).await;
    let settled = |side: Side| {
        let value = Bytes::from_static(b"of A");
        let with = v1::fill::Settlement::Value(value);
        crate::state::fill(Who::A, "led", *of_a.led.at(side), with)
    };
    worlds.by(Who::A, settled).await.ok();
    worlds.ask(Who::A, get(Who::A, "led")).await.ok();
}
