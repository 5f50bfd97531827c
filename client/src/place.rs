//! Where one tenant's cache is: here, or in the sidecar. Both answer alike, and
//! nothing above this file asks which it is.

use bytes::Bytes;
use millpond_core::cache::LoadBy;

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
}

impl Place {
    #[inline]
    pub(crate) fn with<R>(&self, key: &[u8], read: impl FnOnce(&Bytes) -> R) -> Option<R> {
        match self {
            Self::Embedded(local) => local.with(key, read),
            Self::Remote(_) => None,
        }
    }

    #[inline]
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Value> {
        match self {
            Self::Embedded(local) => local.peek(key).flatten(),
            Self::Remote(_) => None,
        }
    }

    /// What a read would answer at once, if that is known here; the inner `None`
    /// is absence.
    #[inline]
    pub(crate) fn hit(&self, key: &[u8]) -> Option<Option<Value>> {
        match self {
            Self::Embedded(local) => local.hit(key),
            Self::Remote(_) => None,
        }
    }

    /// Reads a checked key.
    pub(crate) async fn read(
        &self,
        key: &[u8],
        options: &Options,
        load: LoadBy,
    ) -> Result<Reply, Error> {
        match self {
            Self::Embedded(local) => Ok(local.read(key, options, load).await),
            Self::Remote(distant) => distant.read(key, options, load).await,
        }
    }

    /// Writes a checked item; `None` when another version than `if_version` is
    /// held.
    pub(crate) async fn set(
        &self,
        key: &[u8],
        item: Item,
        if_version: Option<Version>,
    ) -> Result<Option<Version>, Error> {
        match self {
            Self::Embedded(local) => Ok(local.set(key, item, if_version).await?),
            Self::Remote(distant) => distant.set(key, item, if_version).await,
        }
    }

    /// Invalidates a checked target.
    pub(crate) async fn invalidate(
        &self,
        target: &Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error> {
        match self {
            Self::Embedded(local) => Ok(local.invalidate(target, how).await),
            Self::Remote(distant) => distant.invalidate(target, how).await,
        }
    }
}
