//! The operators' port of a real sidecar: one test a behaviour.

mod browser;
mod changing;
mod draining;
mod explaining;
mod listening;
mod telling;
mod tenants;

#[path = "../wire/process.rs"]
#[expect(dead_code, reason = "the cache's own tests use the rest")]
mod process;
#[path = "../wire/support.rs"]
#[expect(dead_code, reason = "the cache's own tests use the rest")]
mod support;

use std::net::SocketAddr;

use millpond_proto::v1::admin_service_client::AdminServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use support::Pod;

type Operator = AdminServiceClient<Channel>;

fn admin(pod: &Pod) -> SocketAddr {
    pod.running.admin().expect("it serves operators")
}

async fn operator(pod: &Pod) -> Operator {
    operator_at(format!("http://{}", admin(pod))).await
}

async fn operator_at(address: String) -> Operator {
    let endpoint = Endpoint::from_shared(address).expect("an address is a URI");
    AdminServiceClient::new(endpoint.connect().await.expect("it accepts"))
}

/// An answer as it stands on the wire.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

/// Sends a request line with these header lines, and reads to the end.
async fn ask(address: SocketAddr, request: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split_whitespace().nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The same as `curl` would ask.
async fn curl(pod: &Pod, request: &str, headers: &[&str]) -> Answer {
    let address = admin(pod);
    let host = format!("Host: {address}");
    let headers: Vec<&str> = [&*host]
        .into_iter()
        .chain(headers.iter().copied())
        .collect();
    ask(address, request, &headers).await
}
