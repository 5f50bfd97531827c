//! Time, as an argument.
//!
//! Every decision in this crate takes a [`Time`] read from one [`Clock`]. The
//! kernel's clock runs on whether or not the process does, so a process that was
//! stopped for a minute finds its rights gone; the manual clock moves only by
//! hand, so tests never sleep.
//!
//! Two readings: [`Clock::now`] is for the read path and may lag by one kernel
//! tick (at most 4 ms on common configurations, about 2 ns to read);
//! [`Clock::precise`] is for durations and deadlines that a timer wakes up for
//! (about 25 ns). Both count from the same origin and `now() <= precise()`.

mod kernel;
mod manual;

use std::time::Duration;

pub use manual::ManualClock;

/// A point in time: nanoseconds since the clock's own origin. Never wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);
    /// Later than any time a clock can show.
    pub const FAR: Self = Self(u64::MAX);

    /// `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This much earlier, at least [`Time::ZERO`].
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// This much later, at most [`Time::FAR`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// Where time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The kernel's monotonic clock.
    Kernel,
    /// A clock that a test moves.
    Manual(ManualClock),
}

impl Clock {
    /// The time, at most one kernel tick late. For the read path.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Time {
        match self {
            Self::Kernel => kernel::coarse(),
            Self::Manual(manual) => manual.now(),
        }
    }

    /// How far [`Clock::now`] may lag behind [`Clock::precise`].
    #[must_use]
    pub fn lag(&self) -> Duration {
        match self {
            // A tick of the slowest kernel in use, 100 Hz.
            Self::Kernel => Duration::from_millis(10),
            Self::Manual(_) => Duration::ZERO,
        }
    }

    /// The time to the nanosecond. For durations and timers.
    #[must_use]
    pub fn precise(&self) -> Time {
        match self {
            Self::Kernel => kernel::precise(),
            Self::Manual(manual) => manual.now(),
        }
    }

    /// Microseconds since the Unix epoch, for versions only.
    #[must_use]
    pub fn wall_micros(&self) -> u64 {
        match self {
            Self::Kernel => kernel::wall_micros(),
            Self::Manual(manual) => manual.now().as_nanos() / 1_000,
        }
    }
}
