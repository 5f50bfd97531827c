//! One cache, for callers that name the tenant with each call.
//!
//! Every method looks the tenant's cache up and does what [`TenantCache`] does.
//! In process that is a probe of the table of tenants; hold a [`TenantCache`] where
//! it counts.

use std::fmt::Display;
use std::future::Future;

use bytes::Bytes;
use millpond_core::cache::{CacheName, TenantId};

use crate::embedded::Local;
use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target};
use crate::loaded::{Context, Item, Loaded, LoadedMany, Revalidated};
use crate::millpond::Backend;
use crate::options::{Options, reading};
use crate::place::Place;
use crate::remote::Distant;
use crate::tenant::TenantCache;
use crate::value::{Held, Value, Version};

/// One cache, of every tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    backend: Backend,
    name: CacheName,
    options: Options,
}

impl Cache {
    pub(crate) fn new(backend: Backend, name: CacheName, options: Options) -> Self {
        Self {
            backend,
            name,
            options,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    reading!();

    /// One tenant's cache. The name is `[A-Za-z0-9._-]{1,128}`.
    ///
    /// # Errors
    /// [`Error::BadField`] for the name; [`Error::Shed`] when too many caches
    /// are in use in this process.
    pub fn tenant(&self, tenant: &str) -> Result<TenantCache, Error> {
        let place = match &self.backend {
            Backend::Embedded(home) => {
                Place::Embedded(Local::new(home, tenant, self.name.as_str())?)
            }
            Backend::Remote(remote) => {
                let tenant = TenantId::parse(tenant)?;
                Place::Remote(Distant::new(remote, tenant, self.name.clone()))
            }
        };
        Ok(TenantCache::new(place, self.options))
    }

    /// See [`TenantCache::get`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn get(&self, tenant: &str, key: impl AsRef<[u8]>) -> Result<Held, Error> {
        self.tenant(tenant)?.get(key).await
    }

    /// See [`TenantCache::get_many`].
    ///
    /// # Errors
    /// For each key as there, and as [`tenant`](Self::tenant).
    pub async fn get_many<K: AsRef<[u8]>>(
        &self,
        tenant: &str,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Result<Held, Error>> {
        match self.tenant(tenant) {
            Ok(tenant) => tenant.get_many(keys).await,
            Err(error) => each(keys, &error),
        }
    }

    /// See [`TenantCache::get_or_load`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn get_or_load<F, Fut, L, E>(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
        loader: F,
    ) -> Result<Option<Value>, Error<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded>,
        E: Display + Send + 'static,
    {
        let tenant = self.tenant(tenant).map_err(Error::widen)?;
        tenant.get_or_load(key, loader).await
    }

    /// See [`TenantCache::get_or_revalidate`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn get_or_revalidate<F, Fut, E>(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
        loader: F,
    ) -> Result<Option<Value>, Error<E>>
    where
        F: FnMut(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Revalidated, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let tenant = self.tenant(tenant).map_err(Error::widen)?;
        tenant.get_or_revalidate(key, loader).await
    }

    /// See [`TenantCache::get_many_or_load`].
    ///
    /// # Errors
    /// For each key as there, and as [`tenant`](Self::tenant).
    pub async fn get_many_or_load<K, F, Fut, E>(
        &self,
        tenant: &str,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<Result<Option<Value>, Error<E>>>
    where
        K: AsRef<[u8]>,
        F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<LoadedMany<E>, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        match self.tenant(tenant) {
            Ok(tenant) => tenant.get_many_or_load(keys, loader).await,
            Err(error) => each(keys, &error),
        }
    }

    /// See [`TenantCache::set`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn set(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
        item: impl Into<Item>,
    ) -> Result<Version, Error> {
        self.tenant(tenant)?.set(key, item).await
    }

    /// See [`TenantCache::set_over`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn set_over(
        &self,
        tenant: &str,
        held: Version,
        key: impl AsRef<[u8]>,
        item: impl Into<Item>,
    ) -> Result<Option<Version>, Error> {
        self.tenant(tenant)?.set_over(held, key, item).await
    }

    /// See [`TenantCache::invalidate`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate(
        &self,
        tenant: &str,
        key: impl AsRef<[u8]>,
    ) -> Result<Invalidated, Error> {
        self.tenant(tenant)?.invalidate(key).await
    }

    /// See [`TenantCache::invalidate_keys`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_keys<K: AsRef<[u8]>>(
        &self,
        tenant: &str,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Invalidated, Error> {
        self.tenant(tenant)?.invalidate_keys(keys).await
    }

    /// See [`TenantCache::invalidate_tags`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_tags<T: Into<String>>(
        &self,
        tenant: &str,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<Invalidated, Error> {
        self.tenant(tenant)?.invalidate_tags(tags).await
    }

    /// See [`TenantCache::invalidate_all`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_all(&self, tenant: &str) -> Result<Invalidated, Error> {
        self.tenant(tenant)?.invalidate_all().await
    }

    /// See [`TenantCache::invalidate_with`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn invalidate_with(
        &self,
        tenant: &str,
        target: Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error> {
        self.tenant(tenant)?.invalidate_with(target, how).await
    }
}

/// The same error for each of the keys.
pub(crate) fn each<K, T, E>(
    keys: impl IntoIterator<Item = K>,
    error: &Error,
) -> Vec<Result<T, Error<E>>> {
    keys.into_iter().map(|_| Err(error.echo())).collect()
}
