//! Connections: many, silent, and half a request.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{LONG, Pod};
use crate::{admin, curl};

/// How a client begins to speak HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn whoever_holds_all_connections_does_not_keep_an_operator_out() {
    let pod = Pod::start();
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(admin(&pod)).await.expect("it accepts");
        // As a gRPC client that says nothing more: nothing but its age ends it.
        stream.write_all(PREFACE).await.expect("it reads");
        stream
            .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
            .await
            .expect("it reads");
        let settings = timeout(LONG, stream.read(&mut [0; 1])).await;
        assert_eq!(settings.expect("it answers").expect("it is open"), 1);
        silent.push(stream);
    }
    let answer = timeout(LONG, curl(&pod, "GET /stats.json", &[])).await;
    assert_eq!(answer.expect("it gets in").status, 200);
    // The oldest had to go.
    let mut oldest = silent.remove(0);
    let read = timeout(LONG, oldest.read_to_end(&mut Vec::new())).await;
    drop(read.expect("it is closed, well or badly"));
    // The next oldest still answers a ping.
    let mut next = silent.remove(0);
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    next.write_all(&ping).await.expect("it is open");
    let mut heard = Vec::new();
    while !heard.ends_with(&ping[9..]) {
        let byte = timeout(LONG, next.read_u8()).await.expect("it answers");
        heard.push(byte.expect("it is open"));
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let pod = Pod::start();
    let cookie = format!("Cookie: {}", "x".repeat(16 << 10));
    assert_eq!(curl(&pod, "GET /stats.json", &[&cookie]).await.status, 200);
    let cookie = format!("Cookie: {}", "x".repeat(64 << 10));
    assert_eq!(curl(&pod, "GET /stats.json", &[&cookie]).await.status, 431);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let pod = Pod::start();
    let request = millpond_proto::v1::InvalidateTenantRequest {
        tenant: "acme".to_owned(),
        why: "x".repeat(17 << 10),
    };
    let refused = crate::operator(&pod).await.invalidate_tenant(request).await;
    let refused = refused.expect_err("larger than any request");
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
}

#[tokio::test]
async fn connections_of_operators_take_no_place_of_callers() {
    let pod = Pod::start();
    let _operator = crate::operator(&pod).await;
    let stats = curl(&pod, "GET /stats.json", &[]).await;
    assert!(stats.body.contains("\"connections\":0,"), "{}", stats.body);
}
