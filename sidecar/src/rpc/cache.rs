//! `millpond.v1.CacheService` on core's cache.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use millpond_core::cache::lookup::Levels;
use millpond_core::cache::{Lease, Pond, Scope};
use millpond_proto::v1;
use tonic::Status;

use super::call::{Asked, Desk, Making, Reply, Unary};
use super::tenants::Tenants;
use super::{fill, get, get_many, limits, oversized, status, write};
use crate::admin::hot::Sampler;
use crate::telemetry::calls::{Call, Method};
use crate::timer::Timer;

/// Revision of the contract that is served here.
const REVISION: u32 = 1;

/// The service as one worker serves it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(super) levels: Levels,
    pub(super) tenants: Tenants,
    pub(super) timer: Timer,
    pub(super) desk: Arc<Desk>,
    pub(super) sampler: Arc<Sampler>,
}

impl Cache {
    pub(crate) fn new(levels: Levels, tenants: Tenants, desk: Arc<Desk>, sampler: Sampler) -> Self {
        let timer = Timer::new(levels.pond().clock().clone());
        Self {
            levels,
            tenants,
            timer,
            desk,
            sampler: Arc::new(sampler),
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

    /// Waits as long as the sidecar serves, and the tenant may read. What is to be had
    /// at once is had whatever comes meanwhile.
    pub(super) async fn while_allowed<T>(
        &self,
        tenant: &str,
        answer: impl Future<Output = T>,
    ) -> Result<T, Status> {
        let mut answer = pin!(self.desk.while_serving(answer));
        // Most answers are: they need not watch anything.
        if let Some(answer) = answer.as_mut().now_or_never() {
            return answer;
        }
        tokio::select! {
            biased;
            refused = self.tenants.closed(tenant) => Err(refused),
            answer = answer => answer,
        }
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

impl Unary for Cache {
    const MAX_MESSAGE_BYTES: usize = limits::MAX_MESSAGE_BYTES;

    fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    async fn dispatch(
        &self,
        told: &Call<'_>,
        asked: Asked,
        making: Making<'_>,
    ) -> Result<(Bytes, Vec<Lease>), Status> {
        match told.method() {
            Method::Hello => {
                asked.decoded::<v1::HelloRequest>(told)?;
                making.made(Reply::read(self.hello(), Vec::new()))
            }
            Method::Get => making.made(get::get(self, told, asked.decoded(told)?).await?),
            Method::GetMany => {
                making.made(get_many::get_many(self, told, asked.decoded(told)?).await?)
            }
            Method::Fill => {
                let request = asked.decoded(told)?.into_inner();
                making.made(fill::fill(self, request).await?)
            }
            Method::Renew => {
                let request = asked.decoded(told)?.into_inner();
                making.made(fill::renew(self, &request)?)
            }
            Method::Set => {
                let request = asked.decoded(told)?.into_inner();
                making.made(write::set(self, request).await?)
            }
            Method::Invalidate => {
                let request = asked.decoded(told)?.into_inner();
                making.made(write::invalidate(self, request).await?)
            }
            _ => Err(status::no_such_method()),
        }
    }

    async fn too_large(&self, method: Method, size: usize, begins: &[u8]) -> Status {
        if method == Method::Set {
            oversized::set(self, begins).await;
        }
        oversized::refusal(size, Self::MAX_MESSAGE_BYTES)
    }
}
