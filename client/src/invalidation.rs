//! What an invalidation covers and how far it reached.

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

/// An invalidation that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// Its version.
    pub version: Version,
    /// How far it has reached.
    pub durability: Durability,
}
