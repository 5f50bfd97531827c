//! The caches that every team writes first.
//!
//! They are not strawmen: each is what one finds in services, and right on a quiet
//! day. [`Ttl`] is a map with expiries: look, load on a miss, store what was loaded.
//! [`SingleFlight`] adds the usual cure for herds, a mark "being loaded" that others
//! wait for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::origin::{Down, Origin, Stamp};

#[derive(Clone, Copy, Debug)]
struct Kept {
    stamp: Stamp,
    until: Instant,
}

impl Kept {
    fn new(stamp: Stamp, ttl: Duration) -> Self {
        Self {
            stamp,
            until: Instant::now() + ttl,
        }
    }

    fn fresh(self) -> Option<Stamp> {
        (Instant::now() < self.until).then_some(self.stamp)
    }
}

/// A map and expiries.
#[derive(Debug, Default)]
pub(super) struct Ttl {
    entries: Mutex<HashMap<String, Kept>>,
}

impl Ttl {
    pub(super) async fn get(
        &self,
        key: &str,
        origin: &Origin,
        ttl: Duration,
    ) -> Result<Stamp, Down> {
        let held = self.entries.lock().await.get(key).copied();
        if let Some(stamp) = held.and_then(Kept::fresh) {
            return Ok(stamp);
        }
        let stamp = origin.load(key).await?;
        let kept = Kept::new(stamp, ttl);
        self.entries.lock().await.insert(key.to_owned(), kept);
        Ok(stamp)
    }

    pub(super) async fn invalidate(&self, key: &str) {
        self.entries.lock().await.remove(key);
    }
}

#[derive(Debug)]
enum Slot {
    Kept(Kept),
    Loading(Arc<Notify>),
}

/// A map, expiries, and a mark for what is being loaded.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    slots: Mutex<HashMap<String, Slot>>,
    /// Reads that waited for another's load. Relaxed: a count.
    waited: AtomicU64,
}

impl SingleFlight {
    pub(super) async fn get(
        &self,
        key: &str,
        origin: &Origin,
        ttl: Duration,
    ) -> Result<Stamp, Down> {
        loop {
            let mut slots = self.slots.lock().await;
            let ended = match slots.get(key) {
                Some(Slot::Kept(kept)) => match kept.fresh() {
                    Some(stamp) => return Ok(stamp),
                    None => None,
                },
                // Made under the lock, so that no wake-up is lost.
                Some(Slot::Loading(loading)) => Some(Arc::clone(loading).notified_owned()),
                None => None,
            };
            let Some(ended) = ended else {
                let loading = Slot::Loading(Arc::default());
                slots.insert(key.to_owned(), loading);
                break;
            };
            drop(slots);
            self.waited.fetch_add(1, Relaxed);
            ended.await;
        }
        // Here is the flaw: who is cancelled in this await leaves the mark behind.
        let loaded = origin.load(key).await;
        let mut slots = self.slots.lock().await;
        let kept = loaded.ok().map(|stamp| Slot::Kept(Kept::new(stamp, ttl)));
        let mark = match kept {
            Some(kept) => slots.insert(key.to_owned(), kept),
            None => slots.remove(key),
        };
        if let Some(Slot::Loading(loading)) = mark {
            loading.notify_waiters();
        }
        loaded
    }

    pub(super) async fn invalidate(&self, key: &str) {
        let mut slots = self.slots.lock().await;
        if let Some(Slot::Kept(_)) = slots.get(key) {
            slots.remove(key);
        }
    }

    pub(super) fn waited(&self) -> u64 {
        self.waited.load(Relaxed)
    }
}
