//! The caches that the benches compare, each with ahash so that no difference
//! between them is a difference of hashers.
//!
//! A cache is added by implementing [`Subject`] and naming it in [`visit_all`].

use ahash::RandomState;
use std::sync::Arc;

use millpond_benches::{
    lockfile::locked_version,
    subject::{Capacity, Key, Subject, Value, Visitor},
};
use millpond_core::cache::{
    CacheName, Config, ENTRY_OVERHEAD, Lookup, Policy, Pond, Scope, TenantId, Want, Write,
};

/// Shows every cache to the visitor, in the order of the tables.
pub(crate) fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<Moka>();
    visitor.visit::<QuickCache>();
    visitor.visit::<TinyUfo>();
    visitor.visit::<Millpond>();
    visitor.visit::<MillpondBorrowed>();
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

/// One cache of one tenant, its handle at hand. A hit clones a handle on the entry.
struct Millpond {
    pond: Arc<Pond>,
    scope: Arc<Scope>,
}

impl Subject for Millpond {
    const NAME: &'static str = "Millpond";
    const PACKAGE: &'static str = "millpond-core";

    fn build(capacity: Capacity) -> Self {
        let charged = ENTRY_OVERHEAD + usize::from(capacity.entry_bytes);
        let pond = Pond::new(Config {
            budget: (capacity.entries * charged) as u64,
            undeclared: Policy {
                fresh: Policy::MAX_TIME,
                ..Policy::declared()
            },
            ..Config::default()
        });
        let tenant = TenantId::parse("bench").expect("a valid tenant");
        let cache = CacheName::parse("bench").expect("a valid cache");
        let scope = pond.scope(&tenant, &cache).expect("room for one cache");
        Self { pond, scope }
    }

    fn get(&self, key: &Key) -> bool {
        if self.pond.peek(&self.scope, key).is_some() {
            return true;
        }
        // Counts the miss, and lets the eviction policy know of it.
        match self.pond.get(&self.scope, key, Want::held()) {
            Lookup::Answer(answer) => answer.found.is_some(),
            Lookup::Follow(_) => false,
        }
    }

    fn insert(&self, key: Key, value: Value) {
        self.pond
            .set(&self.scope, &key, Write::value(value))
            .expect("values are small");
    }

    fn settle(&self) {
        let _counted = self.pond.audit_bytes();
    }
}

/// The same cache, its hits read in place.
struct MillpondBorrowed(Millpond);

impl Subject for MillpondBorrowed {
    const NAME: &'static str = "Millpond, borrowed";
    const PACKAGE: &'static str = "millpond-core";

    fn build(capacity: Capacity) -> Self {
        Self(Millpond::build(capacity))
    }

    fn get(&self, key: &Key) -> bool {
        let read = |entry: &millpond_core::cache::Entry| std::hint::black_box(entry).version();
        self.0.pond.with(&self.0.scope, key, read).is_some() || self.0.get(key)
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    fn settle(&self) {
        self.0.settle();
    }
}
