//! What a tenant makes under names that the other uses too, and a look at all of it.

use bytes::Bytes;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::{self, TenantState};

use crate::envoy::hits;
use crate::worlds::{Answered, Side, Twin, Who, Worlds};

/// The keys of cache `users` that [`seed`] makes, and one that nobody makes.
pub(crate) const KEYS: [&str; 6] = ["held", "stale", "absent", "led", "failed", "missing"];

pub(crate) fn tenant(who: Who) -> String {
    match who {
        Who::A => "tenant-a".to_owned(),
        Who::B => "tenant-b".to_owned(),
    }
}

/// What names itself in A's replies.
#[derive(Debug)]
pub(crate) struct Seeded {
    pub(crate) led: Twin<v1::Lease>,
    pub(crate) refresh: Twin<v1::Lease>,
    pub(crate) reservation: Twin<v1::Reservation>,
    pub(crate) version: Twin<Bytes>,
}

impl Seeded {
    /// A's where A is; where B is alone, one in form that was never granted.
    fn stolen(worlds: &Worlds, side: Side, of_a: v1::Lease) -> v1::Lease {
        match side {
            Side::Together => of_a,
            Side::Alone => void(worlds, Who::B, side),
        }
    }

    pub(crate) fn stolen_lead(&self, worlds: &Worlds, side: Side) -> v1::Lease {
        Self::stolen(worlds, side, self.led.together)
    }

    pub(crate) fn stolen_refresh(&self, worlds: &Worlds, side: Side) -> v1::Lease {
        Self::stolen(worlds, side, self.refresh.together)
    }

    pub(crate) fn stolen_reservation(&self, worlds: &Worlds, side: Side) -> v1::Reservation {
        match side {
            Side::Together => self.reservation.together,
            Side::Alone => v1::Reservation {
                boot: worlds
                    .at(Who::B, side)
                    .pod
                    .running
                    .limiter()
                    .boot()
                    .to_bits(),
                token: NEVER,
                expires_in_ms: 1,
            },
        }
    }
}

/// A token that is not issued in a test.
const NEVER: u64 = 1 << 40;

/// A lease of the right process that was never granted.
pub(crate) fn void(worlds: &Worlds, who: Who, side: Side) -> v1::Lease {
    let running = &worlds.at(who, side).pod.running;
    v1::Lease {
        boot: running.pond().boot().to_bits(),
        token: NEVER,
        expires_in_ms: 1,
    }
}

/// The lease of a reply on each side; a void one where there is none.
pub(crate) fn leases(worlds: &Worlds, who: Who, reply: &Answered<v1::GetReply>) -> Twin<v1::Lease> {
    let of = |side: Side| {
        let reply = reply.at(side).as_ref().ok();
        let lease = reply.and_then(|reply| reply.lease);
        lease.unwrap_or_else(|| void(worlds, who, side))
    };
    Twin {
        together: of(Side::Together),
        alone: of(Side::Alone),
    }
}

pub(crate) fn get(who: Who, key: &str) -> v1::GetRequest {
    v1::GetRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        load: v1::Load::Caller.into(),
        // Who leads elsewhere is answered at once, so that an answer tells.
        wait_ms: Some(0),
        ..v1::GetRequest::default()
    }
}

pub(crate) fn set(who: Who, key: &str, value: &str) -> v1::SetRequest {
    v1::SetRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        tags: vec!["tag".to_owned()],
        etag: Bytes::from_static(b"etag"),
        ..v1::SetRequest::default()
    }
}

pub(crate) fn fill(who: Who, key: &str, lease: v1::Lease, with: Settlement) -> v1::FillRequest {
    v1::FillRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        fills: vec![v1::Fill {
            key: Bytes::copy_from_slice(key.as_bytes()),
            lease: Some(lease),
            settlement: Some(with),
            tags: vec!["tag".to_owned()],
            ..v1::Fill::default()
        }],
    }
}

pub(crate) fn failed(error: &str) -> Settlement {
    Settlement::Failed(v1::Failed {
        error: error.to_owned(),
        retry_after_ms: 30_000,
    })
}

pub(crate) fn charge(limit: &str, key: &str, cost: u64) -> v1::Charge {
    v1::Charge {
        limit: limit.to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        cost: Some(cost),
    }
}

pub(crate) fn acquire(who: Who, charges: Vec<v1::Charge>) -> v1::AcquireRequest {
    v1::AcquireRequest {
        tenant: tenant(who),
        charges,
        ..v1::AcquireRequest::default()
    }
}

pub(crate) fn put(who: Who) -> v1::PutTenantRequest {
    let settings = [
        ("rate", "60/min"),
        ("burst", "20"),
        ("origin_rate", "600/min"),
        ("limits.sms.rate", "10/h"),
        ("limits.sms.rate_per_key", "3/h"),
    ];
    v1::PutTenantRequest {
        tenant: tenant(who),
        tier: "free".to_owned(),
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        state: TenantState::Unspecified.into(),
        actor: "ada".to_owned(),
        why: "a test".to_owned(),
    }
}

/// Puts `who` and makes some of everything under names that are the same for both.
pub(crate) async fn seed(worlds: &Worlds, who: Who) -> Seeded {
    worlds.ask(who, put(who)).await.ok();
    let secret = format!("secret of {}", tenant(who));

    let held = worlds.ask(who, set(who, "held", &secret)).await.ok();
    let mut stale = set(who, "stale", &secret);
    stale.times = Some(v1::Times {
        fresh_ms: Some(0),
        ..v1::Times::default()
    });
    worlds.ask(who, stale).await.ok();
    let refresh = worlds.ask(who, get(who, "stale")).await;
    let refresh = leases(worlds, who, &refresh);
    for (key, settlement) in [
        ("absent", Settlement::Absent(true)),
        ("failed", failed(&secret)),
    ] {
        let led = worlds.ask(who, get(who, key)).await;
        let lease = leases(worlds, who, &led);
        let settled = |side: Side| fill(who, key, *lease.at(side), settlement.clone());
        worlds.by(who, settled).await.ok();
    }
    let led = worlds.ask(who, get(who, "led")).await;

    let spent = vec![charge("sms", "user", 2)];
    worlds.ask(who, acquire(who, spent)).await.ok();
    let mut named = acquire(who, vec![charge("", "", 3)]);
    named.request_id = Bytes::from_static(b"a retry");
    worlds.ask(who, named).await.ok();
    let mut held_for = acquire(who, vec![charge("", "", 4)]);
    held_for.hold_ms = Some(60_000);
    let reserved = worlds.ask(who, held_for).await.ok();
    worlds.ask(who, hits(who, 2)).await.ok();
    Seeded {
        led: leases(worlds, who, &led),
        refresh,
        reservation: reserved.map(|reply| reply.reservation.expect("it is held")),
        version: held.map(|reply| reply.version),
    }
}

/// Everything that can be asked of a tenant's state without changing it.
pub(crate) async fn look(worlds: &Worlds, who: Who) {
    let many = v1::GetManyRequest {
        tenant: tenant(who),
        cache: "users".to_owned(),
        keys: KEYS
            .iter()
            .map(|key| v1::KeyRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
                min_version: Bytes::new(),
            })
            .collect(),
        load: v1::Load::Never.into(),
        ..v1::GetManyRequest::default()
    };
    // Refusals are compared like replies.
    let _compared = worlds.ask(who, many).await;
    for key in KEYS {
        let explain = v1::ExplainRequest {
            tenant: tenant(who),
            cache: "users".to_owned(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            limit: None,
        };
        let _compared = worlds.ask(who, explain).await;
    }
    for (limit, key) in [("", ""), ("sms", "user"), ("sms", "other"), ("fax", "")] {
        let peek = v1::PeekRequest {
            tenant: tenant(who),
            charges: vec![charge(limit, key, 1)],
        };
        let _compared = worlds.ask(who, peek).await;
        let explain = v1::ExplainRequest {
            tenant: tenant(who),
            limit: Some(v1::explain_request::Limit {
                limit: limit.to_owned(),
                key: Bytes::copy_from_slice(key.as_bytes()),
            }),
            ..v1::ExplainRequest::default()
        };
        let _compared = worlds.ask(who, explain).await;
    }
    let list = v1::ListTenantsRequest {
        tenant: tenant(who),
        ..v1::ListTenantsRequest::default()
    };
    worlds.ask(who, list).await.ok();
}
