//! What a tenant's state allows its calls, and with which code they are refused.

use millpond_core::cache::TenantId;
use millpond_core::tenant::{Declaration, Directory, Pace, State, Strangers, TierName};
use millpond_proto::v1;
use millpond_sidecar::Config;
use millpond_sidecar::config::Tenancy;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::support::{
    Client, LONG, Pod, fill, get, get_many, held, invalidate, lead, read, set, value,
};

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a name")
}

fn be_in(pod: &Pod, state: State) {
    let set = pod.running.directory().set_state(&acme(), state);
    set.expect("it may become that");
}

fn reason(status: &Status) -> (Code, &str) {
    let reason = status.metadata().get("millpond-reason");
    let reason = reason.map(|reason| reason.to_str().expect("it is ASCII"));
    (status.code(), reason.unwrap_or(""))
}

fn everything() -> v1::InvalidateRequest {
    invalidate(v1::invalidate_request::Target::WholeCache(true))
}

/// Every call but `Invalidate`, refused.
async fn refusals(client: &Client, lease: v1::Lease) -> Vec<Status> {
    let mut client = client.clone();
    let renew = v1::RenewRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: "led".into(),
        lease: Some(lease),
        lease_ms: None,
    };
    vec![
        client.get(held("key")).await.expect_err("refused"),
        client.get(get("key")).await.expect_err("refused"),
        client
            .get_many(get_many(&["key"]))
            .await
            .expect_err("refused"),
        client.set(set("key", "other")).await.expect_err("refused"),
        client.renew(renew).await.expect_err("refused"),
        client
            .fill(fill("led", lease, "v"))
            .await
            .expect_err("refused"),
    ]
}

#[tokio::test]
async fn a_state_refuses_each_call_with_its_code_and_its_reason() {
    for (state, code, why) in [
        (State::Suspended, Code::PermissionDenied, "tenant_suspended"),
        (State::Maintenance, Code::Unavailable, "tenant_maintenance"),
        (
            State::Offboarded,
            Code::PermissionDenied,
            "tenant_offboarded",
        ),
    ] {
        let pod = Pod::start();
        let mut client = pod.client().await;
        client.set(set("kept", "value")).await.expect("stored");
        let lease = lead(&client, "led").await;
        be_in(&pod, state);
        for status in refusals(&client, lease).await {
            assert_eq!(reason(&status), (code, why), "{status:?}");
        }
        client
            .invalidate(everything())
            .await
            .expect("it only removes");
        let mut other = get("key");
        other.tenant = "other".to_owned();
        assert!(read(&client, other).await.lease.is_some(), "others go on");
        be_in(&pod, State::Active);
        assert!(
            read(&client, held("kept")).await.found.is_none(),
            "invalidated meanwhile"
        );
        client.set(set("kept", "value")).await.expect("stored");
    }
}

#[tokio::test]
async fn what_is_held_is_served_again_once_the_tenant_is_resumed() {
    let pod = Pod::start();
    let mut client = pod.client().await;
    client.set(set("kept", "value")).await.expect("stored");
    client.set(set("changed", "value")).await.expect("stored");
    be_in(&pod, State::Suspended);
    let refused = client.set(set("changed", "other")).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
    be_in(&pod, State::Active);
    assert_eq!(
        value(&read(&client, held("kept")).await),
        Some(&b"value"[..])
    );
    let changed = read(&client, held("changed")).await;
    assert!(changed.found.is_none(), "what it was is no longer right");
}

#[tokio::test]
async fn those_who_wait_are_answered_at_once_when_their_tenant_is_suspended() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let waiting: Vec<_> = (0..8)
        .map(|at| {
            let mut client = client.clone();
            tokio::spawn(async move {
                if at % 2 == 0 {
                    client.get(get("key")).await.map(drop)
                } else {
                    client.get_many(get_many(&["key"])).await.map(drop)
                }
            })
        })
        .collect();
    pod.until_coalesced(8).await;
    be_in(&pod, State::Suspended);
    for one in waiting {
        let answered = timeout(LONG, one)
            .await
            .expect("their leader never settles");
        let refused = answered.expect("no panic").expect_err("refused");
        assert_eq!(
            reason(&refused),
            (Code::PermissionDenied, "tenant_suspended")
        );
    }
    // The leader's value is not stored, and its lease excludes nobody.
    let mut leader = client.clone();
    let filled = leader.fill(fill("key", lease, "late")).await;
    assert_eq!(filled.expect_err("refused").code(), Code::PermissionDenied);
    be_in(&pod, State::Active);
    assert!(read(&client, get("key")).await.lease.is_some());
}

#[tokio::test]
async fn who_leaves_reads_what_is_held_and_nothing_new_comes_in() {
    let pod = Pod::start();
    let mut client = pod.client().await;
    client.set(set("kept", "value")).await.expect("stored");
    let lease = lead(&client, "led").await;
    let follower = tokio::spawn({
        let mut client = client.clone();
        async move { client.get(get("led")).await }
    });
    pod.until_coalesced(1).await;
    be_in(&pod, State::PendingOffboard);
    assert_eq!(
        value(&read(&client, get("kept")).await),
        Some(&b"value"[..])
    );
    let missed = read(&client, get("missed")).await;
    assert_eq!(
        (missed.reason(), missed.lease),
        (v1::Reason::LoadFailed, None)
    );
    let many = client.get_many(get_many(&["kept", "missed"])).await;
    let entries = many.expect("it may read").into_inner().entries;
    assert_eq!(value(&entries[0]), Some(&b"value"[..]));
    assert_eq!(entries[1].reason(), v1::Reason::LoadFailed);
    let filled = client.fill(fill("led", lease, "late")).await;
    let refused = filled.expect_err("nothing is stored");
    assert_eq!(
        reason(&refused),
        (Code::PermissionDenied, "tenant_pending_offboard")
    );
    let followed = timeout(LONG, follower).await.expect("its leader gave up");
    let followed = followed
        .expect("no panic")
        .expect("it may read")
        .into_inner();
    assert_eq!(
        (followed.reason(), followed.lease),
        (v1::Reason::LoadFailed, None)
    );
    let refused = client
        .set(set("new", "v"))
        .await
        .expect_err("nothing is stored");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn loads_are_paid_from_what_the_tenants_tier_says_until_it_says_more() {
    let tier = |name: &str| Declaration::of(TierName::parse(name).expect("a name"));
    let mut scarce = tier("free");
    scarce.overrides.origin = Pace::of(1, LONG * 3_600, 1);
    let pod = Pod::with(Config {
        tenancy: Tenancy {
            tenants: [(acme(), scarce)].into(),
            ..Tenancy::default()
        },
        ..Config::on_free_ports()
    });
    let client = pod.client().await;
    assert!(read(&client, get("first")).await.lease.is_some());
    let second = read(&client, get("second")).await;
    assert_eq!(
        (second.reason(), second.lease),
        (v1::Reason::OverBudget, None)
    );
    let put = pod.running.directory().put(&acme(), &tier("free"));
    assert!(put.is_ok());
    assert!(read(&client, get("second")).await.lease.is_some());
}

#[tokio::test]
async fn tenants_that_nobody_named_are_refused_where_that_is_the_rule() {
    let free = Declaration::of(TierName::parse("free").expect("a name"));
    let pod = Pod::with(Config {
        tenancy: Tenancy {
            strangers: Strangers::Refuse,
            tenants: [(acme(), free)].into(),
            ..Tenancy::default()
        },
        ..Config::on_free_ports()
    });
    let mut client = pod.client().await;
    client.set(set("key", "value")).await.expect("it is named");
    let mut stranger = get("key");
    stranger.tenant = "stranger".to_owned();
    let refused = client
        .get(stranger.clone())
        .await
        .expect_err("nobody named it");
    assert_eq!(reason(&refused), (Code::PermissionDenied, "tenant_unknown"));
    stranger.tenant = "*".to_owned();
    let refused = client.get(stranger).await.expect_err("it is no name");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let directory: &Directory = pod.running.directory();
    assert_eq!(directory.len(), 1);
}
