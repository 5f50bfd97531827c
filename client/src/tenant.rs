//! One tenant's cache: the handle that does the work. This file reads.

mod write;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{LoadBy, check_key};

use crate::bulk::{self, Keys};
use crate::error::Error;
use crate::loaded::{Context, Loaded, LoadedMany, Revalidated};
use crate::options::{Options, reading};
use crate::place::Place;
use crate::read;
use crate::reply::Reply;
use crate::value::{Held, Value};

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
        if !self.options.quick {
            return None;
        }
        self.place.with(key.as_ref(), |value| read(value))
    }

    /// The fresh value under `key`, if this process holds one, without waiting.
    ///
    /// A handle on a sidecar holds nothing in this process: always `None`.
    #[inline]
    #[must_use]
    pub fn peek(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        if !self.options.quick {
            return None;
        }
        self.place.peek(key.as_ref())
    }

    /// What a read would answer at once, if that is known here; the inner `None` is
    /// absence.
    #[inline]
    pub(crate) fn hit(&self, key: &[u8]) -> Option<Option<Value>> {
        if !self.options.quick {
            return None;
        }
        self.place.hit(key)
    }

    /// What is held under `key`. Loads nothing and waits for no load.
    ///
    /// # Errors
    /// [`Error::BadField`] for a key that is not 1 to 1 024 bytes, or what the
    /// sidecar says.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Held, Error> {
        let key = key.as_ref();
        if let Some(held) = self.hit(key) {
            return Ok(held.map_or(Held::Absent, Held::Value));
        }
        check_key(key)?;
        let read = self.place.read(key, &self.options, LoadBy::Nobody).await;
        match read {
            Ok(reply) => held(reply),
            Err(error) => self.without(error).map(|_| Held::Nothing),
        }
    }

    /// What is held under each of the keys, in the order asked. Loads nothing and
    /// waits for no load. Not atomic across keys: each is read by itself.
    ///
    /// # Errors
    /// For each key as [`get`](Self::get).
    pub async fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Result<Held, Error>> {
        let keys = Keys::new(keys);
        let mut found: Vec<Result<Held, Error>> = Vec::with_capacity(keys.keys.len());
        for lot in keys.keys.chunks(self.place.most_keys()) {
            self.held_many(lot, &mut found).await;
        }
        keys.spread(found, |_, held| Ok(held.clone()))
    }

    async fn held_many(&self, lot: &[Bytes], found: &mut Vec<Result<Held, Error>>) {
        let mut left = lot;
        while !left.is_empty() {
            let (options, none) = (&self.options, Duration::ZERO);
            let read = self.place.read_many(left, options, LoadBy::Nobody, none);
            let replies = match read.await {
                Ok(replies) => replies,
                Err(error) => {
                    let without = self.without(error);
                    found.extend(left.iter().map(|_| match &without {
                        Ok(()) => Ok(Held::Nothing),
                        Err(error) => Err(error.clone()),
                    }));
                    return;
                }
            };
            // What did not fit one message is at its end, and is asked for again.
            let before = left.len();
            for reply in replies {
                if matches!(reply, Reply::LedElsewhere) {
                    break;
                }
                found.push(held(reply));
                left = &left[1..];
            }
            if left.len() == before {
                found.extend(left.iter().map(|_| Ok(Held::Nothing)));
                return;
            }
        }
    }

    /// What a read that loads nothing comes to when the cache cannot be asked:
    /// nothing is held, where loading without it is chosen.
    fn without(&self, error: Error) -> Result<(), Error> {
        let away = matches!(error, Error::Unavailable { .. });
        if away && self.place.stand_in(&self.options).is_some() {
            return Ok(());
        }
        Err(error)
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
        if let Some(held) = self.hit(key) {
            return Ok(held); // before anything is made ready for a load
        }
        self.taking(key, loader, Ok).await
    }

    /// As [`get_or_load`](Self::get_or_load), for a reader who may find what is held
    /// to be of no use: what `take` refuses is loaded anew, once.
    pub(crate) async fn taking<F, Fut, L, E, T>(
        &self,
        key: &[u8],
        loader: F,
        take: impl FnMut(Value) -> Result<T, Error<E>>,
    ) -> Result<Option<T>, Error<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded>,
        E: Display + Send + 'static,
    {
        check_key(key)?;
        let mut loader = Some(loader);
        let load = move |_: Context| {
            let loader = loader
                .take()
                .expect("only a loader that can say not modified is asked again");
            let loading = loader();
            async move { loading.await.map(Revalidated::loaded) }
        };
        read::get_or_load(&self.place, key, &self.options, load, take).await
    }

    /// The values under many keys, in the order asked, with one call of `loader` for
    /// all of them that it is this caller's turn to load; `None` where there is no
    /// such thing. It says what it found by [`LoadedMany`].
    ///
    /// For each key as [`get_or_load`](Self::get_or_load): fresh and stale ones are
    /// answered as they are, what others are loading is waited for (after this
    /// caller's own loads, so that callers whose keys cross do not wait for each
    /// other), and what is stale is refreshed in the background by a call of its own.
    /// So `loader` may run several times, also at once, and never with more than 512
    /// keys. Not atomic across keys.
    ///
    /// A key's failure is its own: a bad key, a refusal, what the loader says of it.
    /// When the loader fails as a whole, the first of its keys gets [`Error::Load`]
    /// and the others [`Error::Failed`] with its words, where nothing stale may be
    /// served.
    ///
    /// ```
    /// # use millpond_client::{EmbeddedConfig, Item, LoadedMany, Millpond};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pond = Millpond::embedded(EmbeddedConfig::default());
    /// let users = pond.cache("users")?.tenant("acme")?;
    /// let found = users
    ///     .get_many_or_load(["41", "42"], |keys| async move {
    ///         assert_eq!(keys.len(), 2); // SELECT … WHERE id IN (keys)
    ///         let rows = [("42", Item::new("Ada").tags(["team:7"]))];
    ///         Ok::<LoadedMany<_>, std::io::Error>(rows.into_iter().collect())
    ///     })
    ///     .await;
    /// assert!(matches!(found[0], Ok(None)));
    /// assert!(matches!(&found[1], Ok(Some(ada)) if ada[..] == *b"Ada"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// For each key as [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    /// When `loader` does.
    pub async fn get_many_or_load<K, F, Fut, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<Result<Option<Value>, Error<E>>>
    where
        K: AsRef<[u8]>,
        F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<LoadedMany<E>, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (keys, loader) = (Keys::new(keys), Arc::new(loader));
        let found = self.load_many(&keys.keys, &loader).await;
        keys.spread(found, |_, value| Ok(value.clone()))
    }

    /// The same for keys that are checked, and no two alike.
    pub(crate) async fn load_many<F, Fut, E>(
        &self,
        keys: &[Bytes],
        loader: &Arc<F>,
    ) -> Vec<Result<Option<Value>, Error<E>>>
    where
        F: Fn(Vec<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<LoadedMany<E>, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        bulk::get_many_or_load(&self.place, keys, &self.options, loader).await
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
        if let Some(held) = self.hit(key) {
            return Ok(held);
        }
        check_key(key)?;
        read::get_or_load(&self.place, key, &self.options, loader, Ok).await
    }
}

/// What a reply without a load comes to.
fn held(reply: Reply) -> Result<Held, Error> {
    match reply {
        Reply::Held(Some(value), _) => Ok(Held::Value(value)),
        Reply::Held(None, _) => Ok(Held::Absent),
        Reply::Nothing | Reply::Turn(_) | Reply::LedElsewhere => Ok(Held::Nothing),
        Reply::Refused(error) => Err(error),
    }
}
