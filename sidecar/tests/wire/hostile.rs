//! Peers that send what they should not, half of it, or take nothing.

use std::time::Duration;

use bytes::Bytes;
use millpond_proto::v1;
use millpond_sidecar::Config;
use prost::Message;
use tokio::time::timeout;
use tonic::Code;

use crate::raw::{Peer, framed, head};
use crate::support::{
    LONG, Pod, eventually, get, get_many, held, impatient, invalidate, read, set, value,
};

const MIB: usize = 1 << 20;

fn patient(in_flight: u64) -> Config {
    Config {
        workers: 1,
        in_flight,
        ..Config::on_free_ports()
    }
}

/// `google.rpc.Status` with a `RetryInfo`, put together field by field.
fn retry_in_100_ms() -> Vec<u8> {
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("it is short");
        [&[number << 3 | 2, length][..], content].concat()
    }
    let mut nanos = vec![2 << 3];
    prost::encoding::encode_varint(100_000_000, &mut nanos);
    let retry_info = field(1, &nanos);
    let any = [
        field(1, b"type.googleapis.com/google.rpc.RetryInfo"),
        field(2, &retry_info),
    ];
    [vec![1 << 3, 8], field(3, &any.concat())].concat()
}

async fn until_nothing_is_in_flight(pod: &Pod) {
    eventually("bytes and calls in flight return to zero", || {
        (pod.running.in_flight_bytes(), pod.running.in_flight_calls()) == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn half_sent_messages_are_charged_whole_and_more_is_refused_at_once() {
    let pod = Pod::with(patient(4 << 20));
    let client = pod.client().await;
    let whole = framed(&set("large", vec![7; MIB - 1_024]));
    let (begin, rest) = (whole.slice(..100), whole.slice(100..));
    let mut peer = Peer::connect(&pod).await;
    let mut half_sent = Vec::new();
    for _ in 0..3 {
        let mut call = peer.begin("Set").await;
        call.send(begin.clone(), false);
        half_sent.push(call);
    }
    eventually("they are charged", || {
        pod.running.in_flight_bytes() > 3 * (MIB as u64 - 1_024)
    })
    .await;

    for _ in 0..2 {
        let mut call = peer.begin("Set").await;
        call.send(head(2 * MIB).freeze(), false);
        let refused = call.ended().await;
        assert_eq!(refused.code, Code::ResourceExhausted as i32, "{refused:?}");
    }
    let refused = client.clone().set(set("key", vec![7; MIB])).await;
    let refused = refused.expect_err("there is no room");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.details(), retry_in_100_ms());
    // What is small still comes through, and what was begun comes to its end.
    assert!(read(&client, held("other")).await.found.is_none());
    for mut call in half_sent {
        call.send(rest.clone(), true);
        assert_eq!(call.ended().await.code, Code::Ok as i32);
    }
    let reply = client.clone().set(set("key", vec![7; MIB])).await;
    assert!(reply.expect("there is room again").into_inner().stored);
    until_nothing_is_in_flight(&pod).await;
}

#[tokio::test]
async fn a_message_that_does_not_come_whole_is_refused_when_its_time_is_up() {
    let pod = Pod::with(impatient());
    let mut peer = Peer::connect(&pod).await;
    let whole = framed(&set("key", "value"));
    for sent in [0, 3, 5, whole.len() - 1, whole.len()] {
        let mut call = peer.begin("Set").await;
        // The last one is whole and does not say so.
        call.send(whole.slice(..sent), false);
        let refused = call.ended().await;
        assert_eq!(refused.code, Code::DeadlineExceeded as i32, "{refused:?}");
        assert!(refused.message.starts_with("message: "), "{refused:?}");
    }
    until_nothing_is_in_flight(&pod).await;
    assert_eq!(pod.running.pond().gauges().entries, 0);
}

#[tokio::test]
async fn replies_that_are_not_taken_are_charged_and_end_their_connection() {
    let pod = Pod::with(Config {
        in_flight: 8 << 20,
        patience: Duration::from_millis(500),
        ..impatient()
    });
    let client = pod.client().await;
    for key in ["a", "b", "c"] {
        let large = vec![7; MIB - 1_024];
        client
            .clone()
            .set(set(key, large))
            .await
            .expect("it is set");
    }
    let mut peer = Peer::that_takes_nothing(&pod).await;
    let mut untaken = Vec::new();
    for _ in 0..2 {
        let call = peer.call("GetMany", &get_many(&["a", "b", "c"])).await;
        untaken.push(call.head().await);
    }
    assert!(pod.running.in_flight_bytes() > 6 * (MIB as u64 - 1_024));
    let refused = client.clone().get_many(get_many(&["a", "b", "c"])).await;
    assert_eq!(
        refused.expect_err("there is no room").code(),
        Code::ResourceExhausted
    );
    assert!(value(&read(&client, held("a")).await).is_some());

    timeout(LONG, peer.connection)
        .await
        .expect("it is closed")
        .expect("it ends");
    until_nothing_is_in_flight(&pod).await;
    let reply = client.clone().get_many(get_many(&["a", "b", "c"])).await;
    let entries = reply.expect("there is room again").into_inner().entries;
    assert!(entries.iter().all(|entry| value(entry).is_some()));
}

#[tokio::test]
async fn a_lease_whose_reply_was_never_written_is_given_up_with_its_call() {
    let pod = Pod::start();
    let client = pod.client().await;
    let mut peer = Peer::that_takes_nothing(&pod).await;
    let untaken = peer.call("Get", &get("key")).await.head().await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, get("key")).await }
    });
    pod.until_coalesced(1).await;
    // The caller vanishes: its stream is reset.
    drop(untaken);
    let promoted = timeout(LONG / 4, following)
        .await
        .expect("not by the lease's deadline")
        .expect("it ends");
    assert!(promoted.lease.is_some());
}

#[tokio::test]
async fn a_lease_whose_reply_was_written_is_its_callers() {
    let pod = Pod::start();
    let client = pod.client().await;
    let mut peer = Peer::connect(&pod).await;
    let ended = peer.call("Get", &get("key")).await.ended().await;
    let reply = v1::GetReply::decode(&ended.body[5..]).expect("it is a reply");
    let lease = reply.lease.expect("nobody leads yet");
    until_nothing_is_in_flight(&pod).await;
    let filled = client
        .clone()
        .fill(crate::support::fill("key", lease, "value"))
        .await;
    assert_eq!(
        filled.expect("it is well formed").into_inner().outcomes[0].outcome(),
        v1::fill_outcome::Outcome::Stored
    );
}

#[tokio::test]
async fn what_is_no_message_is_an_invalid_argument_and_counted() {
    let pod = Pod::start();
    let mut peer = Peer::connect(&pod).await;
    // A key of field 3 that claims to be longer than the message.
    let malformed = [&[0, 0, 0, 0, 3][..], &[0x1a, 0x7f, 1]].concat();
    let two = [framed(&get("a")), framed(&get("b"))].concat();
    let cut = framed(&get("key")).slice(..9);
    let methods = [
        "Get",
        "GetMany",
        "Fill",
        "Renew",
        "Set",
        "Invalidate",
        "Hello",
    ];
    let mut refusals = 0;
    for method in methods {
        for bytes in [&malformed[..], &two, &cut, &[], &[0, 0, 0]] {
            let mut call = peer.begin(method).await;
            call.send(Bytes::copy_from_slice(bytes), true);
            let refused = call.ended().await;
            let code = Code::InvalidArgument as i32;
            assert_eq!(refused.code, code, "{method} {refused:?}");
            assert!(refused.message.starts_with("message: "), "{refused:?}");
            refusals += 1;
        }
        let mut call = peer.begin(method).await;
        call.send(Bytes::from_static(&[1, 0, 0, 0, 0]), true);
        let refused = call.ended().await;
        assert_eq!(refused.code, Code::Unimplemented as i32, "{refused:?}");
    }
    let counted = pod.samples().await;
    let counted = |code: &str| -> f64 {
        let of = |method: &&str| {
            let sample =
                format!("millpond_rpc_requests_total{{method=\"{method}\",code=\"{code}\"}}");
            counted.get(&sample).copied().unwrap_or_default()
        };
        methods.iter().map(of).sum()
    };
    assert_eq!(counted("INVALID_ARGUMENT"), f64::from(refusals));
    assert_eq!(counted("UNIMPLEMENTED"), 7.0);
    until_nothing_is_in_flight(&pod).await;
}

#[tokio::test]
async fn a_message_larger_than_any_names_the_limit_and_its_size() {
    let pod = Pod::start();
    let mut client = pod.client().await;
    client.set(set("key", "old")).await.expect("it is set");
    client.set(set("other", "old")).await.expect("it is set");
    let refused = client.set(set("key", vec![7; 5 * MIB])).await;
    let refused = refused.expect_err("it is too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let size = set("key", vec![7; 5 * MIB]).encoded_len();
    assert_eq!(
        refused.message(),
        format!("message: {size} bytes, limit {}", 4 * MIB)
    );
    // By the caller's own word the old value is no longer right.
    assert!(read(&client, held("key")).await.found.is_none());
    assert!(read(&client, held("other")).await.found.is_some());

    let keys = v1::Keys {
        keys: vec![vec![7; 5 * MIB].into()],
    };
    let refused = client
        .invalidate(invalidate(v1::invalidate_request::Target::Keys(keys)))
        .await;
    assert_eq!(
        refused.expect_err("it is too large").code(),
        Code::InvalidArgument
    );
    let sample = "millpond_rpc_requests_total{method=\"Set\",code=\"INVALID_ARGUMENT\"}";
    assert_eq!(pod.samples().await.get(sample), Some(&1.0));
}

#[tokio::test]
async fn lists_are_bounded_before_they_are_decoded() {
    const KEYS: usize = 10_000;
    let pod = Pod::start();
    let mut peer = Peer::connect(&pod).await;
    // Decoded, it would be refused for what is at its end.
    let message = [[0x1a, 0].repeat(KEYS), vec![0x1a, 0x7f]].concat();
    let mut call = peer.begin("GetMany").await;
    let mut bytes = head(message.len());
    bytes.extend_from_slice(&message);
    call.send(bytes.freeze(), true);
    let refused = call.ended().await;
    assert_eq!(refused.code, Code::InvalidArgument as i32);
    assert_eq!(refused.message, "keys: 10000, limit 512");
}

#[tokio::test]
async fn a_head_larger_than_allowed_ends_nobody_elses_calls() {
    let pod = Pod::start();
    let client = pod.client().await;
    let mut peer = Peer::connect(&pod).await;
    let large = "x".repeat(20 << 10);
    let uri = "http://localhost/millpond.v1.CacheService/Get";
    let mut call = peer.begin_at(uri, &[("x-large", &large)]).await;
    call.send(framed(&held("key")), true);
    let response = timeout(LONG, call.response())
        .await
        .expect("it is answered");
    let refused = response.map(|response| response.status().as_u16());
    assert!(matches!(refused, Ok(431) | Err(_)), "{refused:?}");
    assert_eq!(pod.running.in_flight_calls(), 0);
    assert!(read(&client, held("key")).await.found.is_none());
}

#[tokio::test]
async fn a_peer_is_told_how_many_calls_it_may_have_open() {
    let pod = Pod::with(Config {
        max_calls: 3,
        ..patient(64 << 20)
    });
    let mut peer = Peer::connect(&pod).await;
    // The limit is known to a peer that has had an answer.
    let first = peer.call("Get", &held("other")).await.ended().await;
    assert_eq!(first.code, Code::Ok as i32);
    assert_eq!(peer.may_open(), 3);
}
