//! Tenants as operators see, change and purge them.

use millpond_proto::v1;
use millpond_proto::v1::TenantState::{Active, Purged, Suspended, Trial, Unspecified};
use tonic::Code;

use crate::support::{Pod, get, held, read, set, value};
use crate::{Operator, operator};

fn put(tenant: &str, tier: &str, settings: &[(&str, &str)]) -> v1::PutTenantRequest {
    let settings = settings.iter();
    v1::PutTenantRequest {
        tenant: tenant.to_owned(),
        tier: tier.to_owned(),
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        state: Unspecified.into(),
        actor: "ada".to_owned(),
        why: "a test".to_owned(),
    }
}

fn state(tenant: &str, state: v1::TenantState) -> v1::SetTenantStateRequest {
    v1::SetTenantStateRequest {
        tenant: tenant.to_owned(),
        state: state.into(),
        actor: "ada".to_owned(),
        why: "unpaid".to_owned(),
    }
}

fn purge(tenant: &str, force: bool) -> v1::PurgeTenantRequest {
    v1::PurgeTenantRequest {
        tenant: tenant.to_owned(),
        force,
        actor: "ada".to_owned(),
        why: "ticket 7".to_owned(),
    }
}

async fn changes(operator: &mut Operator) -> Vec<String> {
    let stats = operator.stats(v1::StatsRequest {}).await;
    let changes = stats.expect("it answers").into_inner().changes;
    changes.into_iter().map(|change| change.what).collect()
}

#[tokio::test]
async fn a_tenant_is_put_and_its_state_set_and_all_of_it_is_audited() {
    let pod = Pod::start();
    let (mut client, mut operator) = (pod.client().await, operator(&pod).await);
    let settings = [("burst", "7"), ("limits.sms.rate", "10/h")];
    let reply = operator.put_tenant(put("acme", "free", &settings)).await;
    let reply = reply.expect("well formed").into_inner();
    assert_eq!(reply.before, None);
    let after = reply.after.expect("it is there");
    let request = after.request.expect("limited");
    assert_eq!(
        (request.amount, request.period_ms, request.burst),
        (100, 60_000, 7)
    );
    assert_eq!((after.state(), &*after.source), (Active, "operator"));
    assert_eq!(after.limits, ["sms"]);
    assert_eq!(after.settings["limits.sms.rate"], "10/h");

    let set_to = operator.set_tenant_state(state("acme", Suspended)).await;
    let set_to = set_to.expect("well formed").into_inner();
    assert_eq!(set_to.before.expect("it was there").state(), Active);
    assert_eq!(set_to.after.expect("it is there").state(), Suspended);
    let refused = client
        .set(set("key", "value"))
        .await
        .expect_err("suspended");
    assert_eq!(refused.code(), Code::PermissionDenied);
    operator
        .set_tenant_state(state("acme", Trial))
        .await
        .expect("well formed");
    client.set(set("key", "value")).await.expect("served again");

    let told = changes(&mut operator).await;
    assert_eq!(
        told[..3],
        [
            "state acme: suspended → trial (ada: unpaid)",
            "state acme: active → suspended (ada: unpaid)",
            "put acme: unknown → free active burst=7 limits.sms.burst=10 limits.sms.rate=10/h (ada: a test)",
        ]
    );
}

#[tokio::test]
async fn tenants_are_listed_a_page_at_a_time() {
    let pod = Pod::start();
    let mut operator = operator(&pod).await;
    for name in ["c", "a", "b", "d", "e"] {
        operator
            .put_tenant(put(name, "pro", &[]))
            .await
            .expect("well formed");
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let request = v1::ListTenantsRequest {
            after,
            limit: 2,
            ..Default::default()
        };
        let page = operator
            .list_tenants(request)
            .await
            .expect("well formed")
            .into_inner();
        assert_eq!(page.total, 5);
        names.extend(page.tenants.into_iter().map(|tenant| tenant.name));
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let request = v1::ListTenantsRequest {
        limit: 1_001,
        ..Default::default()
    };
    let refused = operator.list_tenants(request).await.expect_err("too many");
    assert_eq!(refused.message(), "limit: 1001, limit 1000");
}

#[tokio::test]
async fn what_is_out_of_form_is_refused_and_changes_nothing() {
    let pod = Pod::start();
    let mut operator = operator(&pod).await;
    let with = |change: fn(&mut v1::PutTenantRequest)| {
        let mut request = put("acme", "free", &[]);
        change(&mut request);
        request
    };
    for (request, code, message) in [
        (
            with(|put| put.tenant.clear()),
            Code::InvalidArgument,
            "tenant: is empty, needs at least 1 byte",
        ),
        (
            with(|put| put.tier = "gold".to_owned()),
            Code::InvalidArgument,
            "tenant acme: no tier gold: expected one of enterprise, free, pro",
        ),
        (
            with(|put| drop(put.settings.insert("rate".to_owned(), "fast".to_owned()))),
            Code::InvalidArgument,
            "settings.rate: found \"fast\"; expected a rate such as 100/min, 5000/s, 10/h or 1/30s, 1/366d to 100000000/s, or unlimited",
        ),
        (
            with(|put| {
                drop(
                    put.settings
                        .insert("cache_reserve".to_owned(), "1GiB".to_owned()),
                )
            }),
            Code::InvalidArgument,
            "tenant acme: tier free: a cache_reserve of 1073741824 bytes above the cache_cap of 33554432",
        ),
        (
            with(|put| put.state = 99),
            Code::InvalidArgument,
            "state: 99 is none of 1 (ACTIVE), 2 (TRIAL), 3 (SUSPENDED), 4 (MAINTENANCE), 5 (PENDING_OFFBOARD), 6 (OFFBOARDED)",
        ),
        (
            with(|put| put.state = Purged.into()),
            Code::FailedPrecondition,
            "tenant acme: purged is no state to set: purge the tenant",
        ),
        (
            with(|put| put.actor = "a\nb".to_owned()),
            Code::InvalidArgument,
            "actor: byte 1 is a control character",
        ),
        (
            with(|put| put.actor = "a".repeat(129)),
            Code::InvalidArgument,
            "actor: 129 bytes, limit 128",
        ),
    ] {
        let refused = operator.put_tenant(request).await.expect_err(message);
        assert_eq!((refused.code(), refused.message()), (code, message));
    }
    let greedy = [("cache_cap", "none"), ("cache_reserve", "1000GiB")];
    let refused = operator.put_tenant(put("acme", "free", &greedy)).await;
    let refused = refused.expect_err("there is not so much");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(pod.running.directory().is_empty());
    assert_eq!(changes(&mut operator).await.len(), 1, "the start");
}

#[tokio::test]
async fn a_purge_leaves_nothing_and_says_so() {
    let pod = Pod::start();
    let (mut client, mut operator) = (pod.client().await, operator(&pod).await);
    for key in ["a", "b", "c"] {
        client.set(set(key, "value")).await.expect("stored");
    }
    let mut other = set("a", "kept");
    other.tenant = "other".to_owned();
    client.set(other).await.expect("stored");
    operator
        .put_tenant(put("acme", "pro", &[]))
        .await
        .expect("well formed");

    let spent = pod.running.limiter().acquire_own("acme", 1);
    assert!(spent.expect("known").is_allowed());
    let refused = operator.purge_tenant(purge("acme", false)).await;
    let refused = refused.expect_err("it is served");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::FailedPrecondition,
            "tenant: is active: suspend or offboard it first, or say force"
        )
    );
    operator
        .set_tenant_state(state("acme", Suspended))
        .await
        .expect("well formed");
    let limiter = pod.running.limiter();
    let counted = || {
        limiter
            .metered()
            .into_iter()
            .filter(|one| one.tenant.is_some())
    };
    assert_eq!(counted().count(), 1, "its calls are");
    let purged = operator.purge_tenant(purge("acme", false)).await;
    assert_eq!(counted().count(), 0, "nothing is told in its name");
    let receipt = purged
        .expect("it may be")
        .into_inner()
        .receipt
        .expect("a receipt");
    assert_eq!(
        (&*receipt.tenant, receipt.incarnation, receipt.entries),
        ("acme", 1, 3)
    );
    assert!(
        receipt.bytes > 0 && receipt.began_unix_ms > 0,
        "{receipt:?}"
    );
    assert_eq!(receipt.verified_empty, ["l1", "buckets"]);
    assert!(receipt.not_verified.is_empty());
    let boot = pod.running.pond().boot().to_bits();
    assert_eq!(receipt.confirmed_by, [format!("{boot:016x}")]);

    let refused = client.get(held("a")).await.expect_err("it is purged");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = operator.set_tenant_state(state("acme", Active)).await;
    assert_eq!(refused.expect_err("final").code(), Code::FailedPrecondition);
    let told = changes(&mut operator).await;
    assert!(
        told[0].starts_with("purge acme: pro suspended → purged: 3 entries, "),
        "{told:?}"
    );
    assert!(
        told[0].ends_with(" 0 bytes left (ada: ticket 7)"),
        "{told:?}"
    );

    // Anew: nothing of its former life.
    let anew = operator.put_tenant(put("acme", "pro", &[])).await;
    let anew = anew
        .expect("well formed")
        .into_inner()
        .after
        .expect("it is there");
    assert_eq!((anew.state(), anew.incarnation), (Active, 2));
    assert!(read(&client, get("a")).await.lease.is_some());
    let mut other = held("a");
    other.tenant = "other".to_owned();
    assert_eq!(value(&read(&client, other).await), Some(&b"kept"[..]));
}
