//! The real binary, whose stderr nobody reads.

use std::io::{BufRead, BufReader, ErrorKind, PipeReader, Write};

use bytes::Bytes;
use millpond_proto::v1;
use millpond_proto::v1::admin_service_client::AdminServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::calls::fill;
use crate::process::Process;
use crate::support::{LONG, eventually, get, held, read};

/// More lines than a pipe and the queue behind it hold.
const MANY: usize = 4_000;

async fn operator(process: &Process) -> AdminServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(process.admin.clone()).expect("a URI");
    AdminServiceClient::new(endpoint.connect().await.expect("it accepts"))
}

/// Says something that is logged, on the thread that answers operators.
async fn say(operator: &mut AdminServiceClient<Channel>, number: usize) {
    let request = v1::SetModeRequest {
        cache: "users".to_owned(),
        mode: v1::Mode::On.into(),
        why: format!("number {number}"),
        ..v1::SetModeRequest::default()
    };
    let answer = timeout(LONG, operator.set_mode(request)).await;
    let answer = answer.expect("whoever logs does not wait for stderr");
    answer.expect("the call is well formed");
}

async fn page(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    let mut page = String::new();
    let read = stream.read_to_string(&mut page).await;
    read.expect("it answers");
    page
}

async fn dropped(process: &Process) -> usize {
    let address = process.probe.trim_start_matches("http://");
    let scraped = timeout(LONG, page(address)).await;
    let page = scraped.expect("a scrape does not wait for stderr");
    let mut values = page
        .lines()
        .filter_map(|line| line.strip_prefix("millpond_log_lines_dropped_total "));
    let value = values.next().expect("the family is there");
    value.parse().expect("a count")
}

/// A sidecar that has dropped lines, and how many it was told to write.
async fn overflowing() -> (Process, PipeReader, usize) {
    let (reader, writer) = std::io::pipe().expect("there are descriptors");
    let process = Process::writing_to(writer, &["--log-format", "json"]);
    let mut operator = operator(&process).await;
    let mut said = 0;
    while dropped(&process).await == 0 {
        assert!(said < MANY, "the queue is bounded");
        for _ in 0..100 {
            say(&mut operator, said).await;
            said += 1;
        }
    }
    (process, reader, said)
}

#[tokio::test]
async fn while_nobody_reads_stderr_calls_are_answered_and_the_process_ends_in_time() {
    let (mut process, reader, _) = overflowing().await;
    let before = dropped(&process).await;
    let mut operator = operator(&process).await;
    let cache = process.client().await;
    for number in 0..50 {
        say(&mut operator, number).await;
    }
    assert_eq!(dropped(&process).await, before + 50);
    let calls = async {
        let lease = read(&cache, get("k")).await.lease;
        fill(&cache, "k", lease).await;
        read(&cache, held("k")).await
    };
    let reply = timeout(LONG, calls).await.expect("calls are answered");
    let value = v1::get_reply::Found::Value(Bytes::from_static(b"value"));
    assert_eq!(reply.found, Some(value));
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    drop(reader);
}

#[tokio::test]
async fn a_reader_who_comes_back_gets_whole_lines_in_order_and_how_many_are_missing() {
    let (mut process, reader, said) = overflowing().await;
    let lost = dropped(&process).await;
    let mut lines = BufReader::new(reader).lines().map(|line| {
        let line = line.expect("it is text");
        serde_json::from_str::<serde_json::Value>(&line).expect("a line is whole")
    });
    let mut written = 0;
    let notice = loop {
        let line = lines.next().expect("there is more");
        if line["target"] != "audit" {
            break line;
        }
        assert_eq!(line["fields"]["why"], format!("number {written}"));
        written += 1;
    };
    assert_eq!(
        (&notice["level"], &notice["fields"]["lines"]),
        (&"warn".into(), &lost.into())
    );
    assert_eq!(written + lost, said);
    let mut operator = operator(&process).await;
    say(&mut operator, said).await;
    let line = lines.next().expect("there is more");
    assert_eq!(line["fields"]["why"], format!("number {said}"));
    process.signal("TERM");
    let last = lines.last().expect("there is more");
    assert_eq!(last["msg"], "stopped");
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn no_line_is_lost_where_another_process_made_stderr_non_blocking() {
    let (reader, mut writer) = std::io::pipe().expect("there are descriptors");
    rustix::io::ioctl_fionbio(&writer, true).expect("it is a pipe");
    let full = loop {
        if let Err(error) = writer.write(b"\n") {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let mut process = Process::writing_to(writer, &[]);
    let mut operator = operator(&process).await;
    say(&mut operator, 7).await;
    process.signal("TERM");
    // Read as late as may be: nothing is left of it but its last lines.
    let probe = process.probe.trim_start_matches("http://").to_owned();
    eventually("it ends", || std::net::TcpStream::connect(&probe).is_err()).await;
    let lines = BufReader::new(reader).lines().map_while(Result::ok);
    let said: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    assert!(said[0].contains("number 7"), "{said:?}");
    assert!(
        said.last().is_some_and(|line| line.ends_with("stopped")),
        "{said:?}"
    );
    assert_eq!(process.ended().await, Some(0));
}
