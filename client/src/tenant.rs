//! One tenant's cache: the handle that does the work.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;

use bytes::Bytes;
use millpond_core::cache::{LoadBy, check_key};

use crate::error::Error;
use crate::invalidation::{Invalidated, Invalidation, Target};
use crate::loaded::{Context, Item, Loaded, Revalidated};
use crate::options::{Options, reading};
use crate::place::Place;
use crate::read;
use crate::reply::Reply;
use crate::value::{Held, Value, Version};

/// One tenant's cache. Cheap to clone; hold on to it to save the look-up of the
/// tenant. How it reads is part of the handle:
///
/// ```
/// # use millpond_client::{EmbeddedConfig, Millpond};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pond = Millpond::embedded(EmbeddedConfig::default());
/// let users = pond.cache("users")?.tenant("acme")?;
/// let patient = users.clone().wait(Duration::from_secs(30)).fresh_only();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TenantCache {
    place: Place,
    options: Options,
}

impl TenantCache {
    pub(crate) fn new(place: Place, options: Options) -> Self {
        Self { place, options }
    }

    reading!();

    /// Runs `read` on the fresh value under `key`, if this process holds one,
    /// without copying it and without waiting for anything. `read` must be short:
    /// memory is not reclaimed while it runs.
    ///
    /// A handle on a sidecar holds nothing in this process: always `None`.
    #[inline]
    pub fn with<R>(&self, key: impl AsRef<[u8]>, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.place.with(key.as_ref(), |value| read(value))
    }

    /// The fresh value under `key`, if this process holds one, without waiting.
    ///
    /// A handle on a sidecar holds nothing in this process: always `None`.
    #[inline]
    #[must_use]
    pub fn peek(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.place.peek(key.as_ref())
    }

    /// What is held under `key`. Loads nothing and waits for no load.
    ///
    /// # Errors
    /// [`Error::BadField`] for a key that is not 1 to 1 024 bytes, or what the
    /// sidecar says.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Held, Error> {
        let key = key.as_ref();
        if let Some(held) = self.place.hit(key) {
            return Ok(held.map_or(Held::Absent, Held::Value));
        }
        check_key(key)?;
        match self.place.read(key, &self.options, LoadBy::Nobody).await? {
            Reply::Held(Some(value), _) => Ok(Held::Value(value)),
            Reply::Held(None, _) => Ok(Held::Absent),
            Reply::Nothing | Reply::Turn(_) => Ok(Held::Nothing),
            Reply::Refused(error) => Err(error),
        }
    }

    /// The value under `key`, loaded by `loader` if it is this caller's turn;
    /// `None` when there is no such thing.
    ///
    /// - Fresh: answered at once; `loader` is dropped.
    /// - Stale: answered at once; one caller's `loader` runs in the background, in
    ///   a task of its own.
    /// - Nothing held: one caller runs `loader`, in its own task; the others wait
    ///   for it. When that caller's future is dropped or its loader panics, another
    ///   takes over at once; when the loader returns an error, all get it.
    /// - The cache is switched off: `loader` runs for this caller alone.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// ```
    /// # use millpond_client::{EmbeddedConfig, Item, Millpond};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pond = Millpond::embedded(EmbeddedConfig::default());
    /// let users = pond.cache("users")?.tenant("acme")?;
    /// let ada = users
    ///     .get_or_load("42", || async {
    ///         let row = Some("Ada"); // from the database
    ///         Ok::<_, std::io::Error>(row.map(|name| Item::new(name).tags(["team:7"])))
    ///     })
    ///     .await?;
    /// assert_eq!(ada.as_deref().map(|bytes| &bytes[..]), Some(&b"Ada"[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Load`] with this caller's own error, when nothing stale may be
    /// served in its place; [`Error::Failed`], [`Error::WaitExpired`] when the load
    /// waited for came to nothing; a refusal; [`Error::BadField`] for the key, or
    /// the tags or etag that `loader` returned.
    ///
    /// # Panics
    /// When `loader` does.
    pub async fn get_or_load<F, Fut, L, E>(
        &self,
        key: impl AsRef<[u8]>,
        loader: F,
    ) -> Result<Option<Value>, Error<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded>,
        E: Display + Send + 'static,
    {
        let key = key.as_ref();
        if let Some(held) = self.place.hit(key) {
            return Ok(held); // before anything is made ready for a load
        }
        check_key(key)?;
        let mut loader = Some(loader);
        let load = move |_: Context| {
            let loader = loader
                .take()
                .expect("only a loader that can say not modified is asked again");
            let loading = loader();
            async move { loading.await.map(Revalidated::loaded) }
        };
        read::get_or_load(&self.place, key, &self.options, load).await
    }

    /// As [`get_or_load`](Self::get_or_load), with a loader that may find what is
    /// held still right. It is told the validator of what is held, and is asked
    /// again without one when that is gone in the meantime.
    ///
    /// ```
    /// # use millpond_client::{EmbeddedConfig, Item, Millpond, Revalidated};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pond = Millpond::embedded(EmbeddedConfig::default());
    /// let pages = pond.cache("pages")?.tenant("acme")?;
    /// let page = pages
    ///     .get_or_revalidate("/", |context| async move {
    ///         let current = "v7"; // an HTTP request with If-None-Match
    ///         Ok::<_, std::io::Error>(match context.etag {
    ///             Some(etag) if etag == current => Revalidated::not_modified(),
    ///             _ => Revalidated::loaded(Item::new("<html>").etag(current)),
    ///         })
    ///     })
    ///     .await?;
    /// # assert!(page.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), and [`Error::Rejected`] when `loader`
    /// says "not modified" without having been given a validator.
    ///
    /// # Panics
    /// When `loader` does.
    pub async fn get_or_revalidate<F, Fut, E>(
        &self,
        key: impl AsRef<[u8]>,
        loader: F,
    ) -> Result<Option<Value>, Error<E>>
    where
        F: FnMut(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Revalidated, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let key = key.as_ref();
        if let Some(held) = self.place.hit(key) {
            return Ok(held);
        }
        check_key(key)?;
        read::get_or_load(&self.place, key, &self.options, loader).await
    }

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
        self.place.set(key, item, if_version).await
    }

    /// Invalidates one key. Once it has returned, no read answers what was held or
    /// being loaded before.
    ///
    /// # Errors
    /// [`Error::BadField`] for the key, or what the sidecar says.
    pub async fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<Invalidated, Error> {
        self.invalidate_keys([key]).await
    }

    /// Invalidates keys.
    ///
    /// # Errors
    /// [`Error::BadField`] for a key or when there are none, or what the sidecar
    /// says.
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
    /// replica), and what begins to load within it expires at its end.
    ///
    /// # Errors
    /// [`Error::BadField`] for the target, or what the sidecar says.
    pub async fn invalidate_with(
        &self,
        target: Target,
        how: Invalidation,
    ) -> Result<Invalidated, Error<Infallible>> {
        target.check()?;
        self.place.invalidate(&target, how).await
    }
}
