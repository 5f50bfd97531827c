//! What a loader brings, and what a write takes.
//!
//! Three types, so that a place which cannot take something does not have to
//! refuse it: an [`Item`] is a value with what the cache should know of it; a
//! [`Loaded`] is an item, or that there is none; a [`Revalidated`] is that, or
//! that what is held is still right.

mod many;

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{BadField, Times, check_etag, check_tags};

pub use many::LoadedMany;

/// A value and what the cache should know of it.
///
/// ```
/// use millpond_client::Item;
/// use std::time::Duration;
///
/// let item = Item::new("Ada").tags(["user:42"]).etag("v7").fresh(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<V = Bytes> {
    pub(crate) value: V,
    pub(crate) times: Times,
    pub(crate) tags: Vec<Bytes>,
    pub(crate) etag: Bytes,
}

impl<V> Item<V> {
    /// A value with the policy's times, no tags and no etag.
    #[must_use]
    pub fn new(value: V) -> Self {
        Self {
            value,
            times: Times::default(),
            tags: Vec::new(),
            etag: Bytes::new(),
        }
    }

    /// The names under which it can be invalidated together with others. At most
    /// 8, each of 1 to 128 bytes; they replace those set before.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags
            .into_iter()
            .map(|tag| Bytes::from(tag.into()))
            .collect();
        self
    }

    /// The origin's validator, handed to the next conditional load. At most 256
    /// bytes.
    #[must_use]
    pub fn etag(mut self, etag: impl Into<Bytes>) -> Self {
        self.etag = etag.into();
        self
    }

    /// How long it lives, instead of the policy's times.
    #[must_use]
    pub fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// How long it is fresh, instead of the policy's `fresh`.
    #[must_use]
    pub fn fresh(mut self, fresh: Duration) -> Self {
        self.times.fresh = Some(fresh);
        self
    }

    pub(crate) fn check(&self) -> Result<(), BadField> {
        check_tags(&self.tags)?;
        check_etag(&self.etag)
    }

    #[cfg(feature = "json")]
    pub(crate) fn try_map<W, E>(self, map: impl FnOnce(V) -> Result<W, E>) -> Result<Item<W>, E> {
        Ok(Item {
            value: map(self.value)?,
            times: self.times,
            tags: self.tags,
            etag: self.etag,
        })
    }
}

/// What a load found: a value, or that there is none.
///
/// A loader may return anything that converts: a value, an [`Item`], or an
/// `Option` of either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<V = Bytes>(pub(crate) Body<V>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body<V> {
    Item(Item<V>),
    Absent { fresh: Option<Duration> },
}

impl<V> Loaded<V> {
    /// A value, to which tags, times and an etag can be added.
    #[must_use]
    pub fn value(value: V) -> Item<V> {
        Item::new(value)
    }

    /// There is no such thing: remembered for the policy's `negative` time.
    #[must_use]
    pub fn absent() -> Self {
        Self(Body::Absent { fresh: None })
    }

    /// There is no such thing, and will not be for so long.
    #[must_use]
    pub fn absent_for(fresh: Duration) -> Self {
        Self(Body::Absent { fresh: Some(fresh) })
    }
}

/// What a conditional load found: see
/// [`get_or_revalidate`](crate::TenantCache::get_or_revalidate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revalidated<V = Bytes>(pub(crate) Found<V>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<V> {
    Loaded(Loaded<V>),
    NotModified { times: Times },
}

impl<V> Revalidated<V> {
    /// A value or its absence.
    #[must_use]
    pub fn loaded(loaded: impl Into<Loaded<V>>) -> Self {
        Self(Found::Loaded(loaded.into()))
    }

    /// What is held under [`Context::etag`] is still right.
    #[must_use]
    pub fn not_modified() -> Self {
        Self(Found::NotModified {
            times: Times::default(),
        })
    }

    /// What is held is still right, and for so long.
    #[must_use]
    pub fn not_modified_for(times: Times) -> Self {
        Self(Found::NotModified { times })
    }
}

/// What a conditional loader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The validator of the value that is held and may be confirmed. `None`: load
    /// in full; [`Revalidated::not_modified`] would confirm nothing.
    pub etag: Option<Bytes>,
}

impl<V> From<V> for Item<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self(Body::Item(Item::new(value)))
    }
}

impl<V> From<Item<V>> for Loaded<V> {
    fn from(item: Item<V>) -> Self {
        Self(Body::Item(item))
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or_else(Self::absent, Self::from)
    }
}

impl<V> From<Option<Item<V>>> for Loaded<V> {
    fn from(item: Option<Item<V>>) -> Self {
        item.map_or_else(Self::absent, Self::from)
    }
}

/// What becomes bytes without a copy may stand for bytes.
macro_rules! bytes_from {
    ($($source:ty),+) => {$(
        impl From<$source> for Item {
            fn from(value: $source) -> Self {
                Self::new(value.into())
            }
        }

        impl From<Item<$source>> for Item {
            fn from(item: Item<$source>) -> Self {
                Self {
                    value: item.value.into(),
                    times: item.times,
                    tags: item.tags,
                    etag: item.etag,
                }
            }
        }

        impl From<$source> for Loaded {
            fn from(value: $source) -> Self {
                Item::<Bytes>::from(value).into()
            }
        }

        impl From<Item<$source>> for Loaded {
            fn from(item: Item<$source>) -> Self {
                Item::<Bytes>::from(item).into()
            }
        }

        impl From<Option<$source>> for Loaded {
            fn from(value: Option<$source>) -> Self {
                value.map_or_else(Self::absent, Self::from)
            }
        }

        impl From<Option<Item<$source>>> for Loaded {
            fn from(item: Option<Item<$source>>) -> Self {
                item.map_or_else(Self::absent, Self::from)
            }
        }
    )+};
}

bytes_from!(Vec<u8>, String, &'static str, &'static [u8]);
