//! One tenant's cache of typed values.

use std::fmt;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Codec, LoadJson};
use crate::bulk::Keys;
use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target};
use crate::loaded::{Item, Loaded, LoadedMany};
use crate::tenant::TenantCache;
use crate::value::{Held, Value, Version};

/// One tenant's cache whose values are `T`, as JSON. Cheap to clone. It reads as the
/// cache did that it was made from.
pub struct JsonTenantCache<T> {
    cache: TenantCache,
    codec: Codec<T>,
    strict: bool,
}

impl<T> JsonTenantCache<T> {
    pub(super) fn new(cache: TenantCache, codec: Codec<T>, strict: bool) -> Self {
        Self {
            cache,
            codec,
            strict,
        }
    }

    /// The cache below, whose values are bytes.
    #[must_use]
    pub fn bytes(&self) -> &TenantCache {
        &self.cache
    }

    /// See [`TenantCache::invalidate`].
    ///
    /// # Errors
    /// As there.
    pub async fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<Invalidated, Error> {
        self.cache.invalidate(key).await
    }

    /// See [`TenantCache::invalidate_keys`].
    ///
    /// # Errors
    /// As there.
    pub async fn invalidate_keys<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate_keys(keys).await
    }

    /// See [`TenantCache::invalidate_tags`].
    ///
    /// # Errors
    /// As there.
    pub async fn invalidate_tags<N: Into<String>>(
        &self,
        tags: impl IntoIterator<Item = N>,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate_tags(tags).await
    }

    /// See [`TenantCache::invalidate_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn invalidate_all(&self) -> Result<Invalidated, Error> {
        self.cache.invalidate_all().await
    }

    /// See [`TenantCache::invalidate_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn invalidate_with(
        &self,
        target: Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error> {
        self.cache.invalidate_with(target, how).await
    }
}

impl<T> JsonTenantCache<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    /// See [`TenantCache::get`].
    ///
    /// # Errors
    /// As there, and [`Error::Json`].
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Held<T>, Error> {
        self.decode(self.cache.get(key).await?)
    }

    /// See [`TenantCache::get_many`].
    ///
    /// # Errors
    /// For each key as there, and [`Error::Json`].
    pub async fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Result<Held<T>, Error>> {
        let found = self.cache.get_many(keys).await;
        let decode = |one: Result<Held, Error>| self.decode(one?);
        found.into_iter().map(decode).collect()
    }

    fn decode(&self, held: Held) -> Result<Held<T>, Error> {
        Ok(match held {
            Held::Value(value) => Held::Value(self.codec.decode(value)?),
            Held::Absent => Held::Absent,
            Held::Nothing => Held::Nothing,
        })
    }

    /// See [`TenantCache::get_or_load`]. What is held and does not decode is loaded
    /// anew, once, unless the cache is [`strict`](super::JsonCache::strict).
    ///
    /// # Errors
    /// As there, and [`Error::Json`].
    pub async fn get_or_load<F, Fut, L, E>(
        &self,
        key: impl AsRef<[u8]>,
        loader: F,
    ) -> Result<Option<Value<T>>, Error<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<T>>,
        E: Display + Send + 'static,
    {
        let key = key.as_ref();
        // Before anything is made ready for a load.
        match self.cache.hit(key) {
            Some(None) => return Ok(None),
            Some(Some(value)) => match self.codec.decode(value) {
                Ok(value) => return Ok(Some(value)),
                Err(error) if self.strict => return Err(error.into()),
                Err(_) => {}
            },
            None => {}
        }
        let codec = self.codec.clone();
        let encoded = move || {
            let loading = loader();
            async move {
                let loaded = loading.await.map_err(LoadJson::Load)?;
                codec.encode_loaded(loaded.into()).map_err(LoadJson::Encode)
            }
        };
        let taken = if self.strict {
            // Taken as it is; decoded below.
            let found = self.cache.taking(key, encoded, Ok).await;
            found.and_then(|value| Ok(value.map(|value| self.codec.decode(value)).transpose()?))
        } else {
            let take = |value| Ok(self.codec.decode(value)?);
            self.cache.taking(key, encoded, take).await
        };
        taken.map_err(|error| error.try_map(LoadJson::out))
    }

    /// See [`TenantCache::get_many_or_load`]. What is held and does not decode is
    /// loaded anew, once, unless the cache is [`strict`](super::JsonCache::strict).
    ///
    /// # Errors
    /// For each key as there, and [`Error::Json`].
    pub async fn get_many_or_load<K, F, Fut, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<Result<Option<Value<T>>, Error<E>>>
    where
        K: AsRef<[u8]>,
        F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<LoadedMany<E, T>, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let keys = Keys::new(keys);
        let codec = self.codec.clone();
        let encoded = Arc::new(move |keys| {
            let (codec, loading) = (codec.clone(), loader(keys));
            async move {
                let loaded = loading.await.map_err(LoadJson::Load)?;
                Ok::<LoadedMany<_>, _>(loaded.map(|one| {
                    let loaded = one.map_err(LoadJson::Load)?;
                    codec.encode_loaded(loaded).map_err(LoadJson::Encode)
                }))
            }
        });
        let found = self.cache.load_many(&keys.keys, &encoded).await;
        let repeat = keys.repeat();
        let mut read = Decoded {
            codec: &self.codec,
            raw: repeat.then(Vec::new),
            useless: Vec::new(),
        };
        let mut decoded: Vec<_> = found
            .into_iter()
            .enumerate()
            .map(|(at, one)| read.one(at, one))
            .collect();
        let useless = std::mem::take(&mut read.useless);
        if !useless.is_empty() && !self.strict {
            let again: Vec<Bytes> = useless.iter().map(|at| keys.keys[*at].clone()).collect();
            // An invalidation that fails leaves them as they are, and their errors.
            if self.cache.invalidate_keys(&again).await.is_ok() {
                let found = self.cache.load_many(&again, &encoded).await;
                for (at, one) in useless.into_iter().zip(found) {
                    decoded[at] = read.one(at, one);
                }
            }
        }
        // Keys that are alike are decoded anew: a `T` need not be `Clone`.
        keys.spread(decoded, |at, _| read.again(at))
    }

    /// See [`TenantCache::set`].
    ///
    /// # Errors
    /// As there, and [`Error::Json`].
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        item: impl Into<Item<T>>,
    ) -> Result<Version, Error> {
        let item = self.codec.encode(item.into())?;
        self.cache.set(key, item).await
    }

    /// See [`TenantCache::set_over`].
    ///
    /// # Errors
    /// As there, and [`Error::Json`].
    pub async fn set_over(
        &self,
        held: Version,
        key: impl AsRef<[u8]>,
        item: impl Into<Item<T>>,
    ) -> Result<Option<Version>, Error> {
        let item = self.codec.encode(item.into())?;
        self.cache.set_over(held, key, item).await
    }
}

/// What a bulk read brought, on its way to being `T`.
struct Decoded<'a, T> {
    codec: &'a Codec<T>,
    /// By key, when some are asked for more than once.
    raw: Option<Vec<Option<Value>>>,
    /// Which do not decode.
    useless: Vec<usize>,
}

impl<T: DeserializeOwned> Decoded<'_, T> {
    fn one<E>(
        &mut self,
        at: usize,
        one: Result<Option<Value>, Error<LoadJson<E>>>,
    ) -> Result<Option<Value<T>>, Error<E>> {
        let found = one.map_err(|error| error.try_map(LoadJson::out))?;
        if let Some(raw) = &mut self.raw {
            raw.resize(raw.len().max(at + 1), None);
            raw[at].clone_from(&found);
        }
        let Some(value) = found else {
            return Ok(None);
        };
        self.codec.decode(value).map(Some).map_err(|error| {
            self.useless.push(at);
            error.into()
        })
    }

    fn again<E>(&self, at: usize) -> Result<Option<Value<T>>, Error<E>> {
        let raw = self.raw.as_ref().and_then(|raw| raw.get(at)?.clone());
        Ok(raw.map(|value| self.codec.decode(value)).transpose()?)
    }
}

impl<T> Clone for JsonTenantCache<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            codec: self.codec.clone(),
            strict: self.strict,
        }
    }
}

impl<T> fmt::Debug for JsonTenantCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonTenantCache").field(&self.cache).finish()
    }
}
