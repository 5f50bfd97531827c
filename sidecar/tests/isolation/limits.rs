//! `LimitService`: B spends, retries, settles and is granted under A's names.

use bytes::Bytes;
use millpond_proto::v1;

use crate::state::{Seeded, acquire as asks, charge, put, tenant};
use crate::worlds::{Side, Who, Worlds};

async fn b_is_put(worlds: &Worlds) {
    worlds.ask(Who::B, put(Who::B)).await.ok();
}

pub(crate) async fn acquire(worlds: &Worlds, _: &Seeded) {
    // Before anybody named it: no limit of A's is known to it.
    let fax = asks(Who::B, vec![charge("fax", "user", 1)]);
    let _compared = worlds.ask(Who::B, fax).await;
    let sms = asks(Who::B, vec![charge("sms", "user", 1)]);
    let _compared = worlds.ask(Who::B, sms.clone()).await;
    b_is_put(worlds).await;
    // A's call by its own name is no retry of B's.
    let mut named = asks(Who::B, vec![charge("", "", 3)]);
    named.request_id = Bytes::from_static(b"a retry");
    worlds.ask(Who::B, named.clone()).await.ok();
    worlds.ask(Who::B, named).await.ok();
    // To the end of each bucket, and past it.
    for _ in 0..5 {
        worlds.ask(Who::B, sms.clone()).await.ok();
    }
    for cost in [9, 9, 9, 21] {
        let own = asks(Who::B, vec![charge("", "", cost)]);
        worlds.ask(Who::B, own).await.ok();
        worlds
            .ask(Who::A, asks(Who::A, vec![charge("", "", 1)]))
            .await
            .ok();
    }
    let mut named = asks(Who::A, vec![charge("", "", 3)]);
    named.request_id = Bytes::from_static(b"a retry");
    worlds.ask(Who::A, named).await.ok();
    let other = asks(Who::A, vec![charge("sms", "user", 1), charge("", "", 1)]);
    worlds.ask(Who::A, other).await.ok();
}

pub(crate) async fn peek(worlds: &Worlds, _: &Seeded) {
    for limit in ["", "sms", "fax"] {
        let peek = v1::PeekRequest {
            tenant: tenant(Who::B),
            charges: vec![charge(limit, "user", 1)],
        };
        let _compared = worlds.ask(Who::B, peek.clone()).await;
        b_is_put(worlds).await;
        let _compared = worlds.ask(Who::B, peek).await;
    }
}

pub(crate) async fn commit(worlds: &Worlds, of_a: &Seeded) {
    b_is_put(worlds).await;
    let stolen = |side: Side| v1::CommitRequest {
        tenant: tenant(Who::B),
        reservation: Some(of_a.stolen_reservation(worlds, side)),
        costs: vec![19],
    };
    worlds.by(Who::B, stolen).await.ok();
    let mut held = asks(Who::B, vec![charge("", "", 1)]);
    held.hold_ms = Some(60_000);
    let held = worlds.ask(Who::B, held).await.ok();
    let own = |side: Side| v1::CommitRequest {
        tenant: tenant(Who::B),
        reservation: held.at(side).reservation,
        costs: vec![2],
    };
    worlds.by(Who::B, own).await.ok();
    worlds.by(Who::B, stolen).await.ok();
    let settled = |side: Side| v1::CommitRequest {
        tenant: tenant(Who::A),
        reservation: Some(*of_a.reservation.at(side)),
        costs: vec![3],
    };
    worlds.by(Who::A, settled).await.ok();
    worlds.by(Who::B, stolen).await.ok();
}

pub(crate) async fn release(worlds: &Worlds, of_a: &Seeded) {
    b_is_put(worlds).await;
    let stolen = |side: Side| v1::ReleaseRequest {
        tenant: tenant(Who::B),
        reservation: Some(of_a.stolen_reservation(worlds, side)),
    };
    worlds.by(Who::B, stolen).await.ok();
    let released = |side: Side| v1::ReleaseRequest {
        tenant: tenant(Who::A),
        reservation: Some(*of_a.reservation.at(side)),
    };
    worlds.by(Who::A, released).await.ok();
    worlds.by(Who::B, stolen).await.ok();
}

/// One process of each, with the same number for its grant.
pub(crate) async fn grant(worlds: &Worlds, _: &Seeded) {
    b_is_put(worlds).await;
    let ask = |who: Who, limit: &str, want: u32| v1::GrantRequest {
        tenant: tenant(who),
        limit: limit.to_owned(),
        key: Bytes::from_static(b"user"),
        want,
        grant_id: 7,
        ..v1::GrantRequest::default()
    };
    let mut of_a = worlds.grants(Who::A).await;
    let mut of_b = worlds.grants(Who::B).await;
    of_a.ask(ask(Who::A, "", 4)).await;
    let given = of_b.ask(ask(Who::B, "", 4)).await;
    // More than it was given, as if some of A's were its own.
    let returned = v1::GrantRequest {
        returned: u64::from(given.tokens) + 100,
        ..ask(Who::B, "", 0)
    };
    of_b.ask(returned).await;
    of_a.ask(ask(Who::A, "", 0)).await;
    for _ in 0..4 {
        of_b.ask(v1::GrantRequest {
            grant_id: 8,
            ..ask(Who::B, "sms", 50)
        })
        .await;
        of_a.ask(v1::GrantRequest {
            grant_id: 8,
            ..ask(Who::A, "sms", 1)
        })
        .await;
    }
    of_b.ask(v1::GrantRequest {
        grant_id: 9,
        ..ask(Who::B, "fax", 1)
    })
    .await;
    drop(of_b);
    of_a.ask(ask(Who::A, "", 1)).await;
}
