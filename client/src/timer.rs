//! Waiting on the core's clock with tokio's timer.
//!
//! The core counts from an origin of its own, so a point in time becomes the
//! duration left until it, read at the moment of waiting. Tokio rounds up to its
//! next millisecond: late, never early, as the core asks. On a clock that is
//! moved by hand the duration passes in real time and the core looks again.

use std::time::Duration;

use millpond_core::cache::lookup;
use millpond_core::clock::{Clock, Time};

/// Further than tokio's timer reaches.
const BEYOND: Duration = Duration::from_secs(365 * 24 * 3_600);

#[derive(Clone, Debug)]
pub(crate) struct Timer {
    clock: Clock,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl lookup::Timer for Timer {
    async fn sleep_until(&self, at: Time) {
        let left = at.since(self.clock.precise());
        if left > BEYOND {
            std::future::pending().await
        } else {
            tokio::time::sleep(left).await;
        }
    }
}
