//! A sidecar of its own for each test, and words for the calls.

use std::time::Duration;

use bytes::Bytes;
use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_sidecar::{Config, Running, Sidecar};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

pub(crate) type Client = CacheServiceClient<Channel>;

/// Longer than anything here takes; a wait that ends by it failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn start(config: Config) -> Running {
    Sidecar::start(config).expect("free ports are free")
}

pub(crate) async fn client(running: &Running) -> Client {
    let address = running.tcp().expect("it listens on TCP");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    CacheServiceClient::new(endpoint.connect().await.expect("it accepts"))
}

/// Asks until it is so; fails after [`LONG`].
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    const STEP: Duration = Duration::from_millis(2);
    let mut left = LONG;
    while !so() {
        left = left.checked_sub(STEP).unwrap_or_else(|| panic!("{what}"));
        tokio::time::sleep(STEP).await;
    }
}

pub(crate) fn get(key: &'static str) -> v1::GetRequest {
    v1::GetRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: Bytes::from_static(key.as_bytes()),
        load: v1::Load::Caller.into(),
        ..v1::GetRequest::default()
    }
}

/// Never waits for a load.
pub(crate) fn held(key: &'static str) -> v1::GetRequest {
    v1::GetRequest {
        load: v1::Load::Never.into(),
        ..get(key)
    }
}

pub(crate) async fn read(
    client: &Client,
    request: impl tonic::IntoRequest<v1::GetRequest>,
) -> v1::GetReply {
    let reply = client.clone().get(request).await;
    reply.expect("the call is well formed").into_inner()
}

pub(crate) fn settle(
    key: &'static str,
    lease: Option<v1::Lease>,
    settlement: v1::fill::Settlement,
) -> v1::FillRequest {
    v1::FillRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        fills: vec![v1::Fill {
            key: Bytes::from_static(key.as_bytes()),
            lease,
            settlement: Some(settlement),
            times: Some(v1::Times {
                stale_ms: Some(600_000),
                stale_if_error_ms: Some(600_000),
                ..v1::Times::default()
            }),
            ..v1::Fill::default()
        }],
    }
}

pub(crate) async fn fill(client: &Client, key: &'static str, lease: Option<v1::Lease>) {
    let value = v1::fill::Settlement::Value(Bytes::from_static(b"value"));
    let filled = client.clone().fill(settle(key, lease, value)).await;
    filled.expect("the call is well formed");
}

/// The request under a caller's span.
pub(crate) fn under<T>(request: T, traceparent: &'static str) -> Request<T> {
    let mut request = Request::new(request);
    let value = traceparent.parse().expect("it is ASCII");
    request.metadata_mut().insert("traceparent", value);
    request
}

/// The value of one sample, as it stands on the page.
pub(crate) async fn sample(running: &Running, sample: &str) -> Option<f64> {
    let address = running.probe().expect("it answers probes");
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    let of = |line: &str| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
    answer.lines().find_map(of)
}
