//! Today's client and a sidecar that says what no revision says yet, says less than
//! it is asked, or takes less.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use millpond_client::{Durability, Error, LoadedMany, RemoteConfig, TenantCache};
use millpond_proto::v1;
use prost::Message;
use tokio::sync::watch;

use crate::recording::reply;
use crate::{raw, users, with_unknown};

/// A sidecar that says what no revision says yet.
async fn later(get: v1::GetReply) -> TenantCache {
    let at = raw::serve(move |call| {
        let reply = match call.method.as_str() {
            "Hello" => v1::HelloReply {
                revision: 9,
                features: vec!["teleport".to_owned()],
                boot: 7,
                limits: None,
            }
            .encode_to_vec(),
            "Get" => get.encode_to_vec(),
            "GetMany" => {
                let asked = v1::GetManyRequest::decode(call.message).expect("a request");
                let entries = asked.keys.iter().map(|_| get.clone()).collect();
                v1::GetManyReply { entries }.encode_to_vec()
            }
            "Fill" => v1::FillReply {
                outcomes: vec![v1::FillOutcome {
                    outcome: 99,
                    version: Bytes::from_static(b"a version of another form"),
                }],
            }
            .encode_to_vec(),
            "Invalidate" => v1::InvalidateReply {
                version: Bytes::from_static(b"v"),
                durability: 9,
            }
            .encode_to_vec(),
            _ => Vec::new(),
        };
        with_unknown(&reply.into())
    })
    .await;
    users(at).await
}

#[tokio::test]
async fn a_reason_of_a_later_revision_is_an_error_and_no_leave_to_load() {
    let users = later(v1::GetReply {
        reason: 4_711,
        ..v1::GetReply::default()
    })
    .await;
    let never = || async { panic!("it must not load") };
    let read = users.get_or_load::<_, _, &str, String>("42", never).await;
    let told = read.expect_err("there is nothing").to_string();
    assert!(told.contains("reason 4711"), "{told}");
    let never = |_| async { panic!("it must not load") };
    let many = users
        .get_many_or_load::<_, _, _, String>(["42", "43"], never)
        .await;
    for one in many {
        assert!(matches!(one, Err(Error::Rejected { .. })), "{one:?}");
    }
}

#[tokio::test]
async fn what_a_later_revision_says_beside_a_value_does_no_harm() {
    let users = later(v1::GetReply {
        found: Some(v1::get_reply::Found::Value(Bytes::from_static(b"Ada"))),
        stale: true,
        reason: 4_711,
        source: 77,
        version: Bytes::from(vec![7; 40]),
        ..v1::GetReply::default()
    })
    .await;
    let held = users.get("42").await.expect("it answers").value();
    let held = held.expect("it is held");
    assert_eq!(&held[..], b"Ada");
    assert!(held.stale().is_some());
    assert_eq!(
        held.version(),
        None,
        "one that is too long to be handed back"
    );
    let done = users.invalidate("42").await.expect("it takes effect");
    assert_eq!(done.durability, Durability::Local);
}

#[tokio::test]
async fn an_outcome_of_a_later_revision_settles_the_load() {
    let users = later(v1::GetReply {
        lease: Some(v1::Lease {
            boot: 7,
            token: 1,
            expires_in_ms: 10_000,
        }),
        ..v1::GetReply::default()
    })
    .await;
    let load = || async { Ok::<_, String>("Ada") };
    let own = users.get_or_load("42", load).await.expect("it loads");
    assert_eq!(&own.expect("it is there")[..], b"Ada");
}

#[tokio::test]
async fn a_sidecar_that_answers_fewer_keys_than_asked_is_an_error() {
    let at = raw::serve(|call| match call.method.as_str() {
        "Hello" => reply("Hello", 0),
        _ => v1::GetManyReply::default().encode_to_vec().into(),
    })
    .await;
    let users = users(at).await;
    let never = |_: Vec<Bytes>| async { Ok::<LoadedMany<String>, String>(LoadedMany::new()) };
    for one in users.get_many_or_load(["42", "43"], never).await {
        assert!(matches!(one, Err(Error::Rejected { .. })), "{one:?}");
    }
}

#[tokio::test]
async fn a_sidecar_before_revision_1_is_refused_by_name() {
    let at = raw::serve(|_| Bytes::new()).await;
    let config = RemoteConfig::new(&at.to_string()).expect("the address is one");
    let told = config
        .connect()
        .await
        .expect_err("it is too old")
        .to_string();
    assert!(told.contains("speaks revision 0, expected 1"), "{told}");
    assert!(told.contains(&at.to_string()), "{told}");
}

#[tokio::test]
async fn what_a_sidecar_takes_at_once_is_not_exceeded() {
    let sizes = Arc::new(watch::Sender::new(Vec::new()));
    let told = Arc::clone(&sizes);
    let at = raw::serve(move |call| {
        let bytes = match call.method.as_str() {
            "Hello" => v1::HelloReply {
                revision: 1,
                boot: 7,
                limits: Some(v1::Limits {
                    max_keys: 3,
                    max_fills: 2,
                    ..v1::Limits::default()
                }),
                ..v1::HelloReply::default()
            }
            .encode_to_vec(),
            "GetMany" => {
                let asked = v1::GetManyRequest::decode(call.message).expect("a request");
                told.send_modify(|sizes| sizes.push(("keys", asked.keys.len())));
                let lease = |at| v1::GetReply {
                    lease: Some(v1::Lease {
                        boot: 7,
                        token: at,
                        expires_in_ms: 10_000,
                    }),
                    ..v1::GetReply::default()
                };
                let entries = (1..).take(asked.keys.len()).map(lease).collect();
                v1::GetManyReply { entries }.encode_to_vec()
            }
            "Fill" => {
                let asked = v1::FillRequest::decode(call.message).expect("a request");
                told.send_modify(|sizes| sizes.push(("fills", asked.fills.len())));
                let outcomes = vec![v1::FillOutcome::default(); asked.fills.len()];
                v1::FillReply { outcomes }.encode_to_vec()
            }
            "Invalidate" => {
                let asked = v1::InvalidateRequest::decode(call.message).expect("a request");
                let Some(v1::invalidate_request::Target::Keys(keys)) = asked.target else {
                    panic!("it names keys")
                };
                told.send_modify(|sizes| sizes.push(("invalidated", keys.keys.len())));
                let version = Bytes::from_static(b"v");
                v1::InvalidateReply {
                    version,
                    ..v1::InvalidateReply::default()
                }
                .encode_to_vec()
            }
            other => panic!("{other}"),
        };
        bytes.into()
    })
    .await;
    let users = users(at).await;
    let keys = ["a", "b", "c", "d"];
    let load = |keys: Vec<Bytes>| async move {
        let found = keys.into_iter().map(|key| (key, "value"));
        Ok::<LoadedMany<_>, String>(found.collect())
    };
    let found = users.get_many_or_load(keys, load).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    users.invalidate_keys(keys).await.expect("it takes effect");
    let sizes = sizes.borrow().clone();
    let expected = [
        ("keys", 3),
        ("fills", 2),
        ("fills", 1),
        ("keys", 1),
        ("fills", 1),
        ("invalidated", 3),
        ("invalidated", 1),
    ];
    assert_eq!(sizes, expected);
}

#[tokio::test]
async fn the_sidecar_is_told_how_long_a_call_may_take() {
    static TOLD: OnceLock<(String, Option<u32>)> = OnceLock::new();
    let at = raw::serve(|call| {
        if call.method == "Get" {
            let timeout = call.headers.get("grpc-timeout").expect("it has a deadline");
            let timeout = timeout.to_str().expect("text").to_owned();
            let asked = v1::GetRequest::decode(call.message).expect("a request");
            drop(TOLD.set((timeout, asked.wait_ms)));
            return reply("Get", 1);
        }
        reply(&call.method, 0)
    })
    .await;
    let users = users(at).await.within(Duration::from_secs(3));
    let load = || async { Ok::<_, String>("never") };
    users.get_or_load("42", load).await.expect("it is held");
    let (timeout, wait) = TOLD.get().expect("it was asked");
    // The units of the protocol: what is left of three seconds.
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let left: u64 = digits.parse().expect("digits");
    let micros = match unit {
        "m" => left * 1_000,
        "u" => left,
        "n" => left / 1_000,
        other => panic!("{other}"),
    };
    assert!((1..=3_000_000).contains(&micros), "{timeout}");
    assert_eq!(*wait, Some(3_000), "no longer than the whole call");
}

#[tokio::test]
async fn a_caller_that_says_nothing_waits_for_two_leases() {
    let waits = Arc::new(watch::Sender::new(None));
    let told = Arc::clone(&waits);
    let at = raw::serve(move |call| {
        if call.method == "Get" {
            let asked = v1::GetRequest::decode(call.message).expect("a request");
            told.send_replace(asked.wait_ms);
            return reply("Get", 1);
        }
        reply(&call.method, 0)
    })
    .await;
    let load = || async { Ok::<_, String>("never") };
    let read = users(at).await.get_or_load("42", load).await;
    read.expect("it is held");
    assert_eq!(*waits.borrow(), Some(20_000));
}

#[tokio::test]
async fn a_value_larger_than_a_message_used_to_be_is_read() {
    let users = later(v1::GetReply {
        found: Some(v1::get_reply::Found::Value(vec![7; 5 << 20].into())),
        ..v1::GetReply::default()
    })
    .await;
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(held.expect("it is held").len(), 5 << 20);
}
