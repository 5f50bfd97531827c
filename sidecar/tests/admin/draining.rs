//! `POST /drain`, as a preStop hook calls it.

use std::io::Read;

use millpond_proto::v1::fill_outcome::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::Process;
use crate::support::{LONG, Pod, fill, fill_outcome, get, held, lead, read, value};
use crate::{Answer, admin, ask, curl};

const MEANT: &str = "X-Millpond: drain";

/// Waits until it has.
async fn drain(process: &Process) -> Answer {
    let admin = process.admin.strip_prefix("http://").expect("it is a URI");
    let host = format!("Host: {admin}");
    let admin = admin.parse().expect("an address");
    ask(admin, "POST /drain?wait", &[&host, MEANT]).await
}

#[tokio::test]
async fn a_drain_answers_at_once_and_calls_in_flight_finish() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, get("key")).await }
    });
    pod.until_coalesced(1).await;
    let answer = curl(&pod, "POST /drain", &[MEANT]).await;
    assert_eq!((answer.status, &*answer.body), (202, "draining\n"));
    // Told again, it is still draining.
    let answer = curl(&pod, "POST /drain", &[MEANT]).await;
    assert_eq!((answer.status, &*answer.body), (202, "draining\n"));
    let stats = curl(&pod, "GET /stats.json", &[]).await;
    assert!(stats.body.contains("\"stage\":\"draining\""));
    assert!(
        stats
            .body
            .contains("sidecar: serving → draining (POST /drain)")
    );

    let waiting = tokio::spawn({
        let address = admin(&pod);
        let host = format!("Host: {address}");
        async move { ask(address, "POST /drain?wait", &[&host, MEANT]).await }
    });
    // A round trip: whatever was sent to the client before has been read.
    assert!(read(&client, held("other")).await.found.is_none());
    assert!(!waiting.is_finished() && !following.is_finished());
    let outcome = fill_outcome(&client, fill("key", lease, "in time")).await;
    assert_eq!(outcome, Outcome::Stored);
    let followed = following.await.expect("it ends");
    assert_eq!(value(&followed), Some(&b"in time"[..]));
    drop(client);
    let answer = timeout(LONG, waiting).await.expect("it is told");
    let answer = answer.expect("it ends");
    assert_eq!((answer.status, &*answer.body), (200, "drained\n"));
    let ended = tokio::task::spawn_blocking(|| pod.running.join()).await;
    assert_eq!(ended.expect("it ends").cut_off, 0);
}

#[tokio::test]
async fn whoever_waits_for_the_end_keeps_its_place_among_many_that_were_answered() {
    let pod = Pod::start();
    let client = pod.client().await;
    let lease = lead(&client, "key").await;
    let address = admin(&pod);
    let waiting = tokio::spawn(async move {
        let host = format!("Host: {address}");
        ask(address, "POST /drain?wait", &[&host, MEANT]).await
    });
    // It waits once the stage says so.
    let told = async {
        loop {
            let stats = curl(&pod, "GET /stats.json", &[]).await;
            if stats.body.contains("\"stage\":\"draining\"") {
                break;
            }
        }
    };
    timeout(LONG, told).await.expect("it is told to drain");
    let mut answered = Vec::new();
    for _ in 0..80 {
        let mut stream = TcpStream::connect(address).await.expect("it accepts");
        let request = format!("GET /icon.svg HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let heard = timeout(LONG, stream.read_u8()).await.expect("it answers");
        assert_eq!(heard.expect("it is open"), b'H');
        answered.push(stream);
    }
    fill_outcome(&client, fill("key", lease, "in time")).await;
    drop(client);
    let answer = timeout(LONG, waiting).await.expect("it is told");
    let answer = answer.expect("its connection was kept");
    assert_eq!((answer.status, &*answer.body), (200, "drained\n"));
}

#[tokio::test]
async fn a_drain_must_be_meant_and_has_one_option() {
    let pod = Pod::start();
    assert_eq!(curl(&pod, "POST /drain", &[]).await.status, 403);
    let other = ["X-Millpond: something else"];
    assert_eq!(curl(&pod, "POST /drain", &other).await.status, 403);
    assert_eq!(curl(&pod, "POST /drain?now", &[MEANT]).await.status, 400);
    let get = curl(&pod, "GET /drain", &[MEANT]).await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let stats = curl(&pod, "GET /stats.json", &[]).await;
    assert!(stats.body.contains("\"stage\":\"serving\""));
}

#[tokio::test]
async fn the_process_ends_after_it_answered_and_the_audit_log_says_who_drained_it() {
    let mut process = Process::start(&["--log", "error", "--log-format", "json"]);
    let client = process.client().await;
    assert!(read(&client, held("key")).await.found.is_none());
    drop(client);
    let answer = timeout(LONG, drain(&process)).await.expect("it drains");
    assert_eq!((answer.status, &*answer.body), (200, "drained\n"));
    assert_eq!(process.ended().await, Some(0));
    let mut said = String::new();
    let stderr = process.child.stderr.as_mut().expect("it is piped");
    stderr.read_to_string(&mut said).expect("it is text");
    // Nothing but the audit at this level, and all of it on one line.
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    let (line, fields) = (&lines[0], &lines[0]["fields"]);
    assert_eq!(
        (&line["target"], &fields["action"]),
        (&"audit".into(), &"drain".into())
    );
    assert_eq!(
        (&fields["before"], &fields["after"]),
        (&"serving".into(), &"draining".into())
    );
    let peer = fields["peer"].as_str().expect("where from");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_says_how_many_calls_it_cut_off() {
    let process = Process::start(&["--drain", "1s"]);
    let client = process.client().await;
    lead(&client, "key").await;
    let following = tokio::spawn({
        let client = client.clone();
        async move { client.clone().get(get("key")).await }
    });
    // The follower is in its call once a later read of its connection is answered.
    assert!(read(&client, held("other")).await.found.is_none());
    let answer = timeout(LONG, drain(&process)).await.expect("it drains");
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("drained"), "{}", answer.body);
    let followed = timeout(LONG, following).await.expect("it ends");
    assert!(followed.expect("it ends").is_err());
}
