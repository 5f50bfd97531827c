//! What operators change: modes, tenants, configuration; and what is told of it.

use millpond_proto::v1;
use tonic::Code;

use crate::process::Process;
use crate::support::{LONG, Pod, eventually, get, held, read, set, value};
use crate::{Operator, operator, operator_at};

fn mode(mode: v1::Mode, for_ms: u64) -> v1::SetModeRequest {
    v1::SetModeRequest {
        cache: "users".to_owned(),
        mode: mode.into(),
        for_ms,
        why: "a test".to_owned(),
    }
}

async fn switch(operator: &mut Operator, request: v1::SetModeRequest) -> (v1::Mode, v1::Mode) {
    let reply = operator.set_mode(request).await;
    let reply = reply.expect("it is well formed").into_inner();
    assert_eq!(reply.scope(), v1::Scope::Pod);
    (reply.before(), reply.after())
}

async fn stats(operator: &mut Operator) -> v1::StatsReply {
    let stats = operator.stats(v1::StatsRequest {}).await;
    stats.expect("it answers").into_inner()
}

#[tokio::test]
async fn a_cache_is_switched_for_all_tenants_and_back() {
    use v1::Mode::{Bypass, Observe, On, Unspecified};
    let pod = Pod::start();
    let (mut client, mut operator) = (pod.client().await, operator(&pod).await);
    client.set(set("key", "value")).await.expect("it is stored");

    assert_eq!(switch(&mut operator, mode(Bypass, 0)).await, (On, Bypass));
    let bypassed = read(&client, held("key")).await;
    assert_eq!(bypassed.reason(), v1::Reason::Bypass);
    let mut stranger = get("key");
    stranger.tenant = "stranger".to_owned();
    assert_eq!(read(&client, stranger).await.reason(), v1::Reason::Bypass);

    let told = stats(&mut operator).await;
    let users = &told.caches[0];
    assert_eq!((users.mode(), users.switched), (Bypass, true));
    assert_eq!(users.mode_ends_in_ms, None);
    assert_eq!(told.changes[0].kind, "mode");
    assert_eq!(told.changes[0].what, "users: on → bypass (a test)");

    let observed = switch(&mut operator, mode(Observe, 0)).await;
    assert_eq!(observed, (Bypass, Observe));
    let back = switch(&mut operator, mode(Unspecified, 0)).await;
    assert_eq!(back, (Observe, On));
    let answer = read(&client, held("key")).await;
    assert_eq!(value(&answer), Some(&b"value"[..]));
}

#[tokio::test]
async fn a_mode_for_a_time_ends_by_itself_unless_another_came() {
    use v1::Mode::{Bypass, Observe};
    let pod = Pod::start();
    let (mut client, mut operator) = (pod.client().await, operator(&pod).await);
    client.set(set("key", "value")).await.expect("it is stored");

    switch(&mut operator, mode(Bypass, 3_600_000)).await;
    let told = stats(&mut operator).await;
    let left = told.caches[0].mode_ends_in_ms.expect("it ends");
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");

    // A shorter word replaces it, and ends.
    switch(&mut operator, mode(Bypass, 50)).await;
    let scope = pod.running.pond().scope_named("acme", "users");
    let scope = scope.expect("it is in use");
    eventually("the mode ends by itself", || {
        scope.mode() == millpond_core::cache::Mode::On
    })
    .await;
    let told = stats(&mut operator).await;
    assert_eq!(
        told.changes[0].what,
        "users: bypass → on (its time is over)"
    );
    assert_eq!(told.caches[0].mode_ends_in_ms, None);

    // A word without an end takes the place of one with an end: the next change of
    // another cache comes after the first word's time, and finds it in force.
    switch(&mut operator, mode(Bypass, 50)).await;
    switch(&mut operator, mode(Observe, 0)).await;
    let other = v1::SetModeRequest {
        cache: "other".to_owned(),
        ..mode(Bypass, 100)
    };
    switch(&mut operator, other).await;
    let mut left = LONG;
    let step = std::time::Duration::from_millis(2);
    while !stats(&mut operator).await.changes[0]
        .what
        .starts_with("other: bypass → on")
    {
        left = left.checked_sub(step).expect("the other word ends");
        tokio::time::sleep(step).await;
    }
    assert_eq!(scope.mode(), millpond_core::cache::Mode::Observe);
}

#[tokio::test]
async fn a_switch_out_of_form_is_refused_and_changes_nothing() {
    let pod = Pod::start();
    let mut operator = operator(&pod).await;
    let bypass = mode(v1::Mode::Bypass, 0);
    for (request, message) in [
        (
            v1::SetModeRequest {
                cache: String::new(),
                ..bypass.clone()
            },
            "cache: is empty, needs at least 1 byte".to_owned(),
        ),
        (
            v1::SetModeRequest {
                mode: 7,
                ..bypass.clone()
            },
            "mode: 7 is none of 0 (as configured), 1 (ON), 2 (OBSERVE), 3 (BYPASS)".to_owned(),
        ),
        (
            mode(v1::Mode::Bypass, 2_592_000_001),
            "for_ms: 2592000001, limit 2592000000".to_owned(),
        ),
        (
            mode(v1::Mode::Unspecified, 1),
            "for_ms: going back to the configured mode has no end".to_owned(),
        ),
        (
            v1::SetModeRequest {
                why: "x".repeat(257),
                ..bypass.clone()
            },
            "why: 257 bytes, limit 256".to_owned(),
        ),
        (
            v1::SetModeRequest {
                why: "one\nline".to_owned(),
                ..bypass.clone()
            },
            "why: byte 3 is a control character".to_owned(),
        ),
    ] {
        let refused = operator.set_mode(request).await.expect_err("out of form");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), message);
    }
    let told = stats(&mut operator).await;
    assert!(told.caches.is_empty());
    assert_eq!(told.changes.len(), 1, "only the start");
}

#[tokio::test]
async fn a_tenant_is_invalidated_in_all_its_caches_and_no_other() {
    let pod = Pod::start();
    let (mut client, mut operator) = (pod.client().await, operator(&pod).await);
    let of = |tenant: &str, cache: &str| {
        let mut set = set("key", "value");
        tenant.clone_into(&mut set.tenant);
        cache.clone_into(&mut set.cache);
        set
    };
    let all = [("acme", "users"), ("acme", "carts"), ("other", "users")];
    for (tenant, cache) in all {
        client.set(of(tenant, cache)).await.expect("it is stored");
    }
    let request = v1::InvalidateTenantRequest {
        tenant: "acme".to_owned(),
        why: "left".to_owned(),
    };
    let reply = operator.invalidate_tenant(request).await;
    let reply = reply.expect("it is well formed").into_inner();
    assert_eq!(reply.durability(), v1::Durability::Local);
    assert_eq!(reply.version.len(), 16);
    for (tenant, cache) in all {
        let mut wanted = held("key");
        tenant.clone_into(&mut wanted.tenant);
        cache.clone_into(&mut wanted.cache);
        let found = read(&client, wanted).await.found.is_some();
        assert_eq!(found, tenant == "other", "{tenant} {cache}");
    }
    let told = stats(&mut operator).await;
    assert_eq!(told.changes[0].what, "acme: held → invalidated (left)");
}

#[tokio::test]
async fn a_file_is_read_again_when_asked_and_a_bad_one_changes_nothing() {
    let name = format!("millpond-admin-{}.yaml", std::process::id());
    let file = std::env::temp_dir().join(name);
    let write = |text: &str| {
        let text = format!("apiVersion: millpond/v1\n{text}");
        std::fs::write(&file, text).expect("it can be written");
    };
    write("caches:\n  users:\n    fresh: 10s\n");
    let path = file.to_str().expect("it is text");
    let process = Process::start(&["--config", path]);
    let mut operator = operator_at(process.admin.clone()).await;
    let first = stats(&mut operator).await;
    let in_force = first.config.expect("always told");
    assert_eq!(in_force.file, path);
    assert!(!in_force.hash.is_empty());
    let users = &first.caches[0];
    assert_eq!((users.declared, users.fresh_ms), (true, 10_000));

    write("caches:\n  users:\n    fresh: 20s\nworkers: 3\n");
    let reply = operator.reload_config(v1::ReloadConfigRequest {}).await;
    let reply = reply.expect("there is a file").into_inner();
    assert!(reply.in_force && reply.errors.is_empty(), "{reply:?}");
    assert!(reply.after_restart[0].starts_with("workers:"), "{reply:?}");
    let second = stats(&mut operator).await;
    assert_eq!(second.caches[0].fresh_ms, 20_000);
    let obeyed = second.config.expect("always told");
    assert_ne!(obeyed.hash, in_force.hash);
    assert_eq!((obeyed.reloads, obeyed.reloads_refused), (1, 0));
    assert_eq!(obeyed.after_restart, reply.after_restart);
    assert!(second.changes.iter().any(|change| change.kind == "config"));

    write("caches:\n  users:\n    fresh: soon\n    stale: -1\n");
    let reply = operator.reload_config(v1::ReloadConfigRequest {}).await;
    let reply = reply.expect("there is a file").into_inner();
    assert!(!reply.in_force);
    for (error, path) in reply.errors.iter().zip(["users.fresh", "users.stale"]) {
        assert!(error.contains(path), "{error}");
    }
    assert_eq!(reply.errors.len(), 2);
    let third = stats(&mut operator).await;
    assert_eq!(third.caches[0].fresh_ms, 20_000);
    let kept = third.config.expect("always told");
    assert_eq!((kept.hash, kept.refused), (obeyed.hash, reply.errors));
    assert_eq!(kept.reloads_refused, 1);
    drop(process);
    std::fs::remove_file(file).expect("it is there");
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let pod = Pod::start();
    let mut operator = operator(&pod).await;
    let refused = operator.reload_config(v1::ReloadConfigRequest {}).await;
    let refused = refused.expect_err("there is no file");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "started without a configuration file");
}
