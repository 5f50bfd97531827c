//! moka's async cache. `get_with` and `try_get_with` share one table of loads under
//! way; the second is used so that one adapter serves the rows with errors too.

use moka::future::Cache;

use super::{Change, Failed, Key, Load, Subject, Value};

/// `moka::future::Cache`.
#[derive(Debug)]
pub struct Moka(Cache<Key, Value>);

impl Subject for Moka {
    const NAME: &'static str = "moka";
    const PACKAGE: &'static str = "moka";

    fn with_room(entries: usize) -> Self {
        let cache = Cache::builder()
            .max_capacity(entries as u64)
            .support_invalidation_closures()
            .build();
        Self(cache)
    }

    fn call_for(change: Change) -> Option<&'static str> {
        Some(match change {
            Change::Key => "invalidate",
            Change::Set => "insert",
            Change::Tag | Change::Tenant => "invalidate_entries_if",
            Change::Cache => "invalidate_all",
        })
    }

    async fn apply(&self, change: Change, key: Key, value: Value) {
        let matching = |matches: fn(&Key, &Value, &Key, &Value) -> bool| {
            self.0
                .invalidate_entries_if(move |held_key, held| matches(held_key, held, &key, &value))
                .expect("the builder was told to support closures");
        };
        match change {
            Change::Key => self.0.invalidate(&key).await,
            Change::Set => self.0.insert(key, value).await,
            Change::Tag => matching(|_, held, _, value| held.tag == value.tag),
            Change::Cache => self.0.invalidate_all(),
            Change::Tenant => matching(|held, _, key, _| held.tenant == key.tenant),
        }
    }

    async fn read(&self, key: Key, load: Load) -> Result<Value, Failed> {
        self.0
            .try_get_with(key, load)
            .await
            .map_err(|_| Failed::Origin)
    }
}
