//! Peers that do nothing, or nothing more.

use std::time::Duration;

use millpond_sidecar::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::process::Process;
use crate::raw::Peer;
use crate::support::{Client, LONG, Pod, eventually, held, impatient, read};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

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

#[tokio::test]
async fn ten_thousand_idle_connections_take_bounded_memory_and_serve_others() {
    const IDLE: usize = 10_000;
    const CALLS: usize = 2_000;
    /// Measured: 25 to 34 KiB, most of it HTTP/2's buffers.
    const BYTES_EACH: u64 = 40 << 10;
    // Ours and the sidecar's are separate processes, one descriptor each.
    let limit = millpond_sidecar::descriptors::raise();
    let idle = limit.map_or(IDLE, |limit| {
        IDLE.min(usize::try_from(limit).unwrap_or(IDLE).saturating_sub(500))
    });
    let process = Process::start(&["--limits-connections", "12288"]);
    let client = process.client().await;
    let before = process.resident();
    let alone = slowest_but_one_in_a_hundred(&client, CALLS).await;

    let mut peers = Vec::with_capacity(idle);
    for _ in 0..idle {
        let mut peer = TcpStream::connect(process.cache_at())
            .await
            .expect("it accepts");
        peer.write_all(&[PREFACE, SETTINGS].concat())
            .await
            .expect("it is open");
        peers.push(peer);
    }
    for peer in &mut peers {
        // Its settings: it serves this one.
        let mut head = [0; 9];
        timeout(LONG, peer.read_exact(&mut head))
            .await
            .expect("it is served")
            .expect("it is open");
    }
    let taken = process.resident().saturating_sub(before);
    let beside = slowest_but_one_in_a_hundred(&client, CALLS).await;
    let each = taken / u64::try_from(idle).expect("it is a count");
    println!(
        "{idle} idle connections: {taken} bytes, {each} each; p99 {alone:?} alone, {beside:?} beside them"
    );
    assert!(each < BYTES_EACH, "{each} bytes each");
}

async fn slowest_but_one_in_a_hundred(client: &Client, calls: usize) -> Duration {
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        assert!(read(client, held("key")).await.found.is_none());
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[calls * 99 / 100]
}

#[tokio::test]
async fn of_a_burst_of_connections_to_one_worker_none_is_reset() {
    /// More than wait for a worker (1 024), and no more than the kernel keeps.
    const BURST: usize = 3_000;
    let limit = millpond_sidecar::descriptors::raise();
    let burst = limit.map_or(BURST, |limit| {
        BURST.min(usize::try_from(limit).unwrap_or(BURST).saturating_sub(500))
    });
    let process = Process::start(&["--workers", "1", "--limits-connections", "4096"]);
    let mut coming = JoinSet::new();
    for _ in 0..burst {
        let connecting = TcpStream::connect(process.cache_at().to_owned());
        coming.spawn(async move {
            let mut peer = connecting.await.expect("it accepts");
            let greeting = [PREFACE, SETTINGS].concat();
            peer.write_all(&greeting).await.expect("it is open");
            let mut head = [0; 9];
            peer.read_exact(&mut head).await.expect("it is served");
            peer
        });
    }
    let served = timeout(LONG, coming.join_all()).await;
    assert_eq!(served.expect("all are served").len(), burst);
}
