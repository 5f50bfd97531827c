//! What is refused, and how it is said.

use bytes::Bytes;
use millpond_proto::v1;
use tonic::{Code, Status};

use crate::support::{Client, Pod, fill, get, get_many, held, invalidate, lead, read, set, value};

/// Stands in every key, value and tag here, and in no message.
const SECRET: &str = "s3cret";

fn long(length: usize) -> Bytes {
    SECRET.bytes().cycle().take(length).collect()
}

fn tag(length: usize) -> String {
    String::from_utf8(long(length).to_vec()).expect("it is ASCII")
}

enum Call {
    Get(v1::GetRequest),
    GetMany(v1::GetManyRequest),
    Fill(v1::FillRequest),
    Renew(v1::RenewRequest),
    Set(v1::SetRequest),
    Invalidate(v1::InvalidateRequest),
}

impl Call {
    async fn refused(self, client: &mut Client) -> Status {
        let refused = match self {
            Self::Get(request) => client.get(request).await.err(),
            Self::GetMany(request) => client.get_many(request).await.err(),
            Self::Fill(request) => client.fill(request).await.err(),
            Self::Renew(request) => client.renew(request).await.err(),
            Self::Set(request) => client.set(request).await.err(),
            Self::Invalidate(request) => client.invalidate(request).await.err(),
        };
        refused.expect("a bad argument is refused")
    }
}

fn in_get(change: impl FnOnce(&mut v1::GetRequest)) -> Call {
    let mut request = get(SECRET);
    change(&mut request);
    Call::Get(request)
}

fn in_get_many(change: impl FnOnce(&mut v1::GetManyRequest)) -> Call {
    let mut request = get_many(&[SECRET, "s3cret2"]);
    change(&mut request);
    Call::GetMany(request)
}

fn in_fill(change: impl FnOnce(&mut v1::Fill)) -> Call {
    // The first fill is well formed: it must not be carried out either.
    let mut request = fill(SECRET, v1::Lease::default(), SECRET);
    let mut second = request.fills[0].clone();
    change(&mut second);
    request.fills.push(second);
    Call::Fill(request)
}

fn in_set(change: impl FnOnce(&mut v1::SetRequest)) -> Call {
    let mut request = set(SECRET, SECRET);
    change(&mut request);
    Call::Set(request)
}

fn in_renew(change: impl FnOnce(&mut v1::RenewRequest)) -> Call {
    let mut request = v1::RenewRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: Bytes::from_static(SECRET.as_bytes()),
        lease: Some(v1::Lease::default()),
        lease_ms: None,
    };
    change(&mut request);
    Call::Renew(request)
}

fn keys(keys: Vec<Bytes>) -> Option<v1::invalidate_request::Target> {
    Some(v1::invalidate_request::Target::Keys(v1::Keys { keys }))
}

fn tags(tags: Vec<String>) -> Option<v1::invalidate_request::Target> {
    Some(v1::invalidate_request::Target::Tags(v1::Tags { tags }))
}

fn in_invalidate(change: impl FnOnce(&mut v1::InvalidateRequest)) -> Call {
    let whole = v1::invalidate_request::Target::WholeCache(true);
    let mut request = invalidate(whole);
    change(&mut request);
    Call::Invalidate(request)
}

fn reads() -> Vec<(Call, &'static str)> {
    vec![
        (
            in_get(|get| get.tenant = String::new()),
            "tenant: is empty, needs at least 1 byte",
        ),
        (
            in_get(|get| get.tenant = tag(129)),
            "tenant: 129 bytes, limit 128",
        ),
        (
            in_get(|get| get.tenant = "a/s3cret".to_owned()),
            "tenant: byte 1 is outside [A-Za-z0-9._-]",
        ),
        (
            in_get(|get| get.cache = tag(65)),
            "cache: 65 bytes, limit 64",
        ),
        (
            in_get(|get| get.cache = "Users".to_owned()),
            "cache: byte 0 is outside [a-z0-9._-]",
        ),
        (
            in_get(|get| get.key = Bytes::new()),
            "key: is empty, needs at least 1 byte",
        ),
        (
            in_get(|get| get.key = long(1_025)),
            "key: 1025 bytes, limit 1024",
        ),
        (
            in_get(|get| get.load = 7),
            "load: 7 is none of 0 (NEVER), 1 (CALLER), 2 (ORIGIN)",
        ),
        (
            in_get(|get| get.load = 2),
            "load: ORIGIN: the cache has no origin configured",
        ),
        (
            in_get(|get| get.min_version = long(33)),
            "min_version: 33 bytes, limit 32",
        ),
        (
            in_get(|get| get.min_version = long(5)),
            "min_version: 5 bytes that are not a version",
        ),
        (
            in_get_many(|many| many.cache = String::new()),
            "cache: is empty, needs at least 1 byte",
        ),
        (
            in_get_many(|many| many.keys.clear()),
            "keys: is empty, needs at least 1",
        ),
        (
            in_get_many(|many| many.keys.resize(513, many.keys[0].clone())),
            "keys: 513, limit 512",
        ),
        (
            in_get_many(|many| many.keys[1].key = long(1_025)),
            "keys[1].key: 1025 bytes, limit 1024",
        ),
        (
            in_get_many(|many| many.keys[1].min_version = long(33)),
            "keys[1].min_version: 33 bytes, limit 32",
        ),
        (
            in_get_many(|many| many.load = 2),
            "load: ORIGIN: the cache has no origin configured",
        ),
    ]
}

fn writes() -> Vec<(Call, &'static str)> {
    use v1::fill::Settlement;
    vec![
        (
            in_fill(|fill| fill.key = long(1_025)),
            "fills[1].key: 1025 bytes, limit 1024",
        ),
        (
            in_fill(|fill| fill.lease = None),
            "fills[1].lease: is missing",
        ),
        (
            in_fill(|fill| fill.settlement = None),
            "fills[1].settlement: needs one of value, absent, not_modified, failed, given_up",
        ),
        (
            in_fill(|fill| fill.settlement = Some(Settlement::Absent(false))),
            "fills[1].absent: is false",
        ),
        (
            in_fill(|fill| fill.settlement = Some(Settlement::NotModified(false))),
            "fills[1].not_modified: is false",
        ),
        (
            in_fill(|fill| fill.settlement = Some(Settlement::GivenUp(false))),
            "fills[1].given_up: is false",
        ),
        (
            in_fill(|fill| fill.tags = vec![tag(3); 9]),
            "fills[1].tags: 9 tags, limit 8",
        ),
        (
            in_fill(|fill| fill.tags = vec![tag(129)]),
            "fills[1].tags: 129 bytes, limit 128",
        ),
        (
            in_fill(|fill| fill.etag = long(257)),
            "fills[1].etag: 257 bytes, limit 256",
        ),
        (
            Call::Fill(v1::FillRequest {
                fills: Vec::new(),
                ..fill(SECRET, v1::Lease::default(), SECRET)
            }),
            "fills: is empty, needs at least 1",
        ),
        (
            in_renew(|renew| renew.key = Bytes::new()),
            "key: is empty, needs at least 1 byte",
        ),
        (in_renew(|renew| renew.lease = None), "lease: is missing"),
        (
            in_renew(|renew| renew.tenant = tag(129)),
            "tenant: 129 bytes, limit 128",
        ),
        (
            in_set(|set| set.key = Bytes::new()),
            "key: is empty, needs at least 1 byte",
        ),
        (
            in_set(|set| set.cache = tag(65)),
            "cache: 65 bytes, limit 64",
        ),
        (
            in_set(|set| set.tags = vec![String::new()]),
            "tags: is empty, needs at least 1 byte",
        ),
        (
            in_set(|set| set.etag = long(257)),
            "etag: 257 bytes, limit 256",
        ),
        (
            in_set(|set| set.if_version = Some(Bytes::new())),
            "if_version: 0 bytes that are not a version",
        ),
        (
            in_set(|set| set.if_version = Some(long(33))),
            "if_version: 33 bytes, limit 32",
        ),
        (
            in_invalidate(|all| all.target = None),
            "target: needs one of keys, tags, whole_cache",
        ),
        (
            in_invalidate(|all| {
                all.target = Some(v1::invalidate_request::Target::WholeCache(false))
            }),
            "whole_cache: is false",
        ),
        (
            in_invalidate(|all| all.target = keys(Vec::new())),
            "keys: is empty, needs at least 1",
        ),
        (
            in_invalidate(|all| all.target = keys(vec![long(1); 513])),
            "keys: 513, limit 512",
        ),
        (
            in_invalidate(|all| all.target = keys(vec![long(1), Bytes::new()])),
            "keys[1].key: is empty, needs at least 1 byte",
        ),
        (
            in_invalidate(|all| all.target = tags(vec![tag(1); 9])),
            "tags: 9, limit 8",
        ),
        (
            in_invalidate(|all| all.target = tags(vec![tag(129)])),
            "tags: 129 bytes, limit 128",
        ),
        (
            in_invalidate(|all| all.settle_ms = Some(3_600_001)),
            "settle_ms: 3600001, limit 3600000",
        ),
    ]
}

#[tokio::test]
async fn a_bad_field_is_named_with_its_limit_and_nothing_is_done() {
    let pod = Pod::start();
    let mut client = pod.client().await;
    for (call, message) in reads().into_iter().chain(writes()) {
        let refused = call.refused(&mut client).await;
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::InvalidArgument, message)
        );
        assert!(!refused.message().contains(SECRET));
        let gauges = pod.running.pond().gauges();
        assert_eq!(
            (gauges.entries, gauges.loads, gauges.caches),
            (0, 0, 0),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let pod = Pod::start();
    let mut request = tonic::Request::new(get("key"));
    let timeout = "soon".parse().expect("it is ASCII");
    request.metadata_mut().insert("grpc-timeout", timeout);
    let refused = pod
        .client()
        .await
        .get(request)
        .await
        .expect_err("no deadline");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("grpc-timeout: "), "{refused}");
}

#[tokio::test]
async fn a_position_of_another_process_cannot_be_confirmed() {
    let (pod, other) = (Pod::start(), Pod::start());
    let version = other.client().await.set(set("key", "theirs")).await;
    let version = version.expect("it is set").into_inner().version;
    let asked = v1::GetRequest {
        min_version: version,
        ..held("key")
    };
    let refused = pod
        .client()
        .await
        .get(asked)
        .await
        .expect_err("unknown here");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_position_of_ours_is_confirmed() {
    let pod = Pod::start();
    let client = pod.client().await;
    let stored = client
        .clone()
        .set(set("key", "value"))
        .await
        .expect("it is set");
    let asked = v1::GetRequest {
        min_version: stored.into_inner().version,
        ..held("key")
    };
    assert_eq!(value(&read(&client, asked).await), Some(&b"value"[..]));
}

#[tokio::test]
async fn a_value_too_large_to_set_is_refused_and_not_stored() {
    let pod = Pod::start();
    let client = pod.client().await;
    let refused = client.clone().set(set("key", long((1 << 20) + 1))).await;
    let refused = refused.expect_err("it is too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "value: 1048577 bytes, limit 1048576");
    let reply = read(&client, held("key")).await;
    assert_eq!(reply.reason(), v1::Reason::NotHeld);
    assert!(client.clone().set(set("key", long(1 << 20))).await.is_ok());
}

#[tokio::test]
async fn a_value_too_large_to_keep_reaches_those_who_wait_and_fails_its_loader() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, get("key")).await }
    });
    pod.until_coalesced(1).await;

    let mut filling = fill("key", lease, "");
    let large = long((1 << 20) + 1);
    filling.fills[0].settlement = Some(v1::fill::Settlement::Value(large.clone()));
    let refused = client
        .clone()
        .fill(filling)
        .await
        .expect_err("it is too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "fills[0].value: 1048577 bytes, limit 1048576"
    );
    let followed = following.await.expect("it ends");
    assert_eq!(value(&followed), Some(&large[..]));
    assert_eq!(
        read(&client, held("key")).await.reason(),
        v1::Reason::NotHeld
    );
}

#[tokio::test]
async fn a_set_over_another_version_writes_nothing() {
    let (pod, other) = (Pod::start(), Pod::start());
    let client = pod.client().await;
    let first = client
        .clone()
        .set(set("key", "1"))
        .await
        .expect("it is set");
    let first = first.into_inner().version;
    let theirs = other
        .client()
        .await
        .set(set("key", "x"))
        .await
        .expect("it is set");
    let theirs = theirs.into_inner().version;
    let over = |version: &Bytes, value: &'static str| v1::SetRequest {
        if_version: Some(version.clone()),
        ..set("key", value)
    };
    for (version, value, stored) in [
        (&theirs, "2", false),
        (&first, "3", true),
        (&first, "4", false),
    ] {
        let reply = client.clone().set(over(version, value)).await;
        assert_eq!(
            reply.expect("it is well formed").into_inner().stored,
            stored
        );
    }
    assert_eq!(value(&read(&client, held("key")).await), Some(&b"3"[..]));
}
