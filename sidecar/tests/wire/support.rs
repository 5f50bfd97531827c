//! A sidecar of its own for each test, and words for the calls.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_sidecar::{Config, Running, Sidecar};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

pub(crate) type Client = CacheServiceClient<Channel>;

/// Longer than anything here takes; a wait that ends by it failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Pod {
    pub(crate) running: Running,
}

impl Pod {
    pub(crate) fn start() -> Self {
        Self::with(Config::on_free_ports())
    }

    pub(crate) fn with(config: Config) -> Self {
        let running = Sidecar::start(config).expect("free ports are free");
        Self { running }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let address = self.running.tcp().expect("it listens on TCP");
        Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI")
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.endpoint().connect().await.expect("it accepts")
    }

    pub(crate) async fn client(&self) -> Client {
        CacheServiceClient::new(self.channel().await)
    }

    /// How many reads have waited for another's load so far.
    pub(crate) fn coalesced(&self) -> u64 {
        self.running.pond().totals().coalesced
    }

    /// What the probe port answers to a request as it stands on the wire.
    pub(crate) async fn probed(&self, request: &str) -> String {
        let address = self.running.probe().expect("it answers probes");
        let mut stream = TcpStream::connect(address).await.expect("it accepts");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        answer
    }

    /// What a scraper reads, by name and labels. The page's form is proved where it is made.
    pub(crate) async fn samples(&self) -> HashMap<String, f64> {
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = self.probed(request).await;
        let (_, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
        samples_of(page)
    }

    pub(crate) async fn until_coalesced(&self, reads: u64) {
        eventually("reads wait", || self.coalesced() >= reads).await;
    }
}

pub(crate) fn samples_of(page: &str) -> HashMap<String, f64> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a sample and a value"))
        .map(|(sample, value)| (sample.to_owned(), value.parse().expect("a number")))
        .collect()
}

/// One worker, so that all share its budget, and little patience.
pub(crate) fn impatient() -> Config {
    Config {
        workers: 1,
        patience: Duration::from_millis(200),
        ..Config::on_free_ports()
    }
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

pub(crate) fn held(key: &'static str) -> v1::GetRequest {
    v1::GetRequest {
        load: v1::Load::Never.into(),
        ..get(key)
    }
}

pub(crate) fn get_many(keys: &[&'static str]) -> v1::GetManyRequest {
    v1::GetManyRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        keys: keys
            .iter()
            .map(|key| v1::KeyRequest {
                key: Bytes::from_static(key.as_bytes()),
                min_version: Bytes::new(),
            })
            .collect(),
        load: v1::Load::Caller.into(),
        ..v1::GetManyRequest::default()
    }
}

pub(crate) fn settle(
    key: &'static str,
    lease: v1::Lease,
    settlement: v1::fill::Settlement,
) -> v1::FillRequest {
    v1::FillRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        fills: vec![v1::Fill {
            key: Bytes::from_static(key.as_bytes()),
            lease: Some(lease),
            settlement: Some(settlement),
            ..v1::Fill::default()
        }],
    }
}

pub(crate) fn fill(key: &'static str, lease: v1::Lease, value: &'static str) -> v1::FillRequest {
    let value = Bytes::from_static(value.as_bytes());
    settle(key, lease, v1::fill::Settlement::Value(value))
}

pub(crate) fn give_up(key: &'static str, lease: v1::Lease) -> v1::FillRequest {
    settle(key, lease, v1::fill::Settlement::GivenUp(true))
}

pub(crate) fn set(key: &'static str, value: impl Into<Bytes>) -> v1::SetRequest {
    v1::SetRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: Bytes::from_static(key.as_bytes()),
        value: value.into(),
        ..v1::SetRequest::default()
    }
}

pub(crate) fn invalidate(target: v1::invalidate_request::Target) -> v1::InvalidateRequest {
    v1::InvalidateRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        target: Some(target),
        ..v1::InvalidateRequest::default()
    }
}

/// What one call comes to, without the envelope.
pub(crate) async fn read(
    client: &Client,
    request: impl tonic::IntoRequest<v1::GetRequest>,
) -> v1::GetReply {
    client
        .clone()
        .get(request)
        .await
        .expect("the call is well formed")
        .into_inner()
}

pub(crate) async fn lead(client: &Client, key: &'static str) -> v1::Lease {
    read(client, get(key))
        .await
        .lease
        .expect("nobody leads yet")
}

pub(crate) async fn fill_outcome(
    client: &Client,
    request: v1::FillRequest,
) -> v1::fill_outcome::Outcome {
    let reply = client.clone().fill(request).await;
    let reply = reply.expect("the call is well formed").into_inner();
    reply.outcomes[0].outcome()
}

pub(crate) fn value(reply: &v1::GetReply) -> Option<&[u8]> {
    match &reply.found {
        Some(v1::get_reply::Found::Value(value)) => Some(value),
        _ => None,
    }
}
