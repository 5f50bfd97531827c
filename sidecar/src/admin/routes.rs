//! Which path is answered by what.
//!
//! Every request passes the [`guard`](super::guard) first, whatever it asks for, and
//! every answer carries the headers that keep browsers from doing more with it than
//! the console does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use millpond_proto::v1::admin_service_server::AdminServiceServer;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::changes::Act;
use super::console;
use super::guard::{self, Refusal};
use super::service::{MAX_MESSAGE_BYTES, Peer};
use super::{Admin, json, stats};
use crate::listen::guests::Standing;
use crate::rpc::Common;

type Answer = Response<Body>;
type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

const ADMIN: &str = "/millpond.v1.AdminService/";
const HEALTH: &str = "/grpc.health.v1.Health/";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    admin: Admin,
    peer: SocketAddr,
    standing: Arc<Standing>,
    service: AdminServiceServer<Admin>,
    health: HealthServer<HealthService>,
    common: Common,
}

impl Routes {
    pub(super) fn new(admin: Admin, peer: SocketAddr, standing: Arc<Standing>) -> Self {
        let common = admin.0.common.clone();
        Self {
            service: AdminServiceServer::new(admin.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            health: common.health(),
            admin,
            peer,
            standing,
            common,
        }
    }

    /// Answers what [`is_service`] says is a service's.
    fn call_service(&self, mut request: Request<Incoming>) -> Answering {
        if request.version() != Version::HTTP_2 {
            let refusal = text(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "gRPC needs HTTP/2\n",
            );
            return Box::pin(async { Ok(hardened(refusal)) });
        }
        request.extensions_mut().insert(Peer(self.peer));
        let path = request.uri().path();
        if path.starts_with(ADMIN) {
            self.service.clone().call(request)
        } else if path.starts_with(HEALTH) {
            self.health.clone().call(request)
        } else {
            self.common.reflect(request)
        }
    }
}

fn is_service(path: &str) -> bool {
    path.starts_with(ADMIN) || path.starts_with(HEALTH) || Common::is_reflection(path)
}

impl hyper::service::Service<Request<Incoming>> for Routes {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let asking = self.standing.asks();
        let answering = self.answer(request);
        Box::pin(async move {
            let answer = answering.await;
            drop(asking);
            answer
        })
    }
}

impl Routes {
    fn answer(&self, request: Request<Incoming>) -> Answering {
        let admitted = guard::admit(request.method(), request.uri(), request.headers());
        if let Err(Refusal(status, why)) = admitted {
            let refusal = hardened(text(status, why));
            return Box::pin(async { Ok(refusal) });
        }
        if is_service(request.uri().path()) {
            return self.call_service(request);
        }
        let (admin, peer) = (self.admin.clone(), self.peer);
        Box::pin(async move { Ok(hardened(page(&admin, peer, &request).await)) })
    }
}

/// What is not gRPC.
async fn page(admin: &Admin, peer: SocketAddr, request: &Request<Incoming>) -> Answer {
    let path = request.uri().path();
    if path == "/drain" {
        return match *request.method() {
            Method::POST => drain(admin, peer, request).await,
            _ => not_allowed("POST"),
        };
    }
    let found = match path {
        "/stats.json" => Some((JSON, Bytes::new())),
        path => console::file(path).map(|(kind, text)| (kind, Bytes::from_static(text.as_bytes()))),
    };
    let Some((kind, body)) = found else {
        return text(StatusCode::NOT_FOUND, "not found\n");
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD");
    }
    // Only now: a refusal must not cost what an answer does.
    let body = match path {
        "/stats.json" => json::stats(&admin.stats()).into(),
        _ => body,
    };
    response(StatusCode::OK, kind, body)
}

/// `POST /drain` begins to drain and answers; with `?wait` it answers at the end, so
/// that a preStop hook holds the pod's end back for so long.
async fn drain(admin: &Admin, peer: SocketAddr, request: &Request<Incoming>) -> Answer {
    if !guard::intends(request.headers(), "drain") {
        return text(
            StatusCode::FORBIDDEN,
            "say that you mean it: -H 'X-Millpond: drain'\n",
        );
    }
    let waits = match request.uri().query() {
        None | Some("") => false,
        Some("wait") => true,
        Some(_) => return text(StatusCode::BAD_REQUEST, "the only option is ?wait\n"),
    };
    let before = admin.0.observed.stages.now();
    admin.0.shutdown.drain();
    let after = admin.0.observed.stages.now();
    admin.0.changes.audit(&Act {
        kind: "drain",
        of: "sidecar",
        before: &stats::stage(before),
        after: &stats::stage(after),
        actor: "",
        why: "POST /drain",
        peer: Some(peer),
    });
    if !waits {
        return text(StatusCode::ACCEPTED, "draining\n");
    }
    match admin.until_ended().await {
        0 => text(StatusCode::OK, "drained\n"),
        cut_off => response(
            StatusCode::OK,
            TEXT,
            format!("drained, {cut_off} calls cut off\n"),
        ),
    }
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    let allowed = HeaderValue::from_static(allowed);
    refusal.headers_mut().insert(ALLOW, allowed);
    refusal
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    response(status, TEXT, text)
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Body::new(Full::new(body.into())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn hardened(mut answer: Answer) -> Answer {
    let headers: &mut HeaderMap = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("content-security-policy", CONTENT_SECURITY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    answer
}
