//! foyer's in-memory cache. It runs loads on tasks of its own, so a caller that
//! goes away does not take its load along.

use std::error::Error;

use foyer_memory::{Cache, CacheBuilder};

use super::{Change, Failed, Key, Load, OriginDown, Subject, Value};

/// `foyer::Cache`, which is `foyer_memory::Cache`.
#[derive(Debug)]
pub struct Foyer(Cache<Key, Value>);

impl Subject for Foyer {
    const NAME: &'static str = "foyer";
    const PACKAGE: &'static str = "foyer-memory";

    fn with_room(entries: usize) -> Self {
        // The default of eight shards divides the room of a small cache unevenly.
        Self(CacheBuilder::new(entries).with_shards(1).build())
    }

    fn call_for(change: Change) -> Option<&'static str> {
        match change {
            Change::Key => Some("remove"),
            Change::Set => Some("insert"),
            Change::Cache => Some("clear"),
            Change::Tag | Change::Tenant => None,
        }
    }

    async fn apply(&self, change: Change, key: Key, value: Value) {
        match change {
            Change::Key => {
                self.0.remove(&key);
            }
            Change::Set => {
                self.0.insert(key, value);
            }
            Change::Cache => self.0.clear(),
            Change::Tag | Change::Tenant => {}
        }
    }

    async fn read(&self, key: Key, load: Load) -> Result<Value, Failed> {
        match self.0.get_or_fetch(&key, || load).await {
            Ok(entry) => Ok(*entry.value()),
            Err(error) if is_origins(&error) => Err(Failed::Origin),
            Err(error) => Err(Failed::Cache(error.to_string())),
        }
    }
}

/// Whether the loader's error is anywhere in the chain: foyer wraps it.
fn is_origins(error: &(dyn Error + 'static)) -> bool {
    error.is::<OriginDown>() || error.source().is_some_and(is_origins)
}
