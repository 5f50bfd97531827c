//! The cache of the sidecar beside this process, over gRPC.
//!
//! One call is one round trip with a deadline that the sidecar knows too. Nothing
//! is retried here: a broken connection fails the call that meets it, and the next
//! call connects again. Whether an unreachable sidecar should send callers to
//! their origin is decided above, from [`Error::Unavailable`].

mod address;
mod call;
mod channel;
mod config;
mod turn;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{CacheName, LoadBy, TenantId};
use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use tonic::transport::Channel;

use crate::error::Error;
use crate::invalidation::{Durability, Invalidated, Invalidation, Target};
use crate::loaded::Item;
use crate::options::Options;
use crate::reply::{self, Reply};
use crate::value::Version;

pub use config::RemoteConfig;
pub(crate) use turn::Turn;

/// The connections to one sidecar.
#[derive(Debug)]
pub(crate) struct Remote {
    clients: Box<[CacheServiceClient<Channel>]>,
    next: AtomicUsize,
    /// What a call may take beyond the time it was told to wait.
    timeout: Duration,
    /// Where the connections live, and where abandoned rights are given back.
    runtime: tokio::runtime::Handle,
}

/// Whoever says that it waits longer means for ever; the wire has no word for that.
const LONGEST_CALL: Duration = Duration::from_secs(3_600);

impl Remote {
    /// A connection, in turn.
    fn client(&self) -> CacheServiceClient<Channel> {
        // Relaxed: only spreads calls.
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.clients[turn % self.clients.len()].clone()
    }

    /// A request that the sidecar, too, gives up after `wait` and the timeout.
    fn request<T>(&self, message: T, wait: Duration) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout.saturating_add(wait).min(LONGEST_CALL));
        request
    }

    async fn hello(&self) -> Result<v1::HelloReply, Error> {
        let request = self.request(v1::HelloRequest {}, Duration::ZERO);
        let reply = self.client().hello(request).await;
        Ok(reply.map_err(wire::error)?.into_inner())
    }
}

/// One tenant's cache in the sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Distant {
    remote: Arc<Remote>,
    tenant: TenantId,
    cache: CacheName,
}

impl Distant {
    pub(crate) fn new(remote: &Arc<Remote>, tenant: TenantId, cache: CacheName) -> Self {
        Self {
            remote: Arc::clone(remote),
            tenant,
            cache,
        }
    }

    fn tenant(&self) -> String {
        self.tenant.as_str().to_owned()
    }

    fn cache(&self) -> String {
        self.cache.as_str().to_owned()
    }

    pub(crate) async fn read(
        &self,
        key: &[u8],
        options: &Options,
        load: LoadBy,
    ) -> Result<Reply, Error> {
        let key = Bytes::copy_from_slice(key);
        let (load, wait) = match load {
            LoadBy::Nobody => (v1::Load::Never, Duration::ZERO),
            LoadBy::Caller => (v1::Load::Caller, options.wait),
        };
        let message = v1::GetRequest {
            tenant: self.tenant(),
            cache: self.cache(),
            key: key.clone(),
            load: load.into(),
            wait_ms: Some(wire::millis(wait)),
            min_version: Bytes::new(),
            fresh_only: options.fresh_only,
            lease_ms: options.lease.map(wire::millis),
        };
        let request = self.remote.request(message, wait);
        let mut client = self.remote.client();
        let place = self.clone();
        let answer = async move {
            let reply = client.get(request).await.map_err(wire::error)?;
            Ok(place.reply(key, reply.into_inner()))
        };
        if load == v1::Load::Never {
            return answer.await; // grants nothing that could be lost
        }
        call::Call::new(answer, &self.remote.runtime).await
    }

    /// Takes hold of a lease before anything else can go wrong.
    fn reply(&self, key: Bytes, mut reply: v1::GetReply) -> Reply {
        let turn = reply
            .lease
            .take()
            .map(|lease| Turn::new(self.clone(), key, lease, reply.etag.clone()))
            .map(|turn| reply::Turn::Remote(Box::new(turn)));
        match (wire::found(&mut reply), turn) {
            (Some(found), turn) => Reply::Held(found, turn),
            (None, Some(turn)) => Reply::Turn(turn),
            (None, None) => wire::refusal(reply),
        }
    }

    pub(crate) async fn set(
        &self,
        key: &[u8],
        item: Item,
        if_version: Option<Version>,
    ) -> Result<Option<Version>, Error> {
        let message = v1::SetRequest {
            tenant: self.tenant(),
            cache: self.cache(),
            key: Bytes::copy_from_slice(key),
            value: item.value,
            times: Some(wire::times(item.times)),
            tags: wire::tags(&item.tags),
            etag: item.etag,
            if_version: if_version.map(|version| Bytes::copy_from_slice(version.as_bytes())),
        };
        let request = self.remote.request(message, Duration::ZERO);
        let reply = self.remote.client().set(request).await;
        let reply = reply.map_err(wire::error)?.into_inner();
        if reply.stored {
            wire::version(&reply.version).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) async fn invalidate(
        &self,
        target: &Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error> {
        let message = v1::InvalidateRequest {
            tenant: self.tenant(),
            cache: self.cache(),
            target: Some(wire::target(target)),
            settle_ms: (!how.settle.is_zero()).then(|| wire::millis(how.settle)),
            soft: how.soft,
        };
        let request = self.remote.request(message, Duration::ZERO);
        let reply = self.remote.client().invalidate(request).await;
        let reply = reply.map_err(wire::error)?.into_inner();
        let stored = reply.durability() == v1::Durability::Stored;
        Ok(Invalidated {
            version: wire::version(&reply.version)?,
            durability: if stored {
                Durability::Stored
            } else {
                Durability::Local
            },
        })
    }
}
