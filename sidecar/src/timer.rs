//! Waiting for a point of core's time on tokio's clock.
//!
//! Both count `CLOCK_MONOTONIC`, from different origins. Tokio's timer steps in
//! milliseconds and rounds up, so a sleep may end late by one step and never
//! before its time.

use millpond_core::cache::lookup;
use millpond_core::clock::{Clock, Time};
use tokio::time::Instant;

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
        // A time too far for tokio to name never comes, as `Time::FAR` does not.
        match Instant::now().checked_add(left) {
            Some(at_tokio) if at != Time::FAR => tokio::time::sleep_until(at_tokio).await,
            _ => std::future::pending().await,
        }
    }
}
