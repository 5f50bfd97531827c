//! `Grant`: tokens handed to processes, which die as they like.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use millpond_core::clock::Clock;
use millpond_core::limit::Granted;
use millpond_proto::v1;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use millpond_sidecar::{Config, Drained};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::limits::{Limits, Still, named, put, quota};
use crate::raw::{Peer, framed, head};
use crate::support::{LONG, Pod, eventually, impatient};

/// An open stream.
struct Stream {
    asks: mpsc::Sender<v1::GrantRequest>,
    replies: Streaming<v1::GrantReply>,
}

impl Stream {
    async fn open(client: &Limits) -> Self {
        let (asks, asked) = mpsc::channel(16);
        let replies = client.clone().grant(ReceiverStream::new(asked)).await;
        Self {
            asks,
            replies: replies.expect("it is served").into_inner(),
        }
    }

    async fn reply(&mut self) -> Result<Option<v1::GrantReply>, Status> {
        timeout(LONG, self.replies.message())
            .await
            .expect("it answers")
    }

    async fn ask(&mut self, ask: v1::GrantRequest) -> Result<v1::GrantReply, Status> {
        self.asks.send(ask).await.expect("it is read");
        Ok(self.reply().await?.expect("it goes on"))
    }
}

fn ask(grant_id: u64, want: u32) -> v1::GrantRequest {
    v1::GrantRequest {
        tenant: "acme".to_owned(),
        want,
        grant_id,
        ..v1::GrantRequest::default()
    }
}

fn remaining(still: &Still) -> u64 {
    let own = millpond_core::limit::Charge {
        limit: "",
        key: &[],
        cost: 0,
    };
    let peek = still.pod.running.limiter().peek("acme", &[own]);
    let standing = peek.expect("known").standing;
    standing.expect("it is limited").remaining
}

#[tokio::test]
async fn a_process_is_granted_reports_and_hands_back() {
    let still = Still::start();
    let sms = named("sms", None, Some(quota(1, 8)));
    still.put("acme", Some(quota(4, 100)), vec![sms]);
    let mut stream = Stream::open(&still.client().await).await;
    let first = stream.ask(ask(7, 30)).await.expect("it is granted");
    assert_eq!(
        first,
        v1::GrantReply {
            grant_id: 7,
            tokens: 30,
            expires_in_ms: 2_000,
            capacity: 100,
            remaining: 70,
            reset_after_ms: 7_500,
            ..v1::GrantReply::default()
        }
    );
    let back = v1::GrantRequest {
        used: 20,
        returned: 10,
        ..ask(7, 0)
    };
    for _ in 0..2 {
        let reported = stream.ask(back.clone()).await.expect("it is heard");
        assert_eq!((reported.tokens, reported.remaining), (0, 80));
    }
    // Four levels: of a key's bucket of 8 half, and as much of the tenant's own.
    let of_key = v1::GrantRequest {
        limit: "sms".to_owned(),
        key: Bytes::from_static(b"u"),
        ..ask(8, 30)
    };
    let keyed = stream.ask(of_key).await.expect("it is granted");
    assert_eq!((keyed.tokens, keyed.capacity), (4, 8));
    assert_eq!(remaining(&still), 76);
    let unknown = v1::GrantRequest {
        limit: "fax".to_owned(),
        ..ask(9, 1)
    };
    let unknown = stream.ask(unknown).await.expect("the stream goes on");
    assert_eq!(unknown.reason(), v1::LimitReason::NotFound);
    assert_eq!((unknown.tokens, unknown.retry_after_ms), (0, 10_000));
    // Whatever becomes of the stream, what was granted stays spent.
    drop(stream);
    eventually("nothing is held", || {
        still.pod.running.in_flight_bytes() == 0
    })
    .await;
    assert_eq!(remaining(&still), 76);
}

#[tokio::test]
async fn what_is_not_found_takes_no_room_however_often_it_is_asked_for() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 5)), Vec::new());
    let mut stream = Stream::open(&still.client().await).await;
    stream.ask(ask(1, 1)).await.expect("it is granted");
    let held = still.pod.running.in_flight_bytes();
    for nth in 0..100 {
        let unknown = v1::GrantRequest {
            limit: "fax".to_owned(),
            ..ask(2 + nth % 2, 1)
        };
        let unknown = stream.ask(unknown).await.expect("the stream goes on");
        assert_eq!(unknown.reason(), v1::LimitReason::NotFound);
    }
    assert_eq!(still.pod.running.in_flight_bytes(), held);
}

#[tokio::test]
async fn what_cannot_be_granted_for_now_says_to_ask_again_in_a_second() {
    let still = Still::with(Config {
        in_flight: 8 << 20,
        ..Config::on_free_ports()
    });
    still.put("acme", None, Vec::new());
    let client = still.client().await;
    let mut stream = Stream::open(&client).await;
    // Grants take all the room there is.
    let mut others = Vec::new();
    let refused = loop {
        let mut other = Stream::open(&client).await;
        let mut refused = None;
        for nth in 0..4_096 {
            let given = other.ask(ask(nth, 1)).await.expect("the stream goes on");
            if given.tokens == 0 {
                refused = Some(given);
                break;
            }
        }
        others.push(other);
        assert!(others.len() < 10, "it is bounded");
        if let Some(refused) = refused {
            break refused;
        }
    };
    assert_eq!(refused.reason(), v1::LimitReason::Unavailable);
    assert_eq!(refused.retry_after_ms, 1_000);
    drop(others);
    let limiter = still.pod.running.limiter();
    let acme = millpond_core::tenant::TenantId::parse("acme").expect("valid");
    let set = limiter
        .directory()
        .set_state(&acme, millpond_core::tenant::State::Maintenance);
    set.expect("it can be");
    eventually("there is room again", || {
        still.pod.running.in_flight_bytes() < 1 << 20
    })
    .await;
    let closed = stream.ask(ask(0, 1)).await.expect("the stream goes on");
    assert_eq!(closed.reason(), v1::LimitReason::Unavailable);
    assert_eq!(closed.retry_after_ms, 1_000);
}

#[tokio::test]
async fn an_empty_bucket_says_when_to_ask_again() {
    let still = Still::start();
    still.put("acme", Some(quota(4, 2)), Vec::new());
    let mut stream = Stream::open(&still.client().await).await;
    for tokens in [1, 1] {
        let reply = stream.ask(ask(1, 50)).await.expect("it is heard");
        assert_eq!(reply.tokens, tokens);
    }
    let empty = stream.ask(ask(1, 50)).await.expect("it is heard");
    assert_eq!(empty.reason(), v1::LimitReason::OverLimit);
    assert_eq!((empty.tokens, empty.retry_after_ms), (0, 250));
}

#[tokio::test]
async fn a_stream_whose_peer_closes_its_side_is_answered_to_the_end_and_ends_well() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 100)), Vec::new());
    let mut stream = Stream::open(&still.client().await).await;
    for id in 0..5 {
        stream.asks.send(ask(id, 1)).await.expect("it is read");
    }
    let (closed, _) = mpsc::channel(1);
    drop(std::mem::replace(&mut stream.asks, closed));
    for id in 0..5 {
        let reply = stream.reply().await.expect("it is heard");
        assert_eq!(reply.expect("it goes on").grant_id, id);
    }
    assert_eq!(stream.reply().await.expect("it ends well"), None);
    eventually("nothing is held", || {
        still.pod.running.in_flight_bytes() == 0
    })
    .await;
}

#[tokio::test]
async fn what_a_stream_says_in_a_wrong_form_ends_it_by_name() {
    let still = Still::start();
    still.put("acme", None, Vec::new());
    let client = still.client().await;
    let wrong = [
        (
            v1::GrantRequest {
                key: Bytes::from(vec![7; 1_025]),
                ..ask(1, 1)
            },
            "key: 1025 bytes, limit 1024",
        ),
        (
            v1::GrantRequest {
                limit: "x".repeat(65),
                ..ask(1, 1)
            },
            "limit: 65 bytes, limit 64",
        ),
        (
            v1::GrantRequest {
                tenant: String::new(),
                ..ask(1, 1)
            },
            "tenant: is empty, needs at least 1 byte",
        ),
        (
            v1::GrantRequest {
                tenant: "other".to_owned(),
                ..ask(0, 1)
            },
            "grant_id: 0 is that of a grant of another bucket",
        ),
    ];
    for (wrong, message) in wrong {
        let mut stream = Stream::open(&client).await;
        stream.ask(ask(0, 1)).await.expect("it is well formed");
        let status = stream.ask(wrong).await.expect_err("it is not");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), message);
    }
    let mut stream = Stream::open(&client).await;
    for id in 0..4_096 {
        let reply = stream.ask(ask(id, 1)).await.expect("it has room");
        assert_eq!(reply.tokens, 1);
    }
    let status = stream.ask(ask(9_999, 1)).await.expect_err("it has none");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "grant_id: 4097 of them, limit 4096");
    eventually("nothing is held", || {
        still.pod.running.in_flight_bytes() == 0
    })
    .await;
}

#[tokio::test]
async fn a_streams_messages_are_bounded_and_must_come_to_their_end() {
    const PATH: &str = "http://localhost/millpond.v1.LimitService/Grant";
    let pod = Pod::with(impatient());
    let mut peer = Peer::connect(&pod).await;
    let mut large = peer.begin_at(PATH, &[]).await;
    large.send(head(2_049).freeze(), false);
    let ended = large.ended().await;
    assert_eq!(ended.message, "message: 2049 bytes, limit 2048");

    let mut compressed = peer.begin_at(PATH, &[]).await;
    compressed.send(Bytes::from_static(&[1, 0, 0, 0, 0]), false);
    assert_eq!(compressed.ended().await.code, Code::Unimplemented as i32);

    let whole = framed(&ask(1, 1));
    let mut cut = peer.begin_at(PATH, &[]).await;
    cut.send(whole.slice(..whole.len() - 1), true);
    let ended = cut.ended().await;
    assert_eq!(ended.code, Code::InvalidArgument as i32);

    let mut late = peer.begin_at(PATH, &[]).await;
    // One message whole, and a byte of the next.
    late.send(whole.clone(), false);
    late.send(whole.slice(..1), false);
    let ended = late.ended().await;
    assert_eq!(ended.code, Code::DeadlineExceeded as i32);
    assert!(!ended.body.is_empty(), "the first was answered");
    eventually("nothing is held", || pod.running.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn an_open_stream_is_ended_cleanly_by_a_drain() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 100)), Vec::new());
    let mut stream = Stream::open(&still.client().await).await;
    stream.ask(ask(1, 1)).await.expect("it is granted");
    let Still { pod, .. } = still;
    let ending = tokio::task::spawn_blocking(|| pod.running.shutdown());
    let status = stream.reply().await.expect_err("it is ended");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().starts_with("the sidecar is ending"),
        "{status}"
    );
    let drained = timeout(LONG, ending).await.expect("it ends");
    assert_eq!(drained.expect("it ends"), Drained { cut_off: 0 });
}

/// What the processes of the test below are told: where to ask, and where to write a
/// byte for each token they spend.
const SIDECAR: &str = "MILLPOND_TEST_GRANTS_AT";
const SPENT: &str = "MILLPOND_TEST_GRANTS_SPENT";

/// Asks, spends what it is granted, hands some back, until it is killed.
#[tokio::test]
async fn spends_what_it_is_granted() {
    let (Ok(at), Ok(spent)) = (std::env::var(SIDECAR), std::env::var(SPENT)) else {
        return;
    };
    let endpoint = tonic::transport::Endpoint::from_shared(at).expect("a URI");
    let client = LimitServiceClient::new(endpoint.connect().await.expect("it accepts"));
    let mut spent = OpenOptions::new()
        .append(true)
        .open(spent)
        .expect("it is there");
    let mut stream = Stream::open(&client).await;
    let clock = Clock::Kernel;
    let granted = Granted::none(clock.clone());
    let end = clock.precise().after(LONG);
    while clock.precise() < end {
        let report = granted.report();
        let asked_at = clock.precise();
        let request = v1::GrantRequest {
            used: report.used,
            returned: report.returned,
            ..ask(1, 40)
        };
        let reply = stream.ask(request).await.expect("it is heard");
        let lives = Duration::from_millis(reply.expires_in_ms);
        granted.add(reply.tokens, asked_at, lives);
        while granted.spend(1).is_some() {
            spent.write_all(b".").expect("there is room");
            if fastrand::u32(..20) == 0 {
                granted.take_back(5);
            }
        }
        let again = Duration::from_millis(reply.retry_after_ms);
        tokio::time::sleep(again).await;
    }
}

fn process(at: &str, spent: &Path) -> Child {
    let this = std::env::current_exe().expect("it has a path");
    Command::new(this)
        .args(["--exact", "grants::spends_what_it_is_granted"])
        .env(SIDECAR, at)
        .env(SPENT, spent)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is this program")
}

#[tokio::test]
async fn processes_that_die_at_random_spend_no_more_than_was_admitted() {
    const RATE: u64 = 200;
    const BURST: u64 = 100;
    const DEATHS: u64 = 12;
    let pod = Pod::with(Config::on_free_ports());
    put(&pod, "acme", Some(quota(RATE, BURST)), Vec::new());
    let at = format!("http://{}", pod.running.tcp().expect("it listens on TCP"));
    let path = std::env::temp_dir().join(format!("millpond-grants-{}", std::process::id()));
    File::create(&path).expect("it can be made");
    let spent = || std::fs::metadata(&path).expect("it is there").len();

    let begin = Clock::Kernel.precise();
    let mut processes: Vec<Child> = (0..3).map(|_| process(&at, &path)).collect();
    for death in 1..=DEATHS {
        // Each death comes while tokens are being spent, at no chosen point.
        let more = spent() + fastrand::u64(1..25);
        eventually("tokens are spent", || spent() >= more).await;
        let who = fastrand::usize(..processes.len());
        processes[who].kill().expect("it runs");
        processes[who].wait().expect("it is ours");
        if death < DEATHS {
            processes[who] = process(&at, &path);
        }
    }
    for mut process in processes {
        let _gone_before = process.kill();
        process.wait().expect("it is ours");
    }
    let elapsed = Clock::Kernel.precise().since(begin);
    let admitted = spent();
    std::fs::remove_file(&path).expect("it is there");
    let refilled = u64::try_from(u128::from(RATE) * elapsed.as_nanos() / 1_000_000_000);
    let bound = BURST + refilled.expect("it is short") + 1;
    assert!(admitted >= DEATHS, "{admitted} spent by all of them");
    assert!(
        admitted <= bound,
        "{admitted} admitted in {elapsed:?}, at most {bound}"
    );
}
