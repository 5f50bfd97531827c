//! A cache under demonstration: one of the naive ones, or ours.

use std::sync::Arc;
use std::time::Duration;

use millpond_client::{Item, TenantCache, Times};
use millpond_core::cache::Pond;

use super::naive::{SingleFlight, Ttl};
use super::origin::{Down, Origin, Stamp};

/// What a read brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) stamp: Stamp,
    /// The cache says that it is past its freshness.
    pub(super) stale: bool,
}

/// How long values live. A naive cache knows the first only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lives {
    pub(super) fresh: Duration,
    pub(super) stale: Duration,
    pub(super) stale_if_error: Duration,
}

impl Lives {
    pub(super) fn fresh(fresh: Duration) -> Self {
        Self {
            fresh,
            stale: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }
}

/// A cache, and what is behind it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    kind: Kind,
    pub(super) origin: Arc<Origin>,
    lives: Lives,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Ttl(Arc<Ttl>),
    SingleFlight(Arc<SingleFlight>),
    /// Over the wire; the pond beside it tells what it counted.
    Millpond(TenantCache, Arc<Pond>),
}

impl Subject {
    pub(super) fn new(kind: Kind, origin: Arc<Origin>, lives: Lives) -> Self {
        Self {
            kind,
            origin,
            lives,
        }
    }

    /// The same data and the same counts behind another connection.
    pub(super) fn over(&self, cache: TenantCache) -> Self {
        let kind = match &self.kind {
            Kind::Millpond(_, pond) => Kind::Millpond(cache, Arc::clone(pond)),
            other => other.clone(),
        };
        Self {
            kind,
            ..self.clone()
        }
    }

    /// Whether it is reached over a connection.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.kind, Kind::Millpond(..))
    }

    /// The value under `key`, from the cache or through the origin.
    pub(super) async fn get(&self, key: &str) -> Result<Read, String> {
        let read = |stamp| Read {
            stamp,
            stale: false,
        };
        match &self.kind {
            Kind::Ttl(cache) => {
                let got = cache.get(key, &self.origin, self.lives.fresh).await;
                got.map(read).map_err(|error| error.to_string())
            }
            Kind::SingleFlight(cache) => {
                let got = cache.get(key, &self.origin, self.lives.fresh).await;
                got.map(read).map_err(|error| error.to_string())
            }
            Kind::Millpond(cache, _) => {
                let value = cache.get_or_load(key, self.loader(key)).await;
                let value = value.map_err(|error| error.to_string())?;
                let value = value.ok_or("the value is said to be absent")?;
                let stamp = Stamp::decode(&value).ok_or("the value is not the origin's")?;
                let stale = value.stale().is_some();
                Ok(Read { stamp, stale })
            }
        }
    }

    fn loader(
        &self,
        key: &str,
    ) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<Item, Down>> + Send>>
    + Send
    + 'static {
        let (origin, key) = (Arc::clone(&self.origin), key.to_owned());
        let times = Times {
            fresh: Some(self.lives.fresh),
            stale: Some(self.lives.stale),
            stale_if_error: Some(self.lives.stale_if_error),
        };
        move || {
            Box::pin(async move {
                let stamp = origin.load(&key).await?;
                Ok(Item::from(stamp.encode()).times(times))
            })
        }
    }

    pub(super) async fn invalidate(&self, key: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Ttl(cache) => cache.invalidate(key).await,
            Kind::SingleFlight(cache) => cache.invalidate(key).await,
            Kind::Millpond(cache, _) => {
                let done = cache.invalidate(key).await;
                done.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Reads that have waited for another's load, over all acts.
    pub(super) fn waited(&self) -> u64 {
        match &self.kind {
            Kind::Ttl(_) => 0,
            Kind::SingleFlight(cache) => cache.waited(),
            Kind::Millpond(_, pond) => pond.totals().coalesced,
        }
    }
}
