//! Which service answers a path: the cache, the limits, the limits of
//! proxies, health, reflection.
//!
//! By hand, because a router in front of the cache would box and copy what every
//! call pays for. The cache is asked first.
//!
//! What is served beside it is bounded like it: a call of theirs is charged what its
//! message may be, and ends when the sidecar leaves.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_service_server;
use millpond_proto::v1::{cache_service_server, limit_service_server};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::body::Answer;
use super::cache::Cache;
use super::call::{self, InFlight};
use super::envelope;
use super::envoy::RateLimits;
use super::limit::Limits;
use super::limits::MAX_BESIDE_BYTES;
use crate::drain::Stage;
use crate::listen::pace::Pace;
use crate::telemetry::calls::{Method, Service};

type Answering = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;
type AnsweringBeside = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Reflection = Arc<dyn Fn(Request<Incoming>) -> AnsweringBeside + Send + Sync>;

const CACHE: &str = "/millpond.v1.CacheService/";
const LIMIT: &str = "/millpond.v1.LimitService/";
const ENVOY: &str = "/envoy.service.ratelimit.v3.RateLimitService/";
/// What health is told of; "" is the process.
const SERVICES: [&str; 4] = [
    "",
    cache_service_server::SERVICE_NAME,
    limit_service_server::SERVICE_NAME,
    rate_limit_service_server::SERVICE_NAME,
];
const HEALTH: &str = "/grpc.health.v1.Health/";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/";
const REFLECTION_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/";

/// What all workers serve alike.
#[derive(Clone)]
pub(crate) struct Common {
    reporter: HealthReporter,
    reflection: Reflection,
    reflection_alpha: Reflection,
}

impl Common {
    /// Health says "serving" from the start: nothing listens before.
    pub(crate) async fn serving() -> Self {
        let reporter = HealthReporter::new();
        for service in SERVICES {
            reporter
                .set_service_status(service, ServingStatus::Serving)
                .await;
        }
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(millpond_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let reflection = described()
            .build_v1()
            .expect("the descriptors were encoded by the build")
            .max_decoding_message_size(MAX_BESIDE_BYTES);
        let reflection_alpha = described()
            .build_v1alpha()
            .expect("the descriptors were encoded by the build")
            .max_decoding_message_size(MAX_BESIDE_BYTES);
        Self {
            reporter,
            reflection: Arc::new(move |request| reflection.clone().call(request)),
            reflection_alpha: Arc::new(move |request| reflection_alpha.clone().call(request)),
        }
    }

    /// Health as it is told everywhere.
    pub(crate) fn health(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
            .max_decoding_message_size(MAX_BESIDE_BYTES)
    }

    /// Whether a path is one of reflection's.
    pub(crate) fn is_reflection(path: &str) -> bool {
        path.starts_with(REFLECTION) || path.starts_with(REFLECTION_ALPHA)
    }

    /// Answers a path of reflection's.
    pub(crate) fn reflect(&self, request: Request<Incoming>) -> AnsweringBeside {
        if request.uri().path().starts_with(REFLECTION) {
            (self.reflection)(request)
        } else {
            (self.reflection_alpha)(request)
        }
    }

    /// Says "not serving" to all who ask or watch, and ends the watches: a stream
    /// that is never closed would hold its connection to the end of the drain.
    pub(crate) async fn leaving(&mut self) {
        for service in SERVICES {
            self.reporter
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }

    pub(crate) async fn end_watches(&mut self) {
        for service in SERVICES {
            self.reporter.clear_service_status(service).await;
        }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").finish_non_exhaustive()
    }
}

/// The services of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    cache: Cache,
    limits: Limits,
    rate_limits: RateLimits,
    health: HealthServer<HealthService>,
    common: Common,
}

impl Services {
    pub(crate) fn new(
        cache: Cache,
        limits: Limits,
        rate_limits: RateLimits,
        common: &Common,
    ) -> Self {
        Self {
            cache,
            limits,
            rate_limits,
            health: common.health(),
            common: common.clone(),
        }
    }

    /// As one connection is served.
    pub(crate) fn on(self, pace: Arc<Pace>) -> OnConnection {
        OnConnection {
            services: self,
            pace,
        }
    }
}

/// The services of one connection.
#[derive(Debug)]
pub(crate) struct OnConnection {
    services: Services,
    pace: Arc<Pace>,
}

impl OnConnection {
    /// Answers a call of a service beside the cache. Health reads its whole request
    /// before it answers, and reflection answers as it reads: so what comes within
    /// the patience is the head. `ends` once the sidecar leaves.
    fn beside(
        &self,
        request: Request<Incoming>,
        ends: bool,
        service: impl FnOnce(Request<Incoming>) -> AnsweringBeside + Send + 'static,
    ) -> Answering {
        let (desk, pace) = (
            Arc::clone(&self.services.cache.desk),
            Arc::clone(&self.pace),
        );
        Box::pin(async move {
            let mut call = match InFlight::beside(&desk, &pace, request.headers()) {
                Ok(call) => call,
                Err(refused) => return Ok(refused.into_http()),
            };
            let Ok(answer) = timeout(desk.patience, service(request)).await else {
                let late = tonic::Status::deadline_exceeded("message: did not come in time");
                return Ok(late.into_http());
            };
            if !ends {
                call.message_read();
            }
            let leaving = async move {
                if !ends {
                    std::future::pending::<()>().await;
                }
                desk.stages.reached(Stage::Leaving).await;
            };
            Ok(answer?.map(|body| Answer::beside(body, leaving, call)))
        })
    }
}

impl hyper::service::Service<Request<Incoming>> for OnConnection {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let Services {
            cache,
            limits,
            rate_limits,
            health,
            common,
        } = &self.services;
        if let Some(refusal) = envelope::refusal(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let path = request.uri().path();
        if let Some(method) = path.strip_prefix(CACHE) {
            let Some(method) = Method::named(Service::Cache, method) else {
                return unknown("no such method");
            };
            let (cache, pace) = (cache.clone(), Arc::clone(&self.pace));
            Box::pin(call::answer(cache, pace, method, request).map(Ok))
        } else if let Some(method) = path.strip_prefix(LIMIT) {
            let Some(method) = Method::named(Service::Limit, method) else {
                return unknown("no such method");
            };
            if method == Method::Grant {
                return Box::pin(std::future::ready(Ok(limits.grant(&self.pace, request))));
            }
            let (limits, pace) = (limits.clone(), Arc::clone(&self.pace));
            Box::pin(call::answer(limits, pace, method, request).map(Ok))
        } else if let Some(method) = path.strip_prefix(ENVOY) {
            let Some(method) = Method::named(Service::Envoy, method) else {
                return unknown("no such method");
            };
            let (rate_limits, pace) = (rate_limits.clone(), Arc::clone(&self.pace));
            Box::pin(call::answer(rate_limits, pace, method, request).map(Ok))
        } else if path.starts_with(HEALTH) {
            let mut health = health.clone();
            // Its watches are ended in its own words.
            self.beside(request, false, move |request| health.call(request))
        } else if path.starts_with(REFLECTION) {
            let reflection = Arc::clone(&common.reflection);
            self.beside(request, true, move |request| reflection(request))
        } else if path.starts_with(REFLECTION_ALPHA) {
            let reflection = Arc::clone(&common.reflection_alpha);
            self.beside(request, true, move |request| reflection(request))
        } else {
            unknown("no such service")
        }
    }
}

fn unknown(what: &'static str) -> Answering {
    Box::pin(async move { Ok(tonic::Status::unimplemented(what).into_http()) })
}
