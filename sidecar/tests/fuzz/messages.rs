//! Messages of every method, tampered with, over HTTP/2 that is as it should be.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use millpond_proto::v1;
use millpond_sidecar::Running;
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

use super::bytes::mutate;
use crate::LONG;

const METHODS: [&str; 7] = [
    "Get",
    "GetMany",
    "Fill",
    "Renew",
    "Set",
    "Invalidate",
    "Hello",
];

/// One connection, and how its calls ended.
pub(crate) struct Sender {
    send: SendRequest<Bytes>,
    ended: BTreeMap<i32, usize>,
    /// Leases it was granted.
    leases: Vec<v1::Lease>,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (code, count) in &self.ended {
            write!(f, "{:?} {count} ", Code::from(*code))?;
        }
        Ok(())
    }
}

async fn connect(running: &Running) -> Option<SendRequest<Bytes>> {
    let address = running.tcp().expect("it listens on TCP");
    let stream = TcpStream::connect(address).await.ok()?;
    let (send, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(async move { drop(connection.await) });
    send.ready().await.ok()
}

impl Sender {
    pub(crate) async fn connect(running: &Running) -> Self {
        Self {
            send: connect(running).await.expect("it accepts"),
            ended: BTreeMap::new(),
            leases: Vec::new(),
        }
    }

    /// One call of each method. All are answered, and none as a fault of ours.
    pub(crate) async fn send_mutated(&mut self, running: &Running, random: &mut Rng) {
        for method in METHODS {
            let mut bytes = self.message(method, random);
            if random.u8(..4) > 0 {
                mutate(&mut bytes, random);
            }
            let length = u32::try_from(bytes.len())
                .expect("it is short")
                .to_be_bytes();
            let mut framed = [&[0][..], &length, &bytes].concat();
            if random.u8(..8) == 0 {
                mutate(&mut framed, random);
            }
            let Some((mut body, answer)) = self.begin(method).await else {
                // A connection may be ended for what was sent on it, and only that.
                self.send = connect(running).await.expect("others are accepted");
                continue;
            };
            drop(body.send_data(framed.into(), true));
            let Ok(answer) = timeout(LONG, answer).await.expect("it is answered") else {
                continue;
            };
            let (head, body) = answer.into_parts();
            let (reply, trailers) = read(body).await;
            let status = head.headers.get("grpc-status").cloned();
            let status = status.or_else(|| trailers?.remove("grpc-status"));
            let code = status.and_then(|code| code.to_str().ok()?.parse().ok());
            let code: i32 = code.expect("a gRPC status");
            let fault = [Code::Internal, Code::Unknown, Code::DataLoss];
            assert!(!fault.contains(&Code::from(code)), "{method}: {code}");
            *self.ended.entry(code).or_default() += 1;
            if method == "Get"
                && let Some(Ok(reply)) = reply.get(5..).map(v1::GetReply::decode)
            {
                self.leases.extend(reply.lease);
            }
        }
    }

    /// Calls that are begun and left, in any way.
    pub(crate) async fn send_slowly(&mut self, random: &mut Rng) {
        let mut left = Vec::new();
        for _ in 0..random.usize(..4) {
            let Some((mut body, answer)) = self.begin("Set").await else {
                return;
            };
            let length = random.u32(..5 << 20);
            let mut framed = [&[0][..], &length.to_be_bytes()].concat();
            framed.extend((0..random.usize(..100)).map(|_| 7));
            framed.truncate(random.usize(1..framed.len()));
            drop(body.send_data(framed.into(), false));
            match random.u8(..3) {
                0 => body.send_reset(h2::Reason::CANCEL),
                1 => left.push((body, Some(answer))),
                _ => left.push((body, None)),
            }
        }
        for (_body, answer) in left {
            if let Some(answer) = answer {
                // Refused at once, or when its time is up.
                drop(timeout(LONG, answer).await.expect("it is answered"));
            }
        }
    }

    async fn begin(
        &mut self,
        method: &str,
    ) -> Option<(SendStream<Bytes>, h2::client::ResponseFuture)> {
        let path = format!("http://localhost/millpond.v1.CacheService/{method}");
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "100m");
        let request = request.body(()).expect("it is well formed");
        let ready = timeout(LONG, self.send.clone().ready()).await;
        let mut send = ready.expect("a place is free").ok()?;
        let (answer, body) = send.send_request(request, false).ok()?;
        Some((body, answer))
    }

    fn message(&mut self, method: &str, random: &mut Rng) -> Vec<u8> {
        let tenant = || "fuzz".to_owned();
        let key = Bytes::from(format!("key {}", random.u8(..16)));
        let size = *random.choice(&[0, 1, 100, 70_000]).expect("some");
        let lease = self.leases.pop().or(Some(v1::Lease {
            boot: random.u64(..),
            token: random.u64(..),
            expires_in_ms: 0,
        }));
        match method {
            "Get" => v1::GetRequest {
                tenant: tenant(),
                cache: tenant(),
                key,
                load: random.i32(-1..4),
                wait_ms: random.bool().then_some(1),
                ..v1::GetRequest::default()
            }
            .encode_to_vec(),
            "GetMany" => v1::GetManyRequest {
                tenant: tenant(),
                cache: tenant(),
                keys: (0..random.usize(..600))
                    .map(|at| v1::KeyRequest {
                        key: format!("key {at}").into(),
                        ..v1::KeyRequest::default()
                    })
                    .collect(),
                load: random.i32(..2).max(0),
                wait_ms: Some(0),
                ..v1::GetManyRequest::default()
            }
            .encode_to_vec(),
            "Fill" => v1::FillRequest {
                tenant: tenant(),
                cache: tenant(),
                fills: vec![
                    v1::Fill {
                        key,
                        lease,
                        settlement: Some(v1::fill::Settlement::Value(vec![7; size].into())),
                        tags: vec!["tag".to_owned()],
                        ..v1::Fill::default()
                    };
                    random.usize(1..4)
                ],
            }
            .encode_to_vec(),
            "Renew" => v1::RenewRequest {
                tenant: tenant(),
                cache: tenant(),
                key,
                lease,
                lease_ms: random.bool().then_some(50),
            }
            .encode_to_vec(),
            "Set" => v1::SetRequest {
                tenant: tenant(),
                cache: tenant(),
                key,
                value: vec![7; size].into(),
                tags: vec!["tag".to_owned()],
                ..v1::SetRequest::default()
            }
            .encode_to_vec(),
            "Invalidate" => v1::InvalidateRequest {
                tenant: tenant(),
                cache: tenant(),
                target: Some(match random.u8(..3) {
                    0 => v1::invalidate_request::Target::Keys(v1::Keys { keys: vec![key] }),
                    1 => v1::invalidate_request::Target::Tags(v1::Tags {
                        tags: vec!["tag".to_owned()],
                    }),
                    _ => v1::invalidate_request::Target::WholeCache(true),
                }),
                soft: random.bool(),
                ..v1::InvalidateRequest::default()
            }
            .encode_to_vec(),
            _ => Vec::new(),
        }
    }
}

async fn read(mut body: RecvStream) -> (Vec<u8>, Option<http::HeaderMap>) {
    let mut bytes = Vec::new();
    let patience = Duration::from_secs(30);
    while let Ok(Some(Ok(data))) = timeout(patience, body.data()).await {
        drop(body.flow_control().release_capacity(data.len()));
        bytes.extend_from_slice(&data);
    }
    (bytes, body.trailers().await.ok().flatten())
}
