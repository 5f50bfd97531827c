//! The face that every in-process cache shows to the benches.

use bytes::Bytes;

/// A key of any length, as a service's are. No cache is told that the keys of a
/// bench happen to be equally long.
pub type Key = Box<[u8]>;

/// A value whose clone is a reference count: what is timed is the cache, not a copy.
pub type Value = Bytes;

/// How much a cache may hold. Every cache is bounded by weight, and every entry
/// weighs the same: `entries × entry_bytes` together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// The number of entries that fit.
    pub entries: usize,
    /// What each counts: the bytes of its key and value. A cache that charges its
    /// own overhead too is given a bound that holds `entries` of them.
    pub entry_bytes: u16,
}

impl Capacity {
    /// The bound in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries * usize::from(self.entry_bytes)
    }
}

/// A cache under measurement, shared by threads.
pub trait Subject: Sized + Send + Sync {
    /// How tables call it.
    const NAME: &'static str;
    /// The package that `Cargo.lock` has the version of.
    const PACKAGE: &'static str;

    /// An empty cache bounded by `capacity`.
    fn build(capacity: Capacity) -> Self;

    /// Whether the key is held. The value is fetched the way a caller would have it
    /// and dropped.
    fn get(&self, key: &Key) -> bool;

    /// Stores the value.
    fn insert(&self, key: Key, value: Value);

    /// Does now what the cache put off, so that a bench starts from a settled cache.
    /// Never called inside a measurement.
    fn settle(&self) {}
}

/// Something done with each cache in turn; their types differ, so a list cannot
/// hold them.
pub trait Visitor {
    /// Called once for each cache.
    fn visit<S: Subject + 'static>(&mut self);
}
