//! Which service answers a path: the cache, health, reflection.
//!
//! By hand, because a router in front of the cache would box and copy what every
//! call pays for. The cache is asked first.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use millpond_proto::v1::cache_service_server::{CacheServiceServer, SERVICE_NAME};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::cache::Cache;
use super::limits::MAX_MESSAGE_BYTES;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Reflection = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

const CACHE: &str = "/millpond.v1.CacheService/";
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
        reporter
            .set_service_status(SERVICE_NAME, ServingStatus::Serving)
            .await;
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(millpond_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let reflection = described()
            .build_v1()
            .expect("the descriptors were encoded by the build");
        let reflection_alpha = described()
            .build_v1alpha()
            .expect("the descriptors were encoded by the build");
        Self {
            reporter,
            reflection: Arc::new(move |request| reflection.clone().call(request)),
            reflection_alpha: Arc::new(move |request| reflection_alpha.clone().call(request)),
        }
    }

    /// Says "not serving" to all who ask or watch, and ends the watches: a stream
    /// that is never closed would hold its connection to the end of the drain.
    pub(crate) async fn leaving(&mut self) {
        for service in ["", SERVICE_NAME] {
            self.reporter
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }

    pub(crate) async fn end_watches(&mut self) {
        for service in ["", SERVICE_NAME] {
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
    cache: CacheServiceServer<Cache>,
    health: HealthServer<HealthService>,
    common: Common,
}

impl Services {
    pub(crate) fn new(cache: Cache, common: &Common) -> Self {
        Self {
            cache: CacheServiceServer::new(cache).max_decoding_message_size(MAX_MESSAGE_BYTES),
            health: HealthServer::new(HealthService::from_health_reporter(common.reporter.clone())),
            common: common.clone(),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let path = request.uri().path();
        if path.starts_with(CACHE) {
            self.cache.clone().call(request)
        } else if path.starts_with(HEALTH) {
            self.health.clone().call(request)
        } else if path.starts_with(REFLECTION) {
            (self.common.reflection)(request)
        } else if path.starts_with(REFLECTION_ALPHA) {
            (self.common.reflection_alpha)(request)
        } else {
            Box::pin(async { Ok(tonic::Status::unimplemented("no such service").into_http()) })
        }
    }
}
