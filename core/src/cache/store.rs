//! The port to L2: a second level that outlives this process or is shared.
//!
//! The lookup over both levels is written once, in [`lookup`](super::lookup),
//! against this trait. What an adapter must keep is checked by one conformance
//! suite (feature `testing`):
//! - a written entry is read back whole, under its full (tenant, cache, key);
//! - an entry that began at or before an invalidation that covers it is never
//!   read after the invalidation returned, and is refused when it is written
//!   after it (a late write cannot bring it back);
//! - an entry never replaces one that began later.
//!
//! Ages cross the port as durations left, never as points in time: two machines'
//! clocks need not agree.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use super::entry::Body;
use super::name::{CacheName, TenantId};
use crate::version::Version;

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "testing")]
pub mod memory;

/// A key in full, as a store sees it. [`triple`](super::triple) encodes it.
#[derive(Clone, Copy, Debug)]
pub struct StoreKey<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The cache.
    pub cache: &'a CacheName,
    /// The caller's bytes.
    pub key: &'a [u8],
}

/// An entry as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value or its absence.
    pub body: Body,
    /// The version at which its load began.
    pub began: Version,
    /// How long it is still fresh.
    pub fresh_for: Duration,
    /// How long it may still be served stale. At least `fresh_for`.
    pub stale_for: Duration,
    /// How long it may still be served on error. At least `stale_for`.
    pub error_for: Duration,
    /// How long its load took.
    pub load_time: Duration,
    /// Its tags.
    pub tags: Vec<Bytes>,
    /// The origin's validator; empty for none.
    pub etag: Bytes,
}

/// What an invalidation covers, in full.
#[derive(Clone, Debug)]
pub enum StoreTarget<'a> {
    /// These keys of a cache.
    Keys(&'a TenantId, &'a CacheName, &'a [Bytes]),
    /// What carries one of these tags in a cache.
    Tags(&'a TenantId, &'a CacheName, &'a [Bytes]),
    /// A cache.
    Cache(&'a TenantId, &'a CacheName),
    /// Every cache of a tenant.
    Tenant(&'a TenantId),
}

/// A store could not be reached, or did not answer in time. What it was asked to
/// do may or may not have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What happened, for a log line. Never a key or a value.
    pub what: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store: {}", self.what)
    }
}

impl std::error::Error for StoreError {}

/// A store's answer, some time later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A second level.
pub trait Store: fmt::Debug + Send + Sync {
    /// The entry under a key, if one is held and not invalidated.
    fn read<'a>(&'a self, key: StoreKey<'a>) -> StoreFuture<'a, Option<Stored>>;

    /// Keeps an entry; whether it was kept. It is refused when an invalidation
    /// that covers it, or a later entry, came first.
    fn write<'a>(&'a self, key: StoreKey<'a>, entry: Stored) -> StoreFuture<'a, bool>;

    /// Invalidates what began at or before `version`.
    fn invalidate<'a>(&'a self, target: StoreTarget<'a>, version: Version) -> StoreFuture<'a, ()>;
}
