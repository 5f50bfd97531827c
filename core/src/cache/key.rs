//! Keys: (tenant, cache, key), compared in full.
//!
//! Within the process a [`Scope`](super::scope::Scope) stands for the pair
//! (tenant, cache) under a number that is never used again, so a key is that
//! number followed by the caller's bytes. Two keys are equal iff both parts are:
//! the number has a fixed length, so no two triples share an encoding. Outside
//! the process [`triple`] writes the names themselves, each behind its length.
//!
//! The hash is keyed at random per process: callers choose keys, and must not be
//! able to choose collisions.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use super::name::{BadField, CacheName, TenantId, sized};
use crate::planted::{Bug, planted};
use crate::sync::Equivalent;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = 1_024;

/// 2^64 over the golden ratio (Knuth, TAOCP 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

const SCOPE_LEN: usize = size_of::<u64>();

/// The number of a (tenant, cache) pair in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScopeId(pub(crate) u64);

/// An owned key. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    hash: u64,
    /// Scope number, then the caller's bytes.
    bytes: Arc<[u8]>,
}

impl Key {
    pub(crate) fn hash_bits(&self) -> u64 {
        self.hash
    }

    pub(crate) fn scope(&self) -> ScopeId {
        self.borrow().scope
    }

    pub(crate) fn user_bytes(&self) -> &[u8] {
        &self.bytes[SCOPE_LEN..]
    }

    pub(crate) fn borrow(&self) -> KeyRef<'_> {
        let (scope, key) = self
            .bytes
            .split_first_chunk::<SCOPE_LEN>()
            .expect("a key begins with its scope");
        KeyRef {
            hash: self.hash,
            scope: ScopeId(u64::from_le_bytes(*scope)),
            key,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A key to look up, borrowed from the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRef<'a> {
    hash: u64,
    scope: ScopeId,
    key: &'a [u8],
}

impl KeyRef<'_> {
    pub(crate) fn hash_bits(self) -> u64 {
        self.hash
    }

    /// Its stripe, of a power of two of them. The index uses the hash's low bits;
    /// these are free.
    #[inline]
    pub(crate) fn stripe(self, stripes: usize) -> usize {
        usize::try_from(self.hash >> 40).unwrap_or(0) & (stripes - 1)
    }

    pub(crate) fn to_key(self) -> Key {
        let mut bytes = Vec::with_capacity(SCOPE_LEN + self.key.len());
        bytes.extend_from_slice(&self.scope.0.to_le_bytes());
        bytes.extend_from_slice(self.key);
        Key {
            hash: self.hash,
            bytes: bytes.into(),
        }
    }
}

impl KeyRef<'_> {
    /// Whether `key` is this key, their hashes being equal.
    #[inline]
    pub(crate) fn is(&self, key: &Key) -> bool {
        let (scope, bytes) = key.bytes.split_at(SCOPE_LEN);
        bytes == self.key && (scope == self.scope.0.to_le_bytes() || planted(Bug::KeyWithoutScope))
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && self.is(key)
    }
}

/// Hashes keys with seeds of this process.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher {
    places: ahash::RandomState,
    /// For hashes that leave the process: another function with other seeds, so
    /// that they give nothing away about where keys are placed.
    names: std::hash::RandomState,
}

impl KeyHasher {
    pub(crate) fn random() -> Self {
        Self {
            places: ahash::RandomState::new(),
            names: std::hash::RandomState::new(),
        }
    }

    pub(crate) fn pseudonym(&self, scope: ScopeId, key: &[u8]) -> u64 {
        self.names.hash_one((scope, key))
    }

    #[inline]
    pub(crate) fn key<'a>(&self, scope: ScopeId, key: &'a [u8]) -> KeyRef<'a> {
        let mut hasher = self.places.build_hasher();
        hasher.write(key);
        // The scope need not pass through the keyed hash: callers do not choose
        // its number, and a multiplication spreads it over all the bits.
        let scoped = if planted(Bug::KeyWithoutScope) {
            0
        } else {
            scope.0
        };
        let hash = hasher.finish() ^ scoped.wrapping_mul(SPREAD);
        KeyRef { hash, scope, key }
    }
}

/// Passes on a hash that was computed already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only keys that carry their hash are hashed here");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl BuildHasher for Hashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

/// Checks the length of a caller's key.
///
/// # Errors
/// When it is empty or longer than [`MAX_KEY_LEN`].
pub fn check_key(key: &[u8]) -> Result<(), BadField> {
    sized("key", key.len(), MAX_KEY_LEN)
}

/// The key as a store outside the process sees it: length, tenant, length,
/// cache, key. No two triples have the same encoding.
#[must_use]
pub fn triple(tenant: &TenantId, cache: &CacheName, key: &[u8]) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(2 + tenant.as_str().len() + cache.as_str().len() + key.len());
    for name in [tenant.as_str(), cache.as_str()] {
        // Both names are at most 128 bytes, so one byte holds the length.
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(key);
    bytes
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
