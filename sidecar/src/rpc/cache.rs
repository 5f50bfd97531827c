//! `millpond.v1.CacheService` on core's cache.

use std::sync::Arc;

use millpond_core::cache::lookup::Levels;
use millpond_core::cache::{Pond, Scope};
use millpond_proto::v1;
use millpond_proto::v1::cache_service_server::CacheService;
use tonic::{Request, Response, Status};

use super::{fill, get, get_many, limits, status, write};
use crate::telemetry::calls::{Calls, Method};
use crate::timer::Timer;

/// Revision of the contract that is served here.
const REVISION: u32 = 1;

/// The service as one worker serves it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(super) levels: Levels,
    pub(super) timer: Timer,
    calls: Arc<Calls>,
}

impl Cache {
    pub(crate) fn new(levels: Levels, calls: Arc<Calls>) -> Self {
        let timer = Timer::new(levels.pond().clock().clone());
        Self {
            levels,
            timer,
            calls,
        }
    }

    pub(super) fn pond(&self) -> &Arc<Pond> {
        self.levels.pond()
    }

    pub(super) fn scope(&self, tenant: &str, cache: &str) -> Result<Arc<Scope>, Status> {
        self.pond()
            .scope_named(tenant, cache)
            .map_err(status::scope)
    }

    fn hello(&self) -> v1::HelloReply {
        v1::HelloReply {
            revision: REVISION,
            features: Vec::new(),
            boot: self.pond().boot().to_bits(),
            limits: Some(limits::announced()),
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CacheService for Cache {
    async fn hello(&self, _: Request<v1::HelloRequest>) -> Reply<v1::HelloReply> {
        let reply = async { Ok(Response::new(Cache::hello(self))) };
        self.calls.count(Method::Hello, reply).await
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Reply<v1::GetReply> {
        self.calls.count(Method::Get, get::get(self, request)).await
    }

    async fn get_many(&self, request: Request<v1::GetManyRequest>) -> Reply<v1::GetManyReply> {
        self.calls
            .count(Method::GetMany, get_many::get_many(self, request))
            .await
    }

    async fn fill(&self, request: Request<v1::FillRequest>) -> Reply<v1::FillReply> {
        self.calls
            .count(Method::Fill, fill::fill(self, request.into_inner()))
            .await
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Reply<v1::RenewReply> {
        let renew = async { fill::renew(self, &request.into_inner()) };
        self.calls.count(Method::Renew, renew).await
    }

    async fn set(&self, request: Request<v1::SetRequest>) -> Reply<v1::SetReply> {
        self.calls
            .count(Method::Set, write::set(self, request.into_inner()))
            .await
    }

    async fn invalidate(
        &self,
        request: Request<v1::InvalidateRequest>,
    ) -> Reply<v1::InvalidateReply> {
        self.calls
            .count(
                Method::Invalidate,
                write::invalidate(self, request.into_inner()),
            )
            .await
    }
}
