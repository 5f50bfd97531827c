//! A clock that tests move by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Time;

/// A clock shared by its clones that stands still until it is moved.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    // std's atomic even under loom: the models hold time still.
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn starting_at(start: Time) -> Self {
        Self {
            nanos: Arc::new(AtomicU64::new(start.as_nanos())),
        }
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let to = self.now().after(by);
        self.nanos.store(to.as_nanos(), Ordering::SeqCst);
    }

    /// Moves the clock back, as no clock should.
    pub fn retreat(&self, by: Duration) {
        let to = self.now().before(by);
        self.nanos.store(to.as_nanos(), Ordering::SeqCst);
    }
}
