//! Writing and invalidating through one tenant's cache.

use bytes::Bytes;
use millpond_core::cache::check_key;

use super::TenantCache;
use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target, check_settle};
use crate::loaded::Item;
use crate::value::Version;

impl TenantCache {
    /// Writes a value. After a write to a database prefer
    /// [`invalidate`](Self::invalidate): two writers that race may set in the wrong
    /// order.
    ///
    /// # Errors
    /// [`Error::BadField`] for the key, the tags or the etag; [`Error::Rejected`]
    /// when the value is larger than the cache keeps (1 MiB by default), and what
    /// was held is then gone.
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        item: impl Into<Item>,
    ) -> Result<Version, Error> {
        let written = self.write(key.as_ref(), item.into(), None).await?;
        written.ok_or_else(|| Error::Rejected {
            message: "the value was not stored".to_owned(),
        })
    }

    /// Writes a value if the one held has this version; `None` when it has not,
    /// and nothing was written.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_over(
        &self,
        held: Version,
        key: impl AsRef<[u8]>,
        item: impl Into<Item>,
    ) -> Result<Option<Version>, Error> {
        self.write(key.as_ref(), item.into(), Some(held)).await
    }

    async fn write(
        &self,
        key: &[u8],
        item: Item<Bytes>,
        if_version: Option<Version>,
    ) -> Result<Option<Version>, Error> {
        check_key(key)?;
        item.check()?;
        self.place.set(key, item, if_version, &self.options).await
    }

    /// Invalidates one key. Once it has returned, no read answers what was held or
    /// being loaded before.
    ///
    /// # Errors
    /// [`Error::BadField`] for the key, or what the sidecar says.
    pub async fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<Invalidated, Error> {
        self.invalidate_keys([key]).await
    }

    /// Invalidates keys, however many. To a sidecar they go in lots of 512.
    ///
    /// # Errors
    /// [`Error::BadField`] for a key or when there are none, or what the sidecar
    /// says; then some lots may be invalidated and others not.
    pub async fn invalidate_keys<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Invalidated, Error> {
        self.invalidate_with(Target::keys(keys), Invalidation::default())
            .await
    }

    /// Invalidates whatever carries one of these tags, at the same cost whatever
    /// that is.
    ///
    /// # Errors
    /// [`Error::BadField`] for a tag or when there are none, or what the sidecar
    /// says.
    pub async fn invalidate_tags<T: Into<String>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<Invalidated, Error> {
        self.invalidate_with(Target::tags(tags), Invalidation::default())
            .await
    }

    /// Invalidates all that the tenant has in this cache.
    ///
    /// # Errors
    /// What the sidecar says.
    pub async fn invalidate_all(&self) -> Result<Invalidated, Error> {
        self.invalidate_with(Target::All, Invalidation::default())
            .await
    }

    /// Invalidates with a choice of how: `soft` makes stale instead of removing;
    /// `settle` is how long the source may still answer the old value (the lag of a
    /// replica, at most an hour), and what begins to load within it expires at its
    /// end.
    ///
    /// # Errors
    /// [`Error::BadField`] for the target, or what the sidecar says.
    pub async fn invalidate_with(
        &self,
        target: Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error> {
        target.check()?;
        check_settle(how)?;
        self.place.invalidate(&target, how, &self.options).await
    }
}
