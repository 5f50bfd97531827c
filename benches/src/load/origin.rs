//! Where the load's values come from: counts its loads, takes its time, and stamps
//! what it returns.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millpond_client::{Item, Times};

use super::plan::Origin;
use super::value::Stamp;
use crate::stopwatch::Stopwatch;

/// An origin at work.
#[derive(Debug)]
pub(super) struct Loading {
    watch: Stopwatch,
    /// Relaxed: a count; a value that carries a number was made after it was counted.
    loads: AtomicU64,
    origin: Origin,
}

impl Loading {
    pub(super) fn new(origin: Origin, watch: Stopwatch) -> Arc<Self> {
        Arc::new(Self {
            watch,
            loads: AtomicU64::new(0),
            origin,
        })
    }

    /// Loads begun until now.
    pub(super) fn loads(&self) -> u64 {
        self.loads.load(Relaxed)
    }

    pub(super) fn value_bytes(&self) -> usize {
        self.origin.value_bytes
    }

    pub(super) async fn load(&self, key: u64) -> Result<Item, Infallible> {
        let load = self.loads.fetch_add(1, Relaxed) + 1;
        let began = self.watch.elapsed();
        if !self.origin.delay.is_zero() {
            tokio::time::sleep(self.origin.delay).await;
        }
        let stamp = Stamp {
            key,
            load,
            began,
            ended: self.watch.elapsed(),
        };
        let value = stamp.encode(self.origin.value_bytes);
        Ok(Item::new(value).times(Times {
            fresh: Some(self.origin.fresh),
            stale: Some(self.origin.stale),
            stale_if_error: None,
        }))
    }
}
