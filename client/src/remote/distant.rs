//! One tenant's cache in the sidecar.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{CacheName, LoadBy, TenantId};
use millpond_proto::v1;

use super::unheard::Unheard;
use super::{Remote, Turn, wire};
use crate::direct::{Direct, OnUnavailable};
use crate::error::Error;
use crate::invalidation::{Durability, Invalidated, Invalidation, Target};
use crate::loaded::Item;
use crate::options::Options;
use crate::reply::{self, Reply};
use crate::value::Version;

/// What stands beside a value in a message: names, key, times, lengths.
const BESIDE_VALUE: usize = 8 << 10;

/// One tenant's cache in the sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Distant {
    pub(super) remote: Arc<Remote>,
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

    pub(super) fn tenant(&self) -> String {
        self.tenant.as_str().to_owned()
    }

    pub(super) fn cache(&self) -> String {
        self.cache.as_str().to_owned()
    }

    /// What loads in the sidecar's stead, if the caller chose so.
    pub(crate) fn stand_in(&self, options: &Options) -> Option<Direct> {
        let chosen = options.away.unwrap_or(self.remote.away);
        (chosen == OnUnavailable::LoadDirectly)
            .then(|| Direct::new(self.remote.direct(), &self.tenant, &self.cache))
    }

    /// What a call may take that waits for nobody's load.
    pub(super) fn time(&self, options: &Options) -> Duration {
        options.within.unwrap_or(self.remote.timeout)
    }

    /// What a read may take: its patience, and the timeout beyond it.
    pub(super) fn reading_time(&self, options: &Options, wait: Duration) -> Duration {
        let both = || wait.saturating_add(self.remote.timeout);
        options.within.unwrap_or_else(both)
    }

    pub(crate) async fn read(
        &self,
        key: &[u8],
        options: &Options,
        load: LoadBy,
    ) -> Result<Reply, Error> {
        let (load, wait) = wire::load(load, options.patience());
        let (place, options) = (self.clone(), *options);
        let key = Bytes::copy_from_slice(key);
        let answer = async move {
            let time = place.reading_time(&options, wait);
            let message = || v1::GetRequest {
                tenant: place.tenant(),
                cache: place.cache(),
                key: key.clone(),
                load: load.into(),
                wait_ms: Some(wire::millis(wait)),
                min_version: wire::min_version(&options),
                fresh_only: options.fresh_only,
                lease_ms: options.lease.map(wire::millis),
            };
            let (reply, live) = place.remote.ask(time, message).await?;
            match place.reply(key.clone(), &options, reply) {
                // What was waited for cannot be handed in any more.
                Reply::Refused(Error::WaitExpired) if live.has_ended() => Err(left()),
                reply => Ok(reply),
            }
        };
        if load == v1::Load::Never {
            return answer.await; // grants nothing that could be lost
        }
        Unheard::new(answer, &self.remote.runtime).await
    }

    /// Takes hold of a lease before anything else can go wrong.
    pub(super) fn reply(&self, key: Bytes, options: &Options, mut reply: v1::GetReply) -> Reply {
        let turn = reply
            .lease
            .take()
            .map(|lease| Turn::new(self.clone(), key, lease, reply.etag.clone(), options))
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
        options: &Options,
    ) -> Result<Option<Version>, Error> {
        let limit = self.remote.pool.takes().message_bytes;
        if item.value.len() + BESIDE_VALUE > limit {
            // The sidecar would refuse it unread, and keep what is no longer right.
            self.invalidate(&Target::keys([key]), Invalidation::default(), options)
                .await?;
            let size = item.value.len();
            return Err(Error::Rejected {
                message: format!("value: {size} bytes, limit of a message {limit}"),
            });
        }
        let message = || v1::SetRequest {
            tenant: self.tenant(),
            cache: self.cache(),
            key: Bytes::copy_from_slice(key),
            value: item.value.clone(),
            times: Some(wire::times(item.times)),
            tags: wire::tags(&item.tags),
            etag: item.etag.clone(),
            if_version: if_version.map(|version| Bytes::copy_from_slice(version.as_bytes())),
        };
        let reply = self.remote.call(self.time(options), message).await?;
        if reply.stored {
            wire::version(&reply.version).map(Some)
        } else {
            Ok(None)
        }
    }

    /// As many calls as there are lots of keys; returns the last one's version,
    /// which covers them all.
    pub(crate) async fn invalidate(
        &self,
        target: &Target,
        how: Invalidation,
        options: &Options,
    ) -> Result<Invalidated, Error> {
        let Target::Keys(keys) = target else {
            return self
                .invalidate_one(wire::target(target), how, options)
                .await;
        };
        let mut done: Option<Invalidated> = None;
        for lot in keys.chunks(self.remote.pool.takes().keys) {
            let lot = wire::keys(lot);
            let now = self.invalidate_one(lot, how, options).await?;
            let durability = match done.map(|before| before.durability) {
                Some(Durability::Local) => Durability::Local,
                Some(Durability::Stored) | None => now.durability,
            };
            done = Some(Invalidated { durability, ..now });
        }
        done.ok_or(Error::BadField(millpond_core::cache::BadField::Empty {
            field: "keys",
        }))
    }

    async fn invalidate_one(
        &self,
        target: v1::invalidate_request::Target,
        how: Invalidation,
        options: &Options,
    ) -> Result<Invalidated, Error> {
        let message = || v1::InvalidateRequest {
            tenant: self.tenant(),
            cache: self.cache(),
            target: Some(target.clone()),
            settle_ms: (!how.settle.is_zero()).then(|| wire::millis(how.settle)),
            soft: how.soft,
        };
        let reply = self.remote.call(self.time(options), message).await?;
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

/// The sidecar takes no more calls: it drains, and who follows a load there follows
/// it in vain.
pub(super) fn left() -> Error {
    Error::Unavailable {
        message: "the sidecar left while another's load was waited for".to_owned(),
    }
}
