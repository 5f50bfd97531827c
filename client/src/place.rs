//! Where one tenant's cache is: here, in the sidecar, or, while that is away,
//! nowhere. All answer alike, and nothing above this file asks which it is.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::LoadBy;

use crate::direct::Direct;
use crate::embedded::Local;
use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target};
use crate::loaded::Item;
use crate::options::Options;
use crate::remote::Distant;
use crate::reply::Reply;
use crate::value::{Value, Version};

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Embedded(Local),
    Remote(Distant),
    /// Stands in for a sidecar that is away.
    Direct(Direct),
}

impl Place {
    #[inline]
    pub(crate) fn with<R>(&self, key: &[u8], read: impl FnOnce(&Bytes) -> R) -> Option<R> {
        match self {
            Self::Embedded(local) => local.with(key, read),
            Self::Remote(_) | Self::Direct(_) => None,
        }
    }

    #[inline]
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Value> {
        match self {
            Self::Embedded(local) => local.peek(key).flatten(),
            Self::Remote(_) | Self::Direct(_) => None,
        }
    }

    /// What a read would answer at once, if that is known here; the inner `None`
    /// is absence.
    #[inline]
    pub(crate) fn hit(&self, key: &[u8]) -> Option<Option<Value>> {
        match self {
            Self::Embedded(local) => local.hit(key),
            Self::Remote(_) | Self::Direct(_) => None,
        }
    }

    /// What loads while this cannot be reached, if the caller chose so.
    pub(crate) fn stand_in(&self, options: &Options) -> Option<Self> {
        match self {
            Self::Remote(distant) => distant.stand_in(options).map(Self::Direct),
            Self::Embedded(_) | Self::Direct(_) => None,
        }
    }

    /// Reads a checked key.
    pub(crate) async fn read(
        &self,
        key: &[u8],
        options: &Options,
        load: LoadBy,
    ) -> Result<Reply, Error> {
        if options.bypass {
            return Ok(Reply::Nothing);
        }
        match self {
            Self::Embedded(local) => local.read(key, options, load).await,
            Self::Remote(distant) => distant.read(key, options, load).await,
            Self::Direct(direct) => Ok(direct.read(key, options, load).await),
        }
    }

    /// The most keys that [`Self::read_many`] takes.
    pub(crate) fn most_keys(&self) -> usize {
        /// As a sidecar has it, so that loaders see as much everywhere.
        const HERE: usize = 512;
        match self {
            Self::Embedded(_) | Self::Direct(_) => HERE,
            Self::Remote(distant) => distant.most_keys(),
        }
    }

    /// Reads checked keys, no two alike; one reply for each. When it brings a turn
    /// it has waited for nobody.
    pub(crate) async fn read_many(
        &self,
        keys: &[Bytes],
        options: &Options,
        load: LoadBy,
        wait: Duration,
    ) -> Result<Vec<Reply>, Error> {
        if options.bypass {
            return Ok(keys.iter().map(|_| Reply::Nothing).collect());
        }
        match self {
            Self::Embedded(local) => local.read_many(keys, options, load, wait).await,
            Self::Remote(distant) => distant.read_many(keys, options, load, wait).await,
            Self::Direct(direct) => Ok(direct.read_many(keys, options, load, wait).await),
        }
    }

    /// Writes a checked item; `None` when another version than `if_version` is
    /// held.
    pub(crate) async fn set(
        &self,
        key: &[u8],
        item: Item,
        if_version: Option<Version>,
        options: &Options,
    ) -> Result<Option<Version>, Error> {
        match self {
            Self::Embedded(local) => Ok(local.set(key, item, if_version).await?),
            Self::Remote(distant) => distant.set(key, item, if_version, options).await,
            Self::Direct(_) => Err(nowhere()),
        }
    }

    /// Invalidates a checked target.
    pub(crate) async fn invalidate(
        &self,
        target: &Target,
        how: Invalidation,
        options: &Options,
    ) -> Result<Invalidated, Error> {
        match self {
            Self::Embedded(local) => Ok(local.invalidate(target, how).await),
            Self::Remote(distant) => distant.invalidate(target, how, options).await,
            Self::Direct(_) => Err(nowhere()),
        }
    }
}

/// A write that reaches nobody must not look as if it had.
fn nowhere() -> Error {
    Error::Unavailable {
        message: "the sidecar is away".to_owned(),
    }
}
