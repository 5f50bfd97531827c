//! quick_cache's sync cache, which is also its async one.

use quick_cache::sync::Cache;

use super::{Change, Failed, Key, Load, Subject, Value};

/// `quick_cache::sync::Cache`.
#[derive(Debug)]
pub struct QuickCache(Cache<Key, Value>);

impl Subject for QuickCache {
    const NAME: &'static str = "quick_cache";
    const PACKAGE: &'static str = "quick_cache";

    fn with_room(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    fn call_for(change: Change) -> Option<&'static str> {
        Some(match change {
            Change::Key => "remove",
            Change::Set => "insert",
            Change::Tag | Change::Tenant => "retain",
            Change::Cache => "clear",
        })
    }

    async fn apply(&self, change: Change, key: Key, value: Value) {
        match change {
            Change::Key => {
                self.0.remove(&key);
            }
            Change::Set => self.0.insert(key, value),
            Change::Tag => self.0.retain(|_, held| held.tag != value.tag),
            Change::Cache => self.0.clear(),
            Change::Tenant => self.0.retain(|held, _| held.tenant != key.tenant),
        }
    }

    async fn read(&self, key: Key, load: Load) -> Result<Value, Failed> {
        self.0
            .get_or_insert_async(&key, load)
            .await
            .map_err(|_| Failed::Origin)
    }
}
