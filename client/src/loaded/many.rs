//! What a bulk loader found, key by key.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;

use super::Loaded;

/// What a bulk loader found: for each key it was given a value, that there is none,
/// or why it failed. Keys that it does not name do not exist, as the rows that
/// `SELECT … WHERE id IN (…)` does not bring.
///
/// ```
/// use millpond_client::{Item, LoadedMany};
///
/// // From pairs of key and value…
/// let rows = [("41", "Bo"), ("42", "Ada")];
/// let found: LoadedMany<std::io::Error> = rows.into_iter().collect();
///
/// // …or one by one.
/// let mut found: LoadedMany<std::io::Error> = LoadedMany::new();
/// found.insert("42", Item::new("Ada").tags(["team:7"]));
/// found.fail("43", std::io::Error::other("shard 3 is down"));
/// ```
pub struct LoadedMany<E, V = Bytes> {
    found: HashMap<Bytes, Result<Loaded<V>, E>>,
}

impl<E, V> LoadedMany<E, V> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            found: HashMap::new(),
        }
    }

    /// What was found under a key; it replaces what was said of it before. Keys that
    /// were not asked for are ignored.
    pub fn insert(&mut self, key: impl AsRef<[u8]>, loaded: impl Into<Loaded<V>>) {
        let key = Bytes::copy_from_slice(key.as_ref());
        self.found.insert(key, Ok(loaded.into()));
    }

    /// Why a key could not be loaded; the others are none the worse for it.
    pub fn fail(&mut self, key: impl AsRef<[u8]>, error: E) {
        let key = Bytes::copy_from_slice(key.as_ref());
        self.found.insert(key, Err(error));
    }

    /// What became of a key.
    pub(crate) fn take(&mut self, key: &[u8]) -> Result<Loaded<V>, E> {
        self.found
            .remove(key)
            .unwrap_or_else(|| Ok(Loaded::absent()))
    }

    #[cfg(feature = "json")]
    pub(crate) fn map<F, W>(
        self,
        map: impl Fn(Result<Loaded<V>, E>) -> Result<Loaded<W>, F>,
    ) -> LoadedMany<F, W> {
        let mapped = self.found.into_iter().map(|(key, one)| (key, map(one)));
        LoadedMany {
            found: mapped.collect(),
        }
    }
}

impl<E, V> Default for LoadedMany<E, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, V, K: AsRef<[u8]>, L: Into<Loaded<V>>> Extend<(K, L)> for LoadedMany<E, V> {
    fn extend<I: IntoIterator<Item = (K, L)>>(&mut self, pairs: I) {
        for (key, loaded) in pairs {
            self.insert(key, loaded);
        }
    }
}

impl<E, V, K: AsRef<[u8]>, L: Into<Loaded<V>>> FromIterator<(K, L)> for LoadedMany<E, V> {
    fn from_iter<I: IntoIterator<Item = (K, L)>>(pairs: I) -> Self {
        let mut found = Self::new();
        found.extend(pairs);
        found
    }
}

impl<E, V> fmt::Debug for LoadedMany<E, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.found.values().filter(|one| one.is_err()).count();
        f.debug_struct("LoadedMany")
            .field("keys", &self.found.len())
            .field("failed", &failed)
            .finish()
    }
}
