//! Peers that do nothing, or nothing more.

use std::time::Duration;

use millpond_sidecar::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::Peer;
use crate::support::{LONG, Pod, eventually, held, impatient, read};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn connect(pod: &Pod) -> TcpStream {
    let address = pod.running.tcp().expect("it listens on TCP");
    TcpStream::connect(address).await.expect("it accepts")
}

/// Reads until the sidecar closes.
async fn until_closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    // A reset closes it too.
    drop(
        timeout(LONG, stream.read_to_end(&mut bytes))
            .await
            .expect("it is closed"),
    );
}

#[tokio::test]
async fn a_peer_that_does_not_begin_to_speak_is_let_go() {
    let pod = Pod::with(impatient());
    for said in [&b""[..], PREFACE, &PREFACE[..10]] {
        let mut peer = connect(&pod).await;
        peer.write_all(said).await.expect("it is open");
        until_closed(&mut peer).await;
    }
    eventually("their places are free", || pod.running.connections() == 0).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_let_go_and_one_that_does_is_not() {
    let pod = Pod::with(Config {
        ping_every: Duration::from_millis(100),
        ..impatient()
    });
    // The h2 client answers pings.
    let mut lively = Peer::connect(&pod).await;
    let mut half_open = connect(&pod).await;
    let greeting = [PREFACE, SETTINGS].concat();
    half_open.write_all(&greeting).await.expect("it is open");
    until_closed(&mut half_open).await;
    let ended = lively.call("Get", &held("key")).await.ended().await;
    assert_eq!(ended.code, 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let pod = Pod::with(Config {
        max_connections: 3,
        ..Config::on_free_ports()
    });
    let client = pod.client().await;
    let _others = [Peer::connect(&pod).await, Peer::connect(&pod).await];
    let mut refused = connect(&pod).await;
    until_closed(&mut refused).await;
    assert!(read(&client, held("key")).await.found.is_none());
    assert_eq!(pod.running.connections(), 3);
    drop(client);
    eventually("a place is free", || pod.running.connections() < 3).await;
    assert!(read(&pod.client().await, held("key")).await.found.is_none());
}
