//! What peers that are slow, or gone without a word, cost the others.
//!
//! Of times nothing is asserted: they are printed, and `cargo xtask fuzz` shows them. The
//! peers are on a thread of their own, so that what they do is not in their neighbour's
//! time by way of its runtime.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use h2::client::Builder;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::idle::{PREFACE, SETTINGS};
use crate::raw::{Peer, framed};
use crate::support::{Client, Pod, eventually, held, read, set, value};

/// Peers of a kind.
const EACH: usize = 100;
/// Reads, and as many writes, of the one that is not slow, and how often so many.
const CALLS: usize = 1_000;
const BATCHES: usize = 5;
/// All of a kind together take less than half of the budget for what is in flight.
const LARGE: usize = 256 << 10;
/// Of a slow peer, and how often: a large message takes it ten seconds.
const PIECE: usize = 1 << 10;
const PAUSE: Duration = Duration::from_millis(40);

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// They greet, and are never heard of again.
    HalfOpen,
    /// They ask for what is large, and take it piece by piece.
    SlowReaders,
    /// They write what is large, piece by piece.
    SlowWriters,
}

async fn half_open(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let greeting = [PREFACE, SETTINGS].concat();
    stream.write_all(&greeting).await.expect("it is open");
    std::future::pending::<()>().await;
}

async fn read_slowly(address: SocketAddr) {
    let window = u32::try_from(PIECE).expect("it is short");
    let mut peer = Peer::at(address, Builder::new().initial_window_size(window)).await;
    loop {
        let mut body = peer.call("Get", &held("large")).await.head().await;
        while let Some(Ok(data)) = body.data().await {
            tokio::time::sleep(PAUSE).await;
            drop(body.flow_control().release_capacity(data.len()));
        }
    }
}

async fn write_slowly(address: SocketAddr) {
    let mut peer = Peer::at(address, &Builder::new()).await;
    let message = framed(&set("theirs", vec![7; LARGE]));
    loop {
        let mut call = peer.begin("Set").await;
        let mut rest = message.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(PIECE.min(rest.len()));
            call.send(piece, rest.is_empty());
            tokio::time::sleep(PAUSE).await;
        }
        assert_eq!(call.ended().await.code, 0);
    }
}

/// Peers at work, until it is dropped.
struct Crowd {
    leave: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn come(kind: Kind, address: SocketAddr) -> Self {
        let (leave, left) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("there are threads");
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut peers = JoinSet::new();
                for _ in 0..EACH {
                    match kind {
                        Kind::HalfOpen => peers.spawn(half_open(address)),
                        Kind::SlowReaders => peers.spawn(read_slowly(address)),
                        Kind::SlowWriters => peers.spawn(write_slowly(address)),
                    };
                }
                tokio::select! {
                    _ = left => {}
                    ended = peers.join_next() => panic!("{kind:?}: one ended: {ended:?}"),
                }
            });
        });
        Self {
            leave: Some(leave),
            thread: Some(thread),
        }
    }

    fn go(mut self) {
        drop(self.leave.take());
        let thread = self.thread.take().expect("it goes once");
        thread.join().expect("none of them was served badly");
    }
}

/// What of a hundred calls all but one take, for reads and for writes: of some batches the
/// median, and the least, which has least of what else the machine does.
async fn p99(client: &Client) -> String {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let (mut read_in, mut written_in) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let began = Instant::now();
            let reply = read(client, held("ours")).await;
            read_in.push(began.elapsed());
            assert_eq!(value(&reply), Some(&b"value"[..]));
            let began = Instant::now();
            let stored = client.clone().set(set("ours", "value")).await;
            written_in.push(began.elapsed());
            assert!(stored.expect("it is served").into_inner().stored);
        }
        reads.push(nth(read_in, CALLS * 99 / 100));
        writes.push(nth(written_in, CALLS * 99 / 100));
    }
    let [reads, writes] = [reads, writes].map(|p99s| {
        let least = nth(p99s.clone(), 0);
        format!("{:?}, least {least:?}", nth(p99s, BATCHES / 2))
    });
    format!("p99 of reads {reads}; of writes {writes}")
}

fn nth(mut times: Vec<Duration>, rank: usize) -> Duration {
    *times.select_nth_unstable(rank).1
}

#[tokio::test]
async fn beside_peers_that_are_slow_or_gone_every_call_of_another_is_served() {
    let pod = Pod::start();
    let client = pod.client().await;
    let address = pod.running.tcp().expect("it listens on TCP");
    for (key, bytes) in [("ours", b"value".to_vec()), ("large", vec![7; LARGE])] {
        let stored = client.clone().set(set(key, bytes)).await;
        assert!(stored.expect("it is set").into_inner().stored);
    }
    for kind in [Kind::HalfOpen, Kind::SlowReaders, Kind::SlowWriters] {
        let here = || match kind {
            Kind::HalfOpen => pod.running.connections() > EACH,
            // Between two messages a peer has none in flight.
            Kind::SlowReaders | Kind::SlowWriters => pod.running.in_flight_calls() > EACH / 2,
        };
        println!("alone: {}", p99(&client).await);
        let crowd = Crowd::come(kind, address);
        eventually("they are there", here).await;
        let p99 = p99(&client).await;
        assert!(here(), "{kind:?}: they left before it was measured");
        println!("beside {EACH} {kind:?}: {p99}");
        crowd.go();
        eventually("nothing is left of them", || {
            (pod.running.in_flight_calls(), pod.running.connections()) == (0, 1)
        })
        .await;
    }
}
