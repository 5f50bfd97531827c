//! A store in memory: the fake behind the tests of the lookup, and the smallest
//! adapter that passes the conformance suite. It can be told to fail.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Store, StoreError, StoreFuture, StoreKey, StoreTarget, Stored};
use crate::cache::key::triple;
use crate::cache::name::{CacheName, TenantId};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::version::Version;

type Cache = (TenantId, CacheName);

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Vec<u8>, Stored>,
    keys: HashMap<Vec<u8>, Version>,
    tags: HashMap<(Cache, Vec<u8>), Version>,
    caches: HashMap<Cache, Version>,
    tenants: HashMap<TenantId, Version>,
}

/// Entries and tombstones in a map.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    failing: AtomicBool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From now on every call fails, or no longer does.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    fn run<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&mut State) -> T + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            if self.failing.load(Ordering::SeqCst) {
                return Err(StoreError {
                    what: "told to fail".to_owned(),
                });
            }
            Ok(act(&mut self.state.lock()))
        })
    }
}

impl State {
    fn floor(&self, key: StoreKey<'_>, entry: &Stored) -> Version {
        let cache = (key.tenant.clone(), key.cache.clone());
        let tags = entry
            .tags
            .iter()
            .map(|tag| self.tags.get(&(cache.clone(), tag.to_vec())));
        tags.chain([
            self.keys.get(&triple(key.tenant, key.cache, key.key)),
            self.caches.get(&cache),
            self.tenants.get(key.tenant),
        ])
        .flatten()
        .copied()
        .max()
        .unwrap_or_default()
    }
}

fn raise<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Version>, key: K, version: Version) {
    let held = map.entry(key).or_default();
    *held = (*held).max(version);
}

impl Store for MemoryStore {
    fn read<'a>(&'a self, key: StoreKey<'a>) -> StoreFuture<'a, Option<Stored>> {
        self.run(move |state| {
            let entry = state.entries.get(&triple(key.tenant, key.cache, key.key))?;
            (entry.began > state.floor(key, entry)).then(|| entry.clone())
        })
    }

    fn write<'a>(&'a self, key: StoreKey<'a>, entry: Stored) -> StoreFuture<'a, bool> {
        self.run(move |state| {
            if entry.began <= state.floor(key, &entry) {
                return false;
            }
            let at = triple(key.tenant, key.cache, key.key);
            if state
                .entries
                .get(&at)
                .is_some_and(|held| held.began > entry.began)
            {
                return false;
            }
            state.entries.insert(at, entry);
            true
        })
    }

    fn invalidate<'a>(&'a self, target: StoreTarget<'a>, version: Version) -> StoreFuture<'a, ()> {
        self.run(move |state| match target {
            StoreTarget::Keys(tenant, cache, keys) => {
                for key in keys {
                    raise(&mut state.keys, triple(tenant, cache, key), version);
                }
            }
            StoreTarget::Tags(tenant, cache, tags) => {
                for tag in tags {
                    let cache = (tenant.clone(), cache.clone());
                    raise(&mut state.tags, (cache, tag.to_vec()), version);
                }
            }
            StoreTarget::Cache(tenant, cache) => {
                raise(&mut state.caches, (tenant.clone(), cache.clone()), version);
            }
            StoreTarget::Tenant(tenant) => raise(&mut state.tenants, tenant.clone(), version),
        })
    }
}
