//! `millpond.v1.CacheService` on core's cache.

use std::sync::Arc;

use millpond_core::cache::lookup::Levels;
use millpond_core::cache::{Pond, Scope};
use millpond_proto::v1;
use tonic::Status;

use super::call::Desk;
use super::{limits, status};
use crate::admin::hot::Sampler;
use crate::timer::Timer;

/// Revision of the contract that is served here.
const REVISION: u32 = 1;

/// The service as one worker serves it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(super) levels: Levels,
    pub(super) timer: Timer,
    pub(super) desk: Arc<Desk>,
    pub(super) sampler: Arc<Sampler>,
}

impl Cache {
    pub(crate) fn new(levels: Levels, desk: Arc<Desk>, sampler: Sampler) -> Self {
        let timer = Timer::new(levels.pond().clock().clone());
        Self {
            levels,
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

    pub(super) fn hello(&self) -> v1::HelloReply {
        v1::HelloReply {
            revision: REVISION,
            features: Vec::new(),
            boot: self.pond().boot().to_bits(),
            limits: Some(limits::announced()),
        }
    }
}
