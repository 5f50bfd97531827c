//! What a read brings: a value, where it comes from, and how old it is.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{BadField, Hit, Source};
use millpond_core::clock::Time;
use millpond_core::fence::Boot;
use millpond_core::version::Position;

/// A value from the cache, or from a load that just ended. Cheap to clone.
///
/// It dereferences to the value itself: `&value[..]` are its bytes.
#[derive(Clone)]
pub struct Value<V = Bytes> {
    value: V,
    about: About,
    source: Source,
    /// Boxed: a fresh value is moved about, and has none.
    stale: Option<Box<Stale>>,
}

/// What is known of a value besides itself.
#[derive(Clone)]
pub(crate) enum About {
    /// The entry that holds it in this process, and when it was read. Asked only
    /// when the caller asks: a hit costs no more than counting it up.
    Held { hit: Hit, at: Time, boot: Boot },
    /// What somebody else said of it.
    Told(Box<Told>),
}

/// See [`About::Told`].
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) version: Option<Version>,
    pub(crate) age: Duration,
    pub(crate) fresh_for: Option<Duration>,
    pub(crate) etag: Bytes,
}

impl<V> Value<V> {
    pub(crate) fn new(value: V, source: Source, stale: Option<Box<Stale>>, about: About) -> Self {
        Self {
            value,
            about,
            source,
            stale,
        }
    }

    /// A value that this caller loaded itself.
    pub(crate) fn stored_as(mut self, version: Option<Version>) -> Self {
        if let About::Told(told) = &mut self.about {
            told.version = version;
        }
        self
    }

    /// The value alone.
    pub fn into_inner(self) -> V {
        self.value
    }

    /// Set when the value is past its freshness: why it is served all the same.
    #[must_use]
    pub fn stale(&self) -> Option<&Stale> {
        self.stale.as_deref()
    }

    /// The version under which it is stored. `None` when it is not: this caller
    /// loaded it, and the key was invalidated or written meanwhile, or the value
    /// is larger than the cache keeps, or the cache is switched off.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match &self.about {
            About::Held { hit, boot, .. } => {
                let version = hit.version();
                let position = Position {
                    boot: *boot,
                    version,
                };
                Some(Version::from_position(position.encode()))
            }
            About::Told(told) => told.version,
        }
    }

    /// How long before it was read it was stored.
    #[must_use]
    pub fn age(&self) -> Duration {
        match &self.about {
            About::Held { hit, at, .. } => hit.age(*at),
            About::Told(told) => told.age,
        }
    }

    /// How long it stays fresh, if nothing invalidates it; zero when it is stale.
    /// `None` when this caller loaded it itself: its policy is the cache's.
    #[must_use]
    pub fn fresh_for(&self) -> Option<Duration> {
        match &self.about {
            About::Held { hit, at, .. } => Some(hit.fresh_for(*at)),
            About::Told(told) => told.fresh_for,
        }
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// The origin's validator, empty if it gave none.
    #[must_use]
    pub fn etag(&self) -> &Bytes {
        match &self.about {
            About::Held { hit, .. } => hit.etag(),
            About::Told(told) => &told.etag,
        }
    }

    #[cfg(feature = "json")]
    pub(crate) fn try_map<W, E>(self, map: impl FnOnce(V) -> Result<W, E>) -> Result<Value<W>, E> {
        Ok(Value {
            value: map(self.value)?,
            about: self.about,
            source: self.source,
            stale: self.stale,
        })
    }
}

impl<V: PartialEq> PartialEq for Value<V> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
            && self.source == other.source
            && self.stale == other.stale
            && self.version() == other.version()
            && self.age() == other.age()
            && self.fresh_for() == other.fresh_for()
            && self.etag() == other.etag()
    }
}

impl<V: Eq> Eq for Value<V> {}

impl<V: fmt::Debug> fmt::Debug for Value<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("value", &self.value)
            .field("source", &self.source)
            .field("stale", &self.stale)
            .field("version", &self.version())
            .field("age", &self.age())
            .field("fresh_for", &self.fresh_for())
            .field("etag", self.etag())
            .finish()
    }
}

impl<V> Deref for Value<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: AsRef<[u8]>> AsRef<[u8]> for Value<V> {
    fn as_ref(&self) -> &[u8] {
        self.value.as_ref()
    }
}

/// Why a stale value was served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Why.
    pub reason: StaleReason,
    /// What the last failed load said, when it is known.
    pub error: Option<String>,
    /// When the next refresh may be tried, when the last one failed.
    pub retry_after: Option<Duration>,
}

/// See [`Stale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleReason {
    /// One refresh is under way behind it.
    Revalidating,
    /// The last load failed.
    LoadFailed,
    /// The breaker before the origin is open.
    BreakerOpen,
    /// The tenant's budget of loads is spent.
    OverBudget,
    /// Too much is under way already.
    Shed,
    /// News of invalidations was missed, and the value is not confirmed yet.
    Unconfirmed,
    /// A reason that this version of the client does not know.
    Other,
}

/// [`Position::LEN`], as a version keeps it.
const POSITION_LEN: u8 = 16;
const _: () = assert!(POSITION_LEN as usize == Position::LEN);

/// The version of a stored value or of an invalidation. Opaque: equal or not,
/// and bytes that may be handed to another process of the fleet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl Version {
    /// The longest version, in bytes.
    pub const MAX_LEN: usize = 32;

    /// From the bytes of another version.
    ///
    /// # Errors
    /// When there are none, or more than [`Self::MAX_LEN`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadField> {
        let field = "version";
        let (limit, size) = (Self::MAX_LEN, bytes.len());
        let Some(room) = limit.checked_sub(size) else {
            return Err(BadField::TooLong {
                field,
                limit,
                size,
                unit: "bytes",
            });
        };
        if room == limit {
            return Err(BadField::Empty { field });
        }
        let mut held = [0; Self::MAX_LEN];
        held[..size].copy_from_slice(bytes);
        Ok(Self {
            bytes: held,
            len: u8::try_from(size).unwrap_or(u8::MAX),
        })
    }

    /// From a position of the core, whose length is known.
    pub(crate) fn from_position(position: [u8; Position::LEN]) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..Position::LEN].copy_from_slice(&position);
        Self {
            bytes,
            len: POSITION_LEN,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Version(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// What a read that loads nothing comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held<V = Bytes> {
    /// A value, fresh or stale.
    Value(Value<V>),
    /// The origin said not long ago that there is no such thing.
    Absent,
    /// Nothing is known of the key.
    Nothing,
}

impl<V> Held<V> {
    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<Value<V>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_to_32_bytes() {
        let version = Version::from_bytes(&[7; 32]).expect("it fits");
        assert_eq!(version.as_bytes(), [7; 32]);
        assert_eq!(
            Version::from_bytes(b"").map_err(|bad| bad.to_string()),
            Err("version: is empty, needs at least 1 byte".to_owned())
        );
        assert_eq!(
            Version::from_bytes(&[0; 33]).map_err(|bad| bad.to_string()),
            Err("version: 33 bytes, limit 32".to_owned())
        );
    }
}
