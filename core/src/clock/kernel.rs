//! Readings of the kernel's clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::Time;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

fn nanos(reading: Timespec) -> u64 {
    // The kernel's monotonic and real-time clocks are never negative.
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(reading.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(NANOS_PER_SECOND)
        .saturating_add(nanos)
}

/// `CLOCK_MONOTONIC_COARSE`: the time of the last tick, without reading the TSC.
#[inline]
pub(super) fn coarse() -> Time {
    Time::from_nanos(nanos(clock_gettime(ClockId::MonotonicCoarse)))
}

pub(super) fn precise() -> Time {
    Time::from_nanos(nanos(clock_gettime(ClockId::Monotonic)))
}

pub(super) fn wall_micros() -> u64 {
    nanos(clock_gettime(ClockId::Realtime)) / 1_000
}
