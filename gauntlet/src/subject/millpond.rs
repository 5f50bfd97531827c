//! Millpond in process, by its client library.

use millpond_client::{EmbeddedConfig, Error, Item, Millpond};
use millpond_core::cache::{ENTRY_OVERHEAD, Invalidation, TenantId};

use crate::origin::TAG;

use super::{Change, Failed, Key, Load, Subject, Value};

const CACHE: &str = "gauntlet";
/// Bytes of a key, and of a generation with a tag.
const PAYLOAD: usize = 24;

/// `Millpond::embedded` with the policy of an undeclared cache.
#[derive(Debug)]
pub struct Embedded {
    millpond: Millpond,
    cache: millpond_client::Cache,
}

impl Subject for Embedded {
    const NAME: &'static str = "Millpond";
    const PACKAGE: &'static str = "millpond-client";
    const OURS: bool = true;

    fn with_room(entries: usize) -> Self {
        let budget = (entries * (ENTRY_OVERHEAD + PAYLOAD)) as u64;
        let millpond = Millpond::embedded(EmbeddedConfig::default().budget(budget));
        let cache = millpond.cache(CACHE).expect("a valid name");
        Self { millpond, cache }
    }

    fn call_for(change: Change) -> Option<&'static str> {
        Some(match change {
            Change::Key => "invalidate",
            Change::Set => "set",
            Change::Tag => "invalidate_tags",
            Change::Cache => "invalidate_all",
            Change::Tenant => "invalidate_tenant",
        })
    }

    async fn apply(&self, change: Change, key: Key, value: Value) {
        let (tenant, bytes) = (key.tenant, key.number.to_be_bytes());
        let applied = match change {
            Change::Key => self.cache.invalidate(tenant, bytes).await.map(|_| ()),
            Change::Set => self.cache.set(tenant, bytes, item(value)).await.map(|_| ()),
            Change::Tag => self
                .cache
                .invalidate_tags(tenant, [value.tag])
                .await
                .map(|_| ()),
            Change::Cache => self.cache.invalidate_all(tenant).await.map(|_| ()),
            Change::Tenant => {
                let pond = self.millpond.pond().expect("it is embedded");
                let tenant = TenantId::parse(tenant).expect("a valid name");
                pond.invalidate_tenant(&tenant, Invalidation::default());
                Ok(())
            }
        };
        applied.expect("the embedded cache takes every change");
    }

    async fn read(&self, key: Key, load: Load) -> Result<Value, Failed> {
        let load = move || async move { load.await.map(item) };
        let read = self
            .cache
            .get_or_load(key.tenant, key.number.to_be_bytes(), load)
            .await;
        match read {
            Ok(Some(value)) => Ok(decode(&value)),
            Ok(None) => Err(Failed::Cache("absent".to_owned())),
            Err(Error::Load(_) | Error::Failed { .. }) => Err(Failed::Origin),
            Err(error) => Err(Failed::Cache(error.to_string())),
        }
    }
}

fn item(value: Value) -> Item<millpond_client::Bytes> {
    let mut bytes = value.generation.to_be_bytes().to_vec();
    bytes.extend_from_slice(value.tag.as_bytes());
    Item::new(millpond_client::Bytes::from(bytes)).tags([value.tag])
}

fn decode(bytes: &[u8]) -> Value {
    let (generation, tag) = bytes.split_first_chunk::<8>().expect("written by `item`");
    assert_eq!(tag, TAG.as_bytes(), "the origin's one tag");
    let tag = TAG;
    Value {
        generation: u64::from_be_bytes(*generation),
        tag,
    }
}
