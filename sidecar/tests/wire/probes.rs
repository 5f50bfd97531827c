//! The port of kubelet and Prometheus.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Pod, get, held, lead, read, samples_of};

async fn status(pod: &Pod, method: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = pod.probed(&request).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn probes_answer_and_nothing_else_is_there() {
    let pod = Pod::start();
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(status(&pod, "GET", path).await, "HTTP/1.1 200 OK", "{path}");
        assert_eq!(
            status(&pod, "HEAD", path).await,
            "HTTP/1.1 200 OK",
            "{path}"
        );
        let refused = status(&pod, "POST", path).await;
        assert_eq!(refused, "HTTP/1.1 405 Method Not Allowed", "{path}");
    }
    for path in ["/", "/admin", "/livez/", "/debug/pprof"] {
        assert_eq!(
            status(&pod, "GET", path).await,
            "HTTP/1.1 404 Not Found",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let pod = Pod::start();
    let path = format!("/{}", "x".repeat(16 << 10));
    let refused = status(&pod, "GET", &path).await;
    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
}

#[tokio::test]
async fn metrics_count_what_was_done_in_the_openmetrics_format() {
    let pod = Pod::start();
    let client = pod.client().await;
    read(&client, held("secret-key")).await;
    lead(&client, "secret-key").await;
    let mut bad = get("secret-key");
    bad.tenant.clear();
    client.clone().get(bad).await.expect_err("it is refused");

    let scrape = async |accept: &str| {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}Connection: close\r\n\r\n");
        let answer = pod.probed(&request).await;
        let (head, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("vary: accept"));
        assert!(!page.contains("secret-key"));
        (head.to_owned(), page.to_owned())
    };
    let (head, page) = scrape("").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert!(!page.ends_with("# EOF\n"));
    let (head, page) = scrape("Accept: application/openmetrics-text\r\n").await;
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(page.ends_with("# EOF\n"));
    let samples = samples_of(&page);
    for (sample, value) in [
        (
            "millpond_cache_reads_total{cache=\"other\",result=\"miss\"}",
            2.0,
        ),
        ("millpond_cache_leads_total", 1.0),
        ("millpond_cache_loads_unsettled", 1.0),
        (
            "millpond_rpc_requests_total{method=\"Get\",code=\"OK\"}",
            2.0,
        ),
        (
            "millpond_rpc_requests_total{method=\"Get\",code=\"INVALID_ARGUMENT\"}",
            1.0,
        ),
        ("millpond_connections", 1.0),
        ("millpond_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}");
    }
}

#[tokio::test]
async fn those_that_connect_and_say_nothing_do_not_shut_the_kubelet_out() {
    const SILENT: usize = 200;
    let pod = Pod::start();
    let address = pod.running.probe().expect("it answers probes");
    let mut scraper = TcpStream::connect(address).await.expect("it accepts");
    assert!(answered(&mut scraper).await);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.expect("it accepts"));
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(status(&pod, "GET", path).await, "HTTP/1.1 200 OK", "{path}");
    }
    assert!(answered(&mut scraper).await, "who has asked is kept");
    // The first of them had to go, the last is here, and not more than may be.
    let mut left = 0;
    let mut last_is_left = false;
    for mut peer in silent {
        last_is_left = false;
        let mut byte = [0];
        let gone = std::time::Duration::from_millis(1);
        // Nothing is sent to it: either it is closed, or there is nothing to read.
        match tokio::time::timeout(gone, peer.read(&mut byte)).await {
            Err(_) => {
                left += 1;
                last_is_left = true;
            }
            Ok(read) => assert!(matches!(read, Ok(0) | Err(_))),
        }
    }
    assert!(left <= 64 && last_is_left, "{left}");
}

/// Asks on a connection that stays open, and reads the answer to its end.
async fn answered(stream: &mut TcpStream) -> bool {
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    if stream.write_all(request).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => return false,
        }
    }
    answer.starts_with(b"HTTP/1.1 200 OK")
}
