//! What lies in the cache: read by the other, and removed by the other's word.

use bytes::Bytes;
use millpond_proto::v1::get_reply::Found;
use millpond_proto::v1::invalidate_request::Target;
use millpond_proto::v1::{
    GetManyRequest, GetRequest, InvalidateRequest, KeyRequest, Load, SetRequest, Tags,
};

use super::{Canary, Outcome, TRIES, Told, Untold, Who, leak, skipped};

const ONLY_A: Bytes = Bytes::from_static(b"only-a");
const BOTH: Bytes = Bytes::from_static(b"both");
const TAG: &str = "canary";

pub(super) fn by_tag() -> Target {
    Target::Tags(Tags {
        tags: vec![TAG.to_owned()],
    })
}

pub(super) fn whole_cache() -> Target {
    Target::WholeCache(true)
}

impl Canary {
    async fn set(&mut self, who: Who, key: Bytes) -> Result<(), Untold> {
        let set = SetRequest {
            tenant: self.tenant(who),
            cache: self.names.cache.clone(),
            key,
            value: who.secret(),
            tags: vec![TAG.to_owned()],
            ..SetRequest::default()
        };
        let set = self.patiently(set);
        self.cache.set(set).await?;
        Ok(())
    }

    async fn held(&mut self, who: Who, key: Bytes) -> Result<Option<Bytes>, Untold> {
        let get = GetRequest {
            tenant: self.tenant(who),
            cache: self.names.cache.clone(),
            key,
            load: Load::Never.into(),
            ..GetRequest::default()
        };
        let get = self.patiently(get);
        let reply = self.cache.get(get).await?.into_inner();
        Ok(value(reply.found))
    }

    async fn held_of_many(&mut self, who: Who) -> Result<Vec<Option<Bytes>>, Untold> {
        let many = GetManyRequest {
            tenant: self.tenant(who),
            cache: self.names.cache.clone(),
            keys: [ONLY_A, BOTH]
                .map(|key| KeyRequest {
                    key,
                    min_version: Bytes::new(),
                })
                .to_vec(),
            load: Load::Never.into(),
            ..GetManyRequest::default()
        };
        let many = self.patiently(many);
        let entries = self.cache.get_many(many).await?.into_inner().entries;
        Ok(entries
            .into_iter()
            .map(|entry| value(entry.found))
            .collect())
    }

    pub(super) async fn keys(&mut self) -> Told {
        self.set(Who::A, ONLY_A).await?;
        self.set(Who::B, BOTH).await?;
        self.set(Who::A, BOTH).await?;
        // What is not kept at all tells nothing.
        if self.held(Who::A, BOTH).await?.is_none() {
            return skipped("the cache keeps nothing now");
        }
        if self.held(Who::B, ONLY_A).await?.is_some() {
            return leak("b reads a value of a key that only a has written");
        }
        let many = self.held_of_many(Who::B).await?;
        if many.first().is_none_or(Option::is_some) {
            return leak("b reads a value, among many keys, of one that only a has written");
        }
        let of_b = [
            self.held(Who::B, BOTH).await?,
            many.into_iter().nth(1).flatten(),
        ];
        if of_b.iter().flatten().any(|value| !is_of(Who::B, value)) {
            return leak("b reads what a has written under the same key");
        }
        let of_a = self.held(Who::A, BOTH).await?;
        if of_a.is_some_and(|value| !is_of(Who::A, &value)) {
            return leak("a reads what b has written under the same key");
        }
        Ok(Outcome::Passed)
    }

    /// B removes its own under a name that A's entries have too.
    pub(super) async fn invalidations(&mut self, target: Target) -> Told {
        for _ in 0..TRIES {
            self.set(Who::A, BOTH).await?;
            if self.held(Who::A, BOTH).await?.is_none() {
                return skipped("the cache keeps nothing now");
            }
            self.set(Who::B, BOTH).await?;
            let removed = InvalidateRequest {
                tenant: self.tenant(Who::B),
                cache: self.names.cache.clone(),
                target: Some(target.clone()),
                ..InvalidateRequest::default()
            };
            let removed = self.patiently(removed);
            self.cache.invalidate(removed).await?;
            if self.held(Who::A, BOTH).await?.is_some() {
                return Ok(Outcome::Passed);
            }
        }
        leak("what a has written is gone when b invalidates its own")
    }
}

fn value(found: Option<Found>) -> Option<Bytes> {
    match found {
        Some(Found::Value(value)) => Some(value),
        _ => None,
    }
}

fn is_of(who: Who, value: &[u8]) -> bool {
    value.starts_with(who.mark())
}
