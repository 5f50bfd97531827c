//! The end of a sidecar, in process and as the real binary.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_proto::v1::fill_outcome::Outcome;
use millpond_sidecar::{Config, Drained, Sidecar, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::process::Process;
use crate::raw::{Peer, framed};
use crate::support::{
    LONG, Pod, eventually, fill, fill_outcome, get, get_many, held, lead, read, set, value,
};

#[tokio::test]
async fn sigterm_lets_a_follower_finish_and_exits_with_0() {
    let mut process = Process::start(&[]);
    let client = process.client().await;
    let lease = lead(&client, "key").await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, get("key")).await }
    });
    let metrics = format!("{}/metrics", process.probe);
    eventually("the call waits", || {
        let page = Command::new("curl")
            .args(["-s", &metrics])
            .output()
            .expect("there is a curl");
        String::from_utf8_lossy(&page.stdout).contains("millpond_cache_coalesced_total 1")
    })
    .await;

    process.signal("TERM");
    let ready = format!("{}/readyz", process.probe);
    eventually("it is not ready", || {
        let answer = Command::new("curl")
            .args(["-s", &ready])
            .output()
            .expect("there is a curl");
        answer.stdout == b"draining\n"
    })
    .await;
    assert!(!following.is_finished());
    // A round trip: whatever the sidecar sent before, a GOAWAY too, has been read.
    assert!(read(&client, held("other")).await.found.is_none());
    let outcome = fill_outcome(&client, fill("key", lease, "in time")).await;
    assert_eq!(outcome, Outcome::Stored);
    let followed = timeout(LONG, following)
        .await
        .expect("it is settled")
        .expect("it ends");
    assert_eq!(value(&followed), Some(&b"in time"[..]));
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut process = Process::start(&[]);
    let client = process.client().await;
    lead(&client, "key").await;
    let following = tokio::spawn(async move { client.clone().get(get("key")).await });
    let metrics = format!("{}/metrics", process.probe);
    let page = || {
        let page = Command::new("curl")
            .args(["-s", &metrics])
            .output()
            .expect("there is a curl");
        String::from_utf8_lossy(&page.stdout).into_owned()
    };
    eventually("the call waits", || {
        page().contains("millpond_cache_coalesced_total 1")
    })
    .await;
    process.signal("INT");
    let ready = format!("{}/readyz", process.probe);
    eventually("it drains", || {
        let answer = Command::new("curl")
            .args(["-s", &ready])
            .output()
            .expect("there is a curl");
        answer.stdout == b"draining\n"
    })
    .await;
    process.signal("INT");
    assert_eq!(process.ended().await, Some(130));
    assert!(
        timeout(LONG, following)
            .await
            .expect("it ends")
            .expect("it ends")
            .is_err()
    );
}

#[tokio::test]
async fn a_busy_port_names_the_flag_that_moves_it() {
    let pod = Pod::start();
    let taken = pod.running.tcp().expect("it listens on TCP").to_string();
    let flags = ["--listen", "--probe", "--admin"];
    for flag in flags {
        let free = flags.iter().filter(|free| **free != flag);
        let mut child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["serve", "--no-socket", flag, &taken])
            .args(free.flat_map(|free| [*free, "127.0.0.1:0"]))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let status = child.wait().expect("it is our child");
        let mut said = String::new();
        let stderr = child.stderr.take();
        stderr
            .expect("it is piped")
            .read_to_string(&mut said)
            .expect("it is text");
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(&taken) && said.contains(flag), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

fn on_socket(path: &Path) -> Config {
    Config {
        listen: None,
        socket: Some(millpond_sidecar::Socket {
            path: path.to_owned(),
            optional: false,
        }),
        ..Config::on_free_ports()
    }
}

#[tokio::test]
async fn a_unix_socket_serves_is_not_taken_twice_and_is_removed_at_the_end() {
    let folder = std::env::temp_dir().join(format!("millpond-wire-{}", std::process::id()));
    let path = folder.join("pond.sock");
    let running = Sidecar::start(on_socket(&path)).expect("it can be made");
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).expect("a URI");
    let client = CacheServiceClient::new(endpoint.connect().await.expect("it accepts"));
    assert!(read(&client, held("key")).await.found.is_none());

    let second = Sidecar::start(on_socket(&path)).expect_err("it is in use");
    assert!(matches!(second, StartError::SocketInUse(_)), "{second}");
    assert!(second.to_string().contains("--socket"), "{second}");
    drop(client);
    let drained = tokio::task::spawn_blocking(|| running.shutdown()).await;
    assert_eq!(drained.expect("it ends"), Drained { cut_off: 0 });
    assert!(!path.exists());
    std::fs::remove_dir(folder).expect("nothing else is left in it");
}

#[tokio::test]
async fn a_drain_ends_watches_of_health_after_telling_them() {
    let pod = Pod::start();
    let mut health = HealthClient::new(pod.channel().await);
    let watched = health.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("it is served").into_inner();
    let status =
        |reply: Option<tonic_health::pb::HealthCheckResponse>| reply.map(|reply| reply.status);
    let first = watched.message().await.expect("it answers");
    assert_eq!(status(first), Some(ServingStatus::Serving as i32));
    let ending = tokio::task::spawn_blocking(|| pod.running.shutdown());
    let second = timeout(LONG, watched.message()).await.expect("it is told");
    assert_eq!(
        status(second.expect("it answers")),
        Some(ServingStatus::NotServing as i32)
    );
    let third = timeout(LONG, watched.message()).await.expect("it ends");
    assert_eq!(status(third.expect("it ends well")), None);
    let drained = timeout(Duration::from_secs(10), ending).await;
    assert_eq!(
        drained.expect("not by its deadline").expect("it ends"),
        Drained { cut_off: 0 }
    );
}

#[tokio::test]
async fn who_still_waits_when_the_sidecar_leaves_is_told_so() {
    let pod = Pod::with(Config {
        drain: Duration::from_secs(2),
        ..Config::on_free_ports()
    });
    let client = pod.client().await;
    lead(&client, "key").await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { client.clone().get(get("key")).await }
    });
    let many = tokio::spawn(async move { client.clone().get_many(get_many(&["key"])).await });
    pod.until_coalesced(2).await;
    let ending = tokio::task::spawn_blocking(|| pod.running.shutdown());
    let followed = timeout(LONG, following).await.expect("it ends");
    let refused = followed
        .expect("it ends")
        .expect_err("the load did not end");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().starts_with("the sidecar is ending"),
        "{refused}"
    );
    let many = timeout(LONG, many)
        .await
        .expect("it ends")
        .expect("it ends");
    assert_eq!(many.expect_err("nor this one").code(), Code::Unavailable);
    let drained = timeout(LONG, ending)
        .await
        .expect("it ends")
        .expect("it ends");
    assert_eq!(drained, Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_drain_waits_for_a_leader_that_nobody_follows() {
    let pod = Pod::with(Config {
        drain: 2 * LONG,
        ..Config::on_free_ports()
    });
    let mut peer = Peer::connect(&pod).await;
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    pod.running.shutdown_handle().drain();
    let address = pod.running.tcp().expect("it listens on TCP");
    eventually("it accepts none", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    // Had it begun to leave, one of these would find it so.
    for _ in 0..100 {
        assert_eq!(peer.call("Get", &held("key")).await.ended().await.code, 0);
    }
    let outcome = fill_outcome(&client, fill("key", lease, "Ada")).await;
    assert_eq!(outcome, Outcome::Stored);
    let ending = tokio::task::spawn_blocking(|| pod.running.join());
    let drained = timeout(LONG, ending).await.expect("it ends");
    assert_eq!(drained.expect("it ends"), Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_drain_cuts_off_calls_and_streams_that_do_not_end_and_counts_them() {
    let pod = Pod::with(Config {
        workers: 1,
        drain: Duration::from_millis(300),
        ..Config::on_free_ports()
    });
    let mut peer = Peer::connect(&pod).await;
    let mut half_sent = peer.begin("Set").await;
    half_sent.send(framed(&set("key", "value")), false);
    let client = pod.client().await;
    client
        .clone()
        .set(set("held", "value"))
        .await
        .expect("it is set");
    let mut other = Peer::that_takes_nothing(&pod).await;
    let _untaken = other.call("Get", &held("held")).await.head().await;
    eventually("both are in flight", || pod.running.in_flight_calls() == 2).await;
    let ending = tokio::task::spawn_blocking(|| pod.running.shutdown());
    let drained = timeout(LONG, ending)
        .await
        .expect("it ends")
        .expect("it ends");
    assert_eq!(drained, Drained { cut_off: 2 });
}

#[tokio::test]
async fn silent_peers_and_open_streams_do_not_hold_the_drain() {
    const DRAIN: Duration = Duration::from_secs(600);
    let pod = Pod::with(Config {
        drain: DRAIN,
        ..Config::on_free_ports()
    });
    let address = pod.running.tcp().expect("it listens on TCP");
    let _silent = TcpStream::connect(address).await.expect("it accepts");
    // It greets, and answers neither ping nor GOAWAY.
    let mut half_open = TcpStream::connect(address).await.expect("it accepts");
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    half_open.write_all(greeting).await.expect("it is open");
    let mut reflection = ServerReflectionClient::new(pod.channel().await);
    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    // Kept open to the end.
    let (ask, asking) = tokio::sync::mpsc::channel(1);
    ask.send(asked).await.expect("there is room");
    let asking = tokio_stream::wrappers::ReceiverStream::new(asking);
    let answers = reflection.server_reflection_info(asking).await;
    let mut answers = answers.expect("it is served").into_inner();
    assert!(answers.message().await.expect("it answers").is_some());
    eventually("all are there", || pod.running.connections() == 3).await;

    let ending = tokio::task::spawn_blocking(|| pod.running.shutdown());
    let ended = timeout(LONG, answers.message()).await.expect("it ends");
    assert_eq!(ended.expect_err("not of itself").code(), Code::Unavailable);
    let drained = timeout(LONG, ending).await.expect("not by its deadline");
    assert_eq!(drained.expect("it ends"), Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_call_whose_authority_is_the_sockets_path_is_served() {
    let folder = std::env::temp_dir().join(format!("millpond-authority-{}", std::process::id()));
    let path = folder.join("pond.sock");
    let running = Sidecar::start(on_socket(&path)).expect("it can be made");
    let mut stream = UnixStream::connect(&path).await.expect("it accepts");
    // Byte for byte what grpcio 1.85 sends, and a second call that names it by index.
    let first = b"@\x05:path\x1d/millpond.v1.CacheService/Get@\n:authority\x15tmp%2Fgcap%2Frun.sock\x83\x86@\x0ccontent-type\x10application/grpc@\x02te\x08trailers@\x14grpc-accept-encoding\x17identity, deflate, gzip@\x0cgrpc-timeout\x04398m@\nuser-agent0grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)";
    let second = b"\xc4\xc3\x83\x86\xc2\xc1\xc0@\x0cgrpc-timeout\x04400m\xbf";
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .expect("it is open");
    for (call, block) in [(1, &first[..]), (3, second)] {
        let length = u8::try_from(block.len()).expect("it is short");
        let message = framed(&held("key"));
        let body = u8::try_from(message.len()).expect("it is short");
        let bytes = [
            &[0, 0, length, 1, 4, 0, 0, 0, call][..],
            block,
            &[0, 0, body, 0, 1, 0, 0, 0, call],
            &message,
        ]
        .concat();
        stream.write_all(&bytes).await.expect("it is open");
        // Its answer: a HEADERS frame, not RST_STREAM.
        let mut head = [0; 9];
        loop {
            let read = timeout(LONG, stream.read_exact(&mut head)).await;
            read.expect("it is answered").expect("it is open");
            let [.., stream_id] = head;
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.expect("it is open");
            if stream_id == call {
                assert_eq!(head[3], 1, "the first of call {call} is a head");
                break;
            }
        }
    }
    drop(running);
    std::fs::remove_dir(folder).expect("nothing is left in it");
}
