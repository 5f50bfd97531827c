//! The caches that the benches compare, each with ahash so that no difference
//! between them is a difference of hashers.
//!
//! A cache is added by implementing [`Subject`] and naming it in [`visit_all`].

use ahash::RandomState;
use millpond_benches::{
    lockfile::locked_version,
    subject::{Capacity, Key, Subject, Value, Visitor},
};

/// Shows every cache to the visitor, in the order of the tables.
pub(crate) fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<Moka>();
    visitor.visit::<QuickCache>();
    visitor.visit::<TinyUfo>();
}

/// Name and version of what was linked.
pub(crate) fn title<S: Subject>() -> String {
    const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
    let version = locked_version(LOCK, S::PACKAGE).unwrap_or("?");
    format!("{} {version}", S::NAME)
}

struct Moka(moka::sync::Cache<Key, Value, RandomState>);

impl Subject for Moka {
    const NAME: &'static str = "moka";
    const PACKAGE: &'static str = "moka";

    fn build(capacity: Capacity) -> Self {
        let weight = u32::from(capacity.entry_bytes);
        let cache = moka::sync::Cache::builder()
            .max_capacity(capacity.bytes() as u64)
            .weigher(move |_, _| weight)
            .build_with_hasher(RandomState::new());
        Self(cache)
    }

    fn get(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

#[derive(Clone)]
struct Weight(u64);

impl quick_cache::Weighter<Key, Value> for Weight {
    fn weight(&self, _: &Key, _: &Value) -> u64 {
        self.0
    }
}

struct QuickCache(quick_cache::sync::Cache<Key, Value, Weight, RandomState>);

impl Subject for QuickCache {
    const NAME: &'static str = "quick_cache";
    const PACKAGE: &'static str = "quick_cache";

    fn build(capacity: Capacity) -> Self {
        Self(quick_cache::sync::Cache::with(
            capacity.entries,
            capacity.bytes() as u64,
            Weight(u64::from(capacity.entry_bytes)),
            RandomState::new(),
            quick_cache::sync::DefaultLifecycle::default(),
        ))
    }

    fn get(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }
}

/// Compares keys by their 64-bit hash alone, which the others do not.
struct TinyUfo {
    cache: tinyufo::TinyUfo<Key, Value>,
    weight: u16,
}

impl Subject for TinyUfo {
    const NAME: &'static str = "TinyUFO";
    const PACKAGE: &'static str = "TinyUFO";

    fn build(capacity: Capacity) -> Self {
        Self {
            cache: tinyufo::TinyUfo::new(capacity.bytes(), capacity.entries),
            weight: capacity.entry_bytes,
        }
    }

    fn get(&self, key: &Key) -> bool {
        self.cache.get(key).is_some()
    }

    fn insert(&self, key: Key, value: Value) {
        self.cache.put(key, value, self.weight);
    }
}
