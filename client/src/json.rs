//! Typed handles: values as JSON.
//!
//! A value is decoded on every read, from the bytes that everybody else reads, so
//! what a caller gets does not depend on who loaded it. A value that does not
//! decode is an error and not a miss: another version of the program may have
//! written it, and loading would have the two write over each other for ever.

use std::fmt;
use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::error::Error;
use crate::loaded::{Body, Item, Loaded};
use crate::tenant::TenantCache;
use crate::value::{Held, Value, Version};

/// A value and its type do not fit. Never tells the value's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The cache.
    pub cache: String,
    /// The type.
    pub type_name: &'static str,
    /// Which way it went.
    pub direction: JsonDirection,
    /// What kind of mistake it is, in a word.
    pub what: &'static str,
    /// Where it was noticed: line and column from 1, or zeros.
    pub at: (usize, usize),
}

/// See [`JsonError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonDirection {
    /// From a cached value.
    Decode,
    /// To a cached value.
    Encode,
}

impl Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.at;
        match self.direction {
            JsonDirection::Decode => write!(
                f,
                "cache {}: a value does not decode as {}: {} error at line {line} column {column}",
                self.cache, self.type_name, self.what
            ),
            JsonDirection::Encode => write!(
                f,
                "cache {}: a {} does not encode: {} error",
                self.cache, self.type_name, self.what
            ),
        }
    }
}

impl std::error::Error for JsonError {}

/// A loader's error, or its value's.
enum LoadJson<E> {
    Load(E),
    Encode(JsonError),
}

impl<E: Display> Display for LoadJson<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

/// Turns values of one type into bytes and back, in the name of one cache.
struct Codec<T> {
    cache: std::sync::Arc<str>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            of: PhantomData,
        }
    }
}

impl<T> Codec<T> {
    fn error(&self, direction: JsonDirection, error: &serde_json::Error) -> JsonError {
        use serde_json::error::Category;
        JsonError {
            cache: self.cache.to_string(),
            type_name: std::any::type_name::<T>(),
            direction,
            // Not the error's own words: they quote the value.
            what: match error.classify() {
                Category::Io => "input/output",
                Category::Syntax => "syntax",
                Category::Data => "type",
                Category::Eof => "end of input",
            },
            at: (error.line(), error.column()),
        }
    }

    fn decode(&self, value: Value) -> Result<Value<T>, JsonError>
    where
        T: DeserializeOwned,
    {
        value.try_map(|bytes| {
            serde_json::from_slice(&bytes)
                .map_err(|error| self.error(JsonDirection::Decode, &error))
        })
    }

    fn encode(&self, item: Item<T>) -> Result<Item<Bytes>, JsonError>
    where
        T: Serialize,
    {
        item.try_map(|value| {
            serde_json::to_vec(&value)
                .map(Bytes::from)
                .map_err(|error| self.error(JsonDirection::Encode, &error))
        })
    }

    fn encode_loaded(&self, loaded: Loaded<T>) -> Result<Loaded, JsonError>
    where
        T: Serialize,
    {
        Ok(match loaded.0 {
            Body::Item(item) => self.encode(item)?.into(),
            Body::Absent { fresh } => Loaded(Body::Absent { fresh }),
        })
    }
}

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
/// let ada = users.tenant("acme")?.get_or_load("42", load).await?;
/// assert_eq!(ada.map(|user| user.into_inner().name), Some("Ada".into()));
/// # Ok(())
/// # }
/// ```
pub struct JsonCache<T> {
    cache: Cache,
    codec: Codec<T>,
}

/// One tenant's cache whose values are `T`, as JSON. Cheap to clone. For
/// invalidation see [`bytes`](Self::bytes).
pub struct JsonTenantCache<T> {
    cache: TenantCache,
    codec: Codec<T>,
}

impl Cache {
    /// The same cache with values of type `T`, as JSON.
    #[must_use]
    pub fn json<T>(&self) -> JsonCache<T> {
        JsonCache {
            codec: Codec {
                cache: self.name().into(),
                of: PhantomData,
            },
            cache: self.clone(),
        }
    }
}

impl<T> JsonCache<T> {
    /// One tenant's cache. See [`Cache::tenant`].
    ///
    /// # Errors
    /// As there.
    pub fn tenant(&self, tenant: &str) -> Result<JsonTenantCache<T>, Error> {
        Ok(JsonTenantCache {
            cache: self.cache.tenant(tenant)?,
            codec: self.codec.clone(),
        })
    }

    /// The cache below, whose values are bytes.
    #[must_use]
    pub fn bytes(&self) -> &Cache {
        &self.cache
    }
}

impl<T> JsonTenantCache<T> {
    /// The cache below, whose values are bytes, and which invalidates.
    #[must_use]
    pub fn bytes(&self) -> &TenantCache {
        &self.cache
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
        Ok(match self.cache.get(key).await? {
            Held::Value(value) => Held::Value(self.codec.decode(value)?),
            Held::Absent => Held::Absent,
            Held::Nothing => Held::Nothing,
        })
    }

    /// See [`TenantCache::get_or_load`].
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
        let codec = self.codec.clone();
        let encoded = move || {
            let loading = loader();
            async move {
                let loaded = loading.await.map_err(LoadJson::Load)?;
                codec.encode_loaded(loaded.into()).map_err(LoadJson::Encode)
            }
        };
        match self.cache.get_or_load(key, encoded).await {
            Ok(value) => Ok(value.map(|value| self.codec.decode(value)).transpose()?),
            Err(error) => Err(error.try_map(|load| match load {
                LoadJson::Load(error) => Ok(error),
                LoadJson::Encode(error) => Err(error.into()),
            })),
        }
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
}

impl<T> Clone for JsonCache<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            codec: self.codec.clone(),
        }
    }
}

impl<T> Clone for JsonTenantCache<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            codec: self.codec.clone(),
        }
    }
}

impl<T> fmt::Debug for JsonCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonCache").field(&self.cache).finish()
    }
}

impl<T> fmt::Debug for JsonTenantCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonTenantCache").field(&self.cache).finish()
    }
}
