//! What an invalidation covers and how far it reached.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{self, BadField, check_key, check_tags};

use crate::value::Version;

pub use millpond_core::cache::Invalidation;
pub use millpond_core::cache::lookup::Durability;

/// What an invalidation covers, within one tenant's cache.
///
/// ```
/// use millpond_client::Target;
///
/// let both = Target::keys([b"41", b"42"]);
/// let team = Target::tags(["team:7"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These keys.
    Keys(Vec<Bytes>),
    /// Whatever carries one of these tags.
    Tags(Vec<Bytes>),
    /// Everything.
    All,
}

impl Target {
    /// These keys, each of 1 to 1 024 bytes.
    #[must_use]
    pub fn keys<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Self {
        let copied = |key: K| Bytes::copy_from_slice(key.as_ref());
        Self::Keys(keys.into_iter().map(copied).collect())
    }

    /// Whatever carries one of these tags: at most 8, each of 1 to 128 bytes.
    #[must_use]
    pub fn tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::Tags(
            tags.into_iter()
                .map(|tag| Bytes::from(tag.into()))
                .collect(),
        )
    }

    /// Checks what a sidecar would check, so that a cache in this process refuses
    /// the same.
    pub(crate) fn check(&self) -> Result<(), BadField> {
        match self {
            Self::Keys(keys) if keys.is_empty() => Err(BadField::Empty { field: "keys" }),
            Self::Keys(keys) => keys.iter().try_for_each(|key| check_key(key)),
            Self::Tags(tags) if tags.is_empty() => Err(BadField::Empty { field: "tags" }),
            Self::Tags(tags) => check_tags(tags),
            Self::All => Ok(()),
        }
    }

    pub(crate) fn as_core(&self) -> cache::Target<'_, Bytes> {
        match self {
            Self::Keys(keys) => cache::Target::Keys(keys),
            Self::Tags(tags) => cache::Target::Tags(tags),
            Self::All => cache::Target::Cache,
        }
    }
}

/// The longest time a source may be told to lag. One that lags more is not one to
/// read from.
const MAX_SETTLE: Duration = Duration::from_secs(3_600);

pub(crate) fn check_settle(how: Invalidation) -> Result<(), BadField> {
    if how.settle <= MAX_SETTLE {
        return Ok(());
    }
    let millis = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
    Err(BadField::TooLong {
        field: "settle",
        limit: millis(MAX_SETTLE),
        size: millis(how.settle),
        unit: "ms",
    })
}

/// An invalidation that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// Its version.
    pub version: Version,
    /// How far it has reached.
    pub durability: Durability,
}
