//! Typed handles: values as JSON.
//!
//! A value is decoded on every read, from the bytes that everybody else reads, so
//! what a caller gets does not depend on who loaded it.
//!
//! A value that does not decode was written by another version of the program, or by
//! another program. A read with a loader takes it for a miss: it is invalidated and
//! loaded anew, once a read. While two versions run side by side that costs loads
//! (each replaces what the other wrote, as often as they take turns on a key);
//! answering errors until the value expires would cost answers. Who would rather
//! have the errors says [`strict`](JsonCache::strict). Reads without a loader have
//! nothing to put in its place and always return the error.

mod codec;
mod tenant;

use std::fmt;
use std::fmt::Display;
use std::future::Future;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::{Cache, each};
use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target};
use crate::loaded::{Item, Loaded, LoadedMany};
use crate::value::{Held, Value, Version};

use codec::Codec;
pub use codec::{JsonDirection, JsonError};
pub use tenant::JsonTenantCache;

/// A cache whose values are `T`, as JSON. Cheap to clone. It reads as the cache
/// did that it was made from: set `wait` and the like before.
///
/// ```
/// # use millpond_client::{EmbeddedConfig, Millpond};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct User { name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pond = Millpond::embedded(EmbeddedConfig::default());
/// let users = pond.cache("users")?.json::<User>();
/// let load = || async { Ok::<_, std::io::Error>(User { name: "Ada".into() }) };
/// let ada = users.get_or_load("acme", "42", load).await?;
/// assert_eq!(ada.map(|user| user.into_inner().name), Some("Ada".into()));
/// users.invalidate("acme", "42").await?;
/// # Ok(())
/// # }
/// ```
pub struct JsonCache<T> {
    cache: Cache,
    codec: Codec<T>,
    strict: bool,
}

impl Cache {
    /// The same cache with values of type `T`, as JSON.
    #[must_use]
    pub fn json<T>(&self) -> JsonCache<T> {
        JsonCache {
            codec: Codec::new(self.name()),
            cache: self.clone(),
            strict: false,
        }
    }
}

impl<T> JsonCache<T> {
    /// What is held and does not decode is an error of every read, until it expires
    /// or is replaced, instead of being loaded anew.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// One tenant's cache. See [`Cache::tenant`].
    ///
    /// # Errors
    /// As there.
    pub fn tenant(&self, tenant: &str) -> Result<JsonTenantCache<T>, Error> {
        let cache = self.cache.tenant(tenant)?;
        Ok(JsonTenantCache::new(cache, self.codec.clone(), self.strict))
    }

    /// The cache below, whose values are bytes.
    #[must_use]
    pub fn bytes(&self) -> &Cache {
        &self.cache
    }

    /// See [`TenantCache::invalidate`](crate::TenantCache::invalidate).
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate(tenant, key).await
    }

    /// See [`TenantCache::invalidate_keys`](crate::TenantCache::invalidate_keys).
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_keys<K: AsRef<[u8]>>(
        &self,
        tenant: &str,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate_keys(tenant, keys).await
    }

    /// See [`TenantCache::invalidate_tags`](crate::TenantCache::invalidate_tags).
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_tags<N: Into<String>>(
        &self,
        tenant: &str,
        tags: impl IntoIterator<Item = N>,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate_tags(tenant, tags).await
    }

    /// See [`TenantCache::invalidate_all`](crate::TenantCache::invalidate_all).
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_all(&self, tenant: &str) -> Result<Invalidated, Error> {
        self.cache.invalidate_all(tenant).await
    }

    /// See [`TenantCache::invalidate_with`](crate::TenantCache::invalidate_with).
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_with(
        &self,
        tenant: &str,
        target: Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate_with(tenant, target, how).await
    }
}

impl<T> JsonCache<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    /// See [`JsonTenantCache::get`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn get(&self, tenant: &str, key: impl AsRef<[u8]>) -> Result<Held<T>, Error> {
        self.tenant(tenant)?.get(key).await
    }

    /// See [`JsonTenantCache::get_many`].
    ///
    /// # Errors
    /// For each key as there, and as [`tenant`](Self::tenant).
    pub async fn get_many<K: AsRef<[u8]>>(
        &self,
        tenant: &str,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Result<Held<T>, Error>> {
        match self.tenant(tenant) {
            Ok(tenant) => tenant.get_many(keys).await,
            Err(error) => each(keys, &error),
        }
    }

    /// See [`JsonTenantCache::get_or_load`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn get_or_load<F, Fut, L, E>(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
        loader: F,
    ) -> Result<Option<Value<T>>, Error<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<T>>,
        E: Display + Send + 'static,
    {
        let tenant = self.tenant(tenant).map_err(Error::widen)?;
        tenant.get_or_load(key, loader).await
    }

    /// See [`JsonTenantCache::get_many_or_load`].
    ///
    /// # Errors
    /// For each key as there, and as [`tenant`](Self::tenant).
    pub async fn get_many_or_load<K, F, Fut, E>(
        &self,
        tenant: &str,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<Result<Option<Value<T>>, Error<E>>>
    where
        K: AsRef<[u8]>,
        F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<LoadedMany<E, T>, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        match self.tenant(tenant) {
            Ok(tenant) => tenant.get_many_or_load(keys, loader).await,
            Err(error) => each(keys, &error),
        }
    }

    /// See [`JsonTenantCache::set`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn set(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
        item: impl Into<Item<T>>,
    ) -> Result<Version, Error> {
        self.tenant(tenant)?.set(key, item).await
    }
}

impl<T> Clone for JsonCache<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            codec: self.codec.clone(),
            strict: self.strict,
        }
    }
}

impl<T> fmt::Debug for JsonCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonCache").field(&self.cache).finish()
    }
}
