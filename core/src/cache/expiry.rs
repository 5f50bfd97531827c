//! When an entry is fresh, stale, usable on error, or gone: pure functions of
//! time. No clock, no atomics.

use std::time::Duration;

use super::policy::{Policy, Times};
use crate::clock::Time;

/// The shortest wait after a failed refresh.
pub const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after failed refreshes, before jitter.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Beyond this many multiples of β·Δ the chance of an early refresh is below
/// e^-20: not worth a logarithm.
const EARLY_HORIZON: f64 = 20.0;

/// Where an entry stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Answer.
    Fresh,
    /// Answer, and refresh behind the answer.
    Stale,
    /// Answer only when loading fails, is refused or times out.
    OnError,
    /// Never answer.
    Gone,
}

/// The three deadlines of an entry: `fresh <= stale <= error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    fresh: Time,
    stale: Time,
    error: Time,
}

impl Deadlines {
    /// For a value stored at `now`. `unit` in `[0, 1)` decides the jitter, which
    /// only ever shortens.
    #[must_use]
    pub fn for_value(now: Time, policy: &Policy, times: Times, unit: f64) -> Self {
        let fresh = times.fresh.unwrap_or(policy.fresh).min(Policy::MAX_TIME);
        let fresh = fresh.mul_f64((1.0 - policy.jitter * unit).clamp(0.0, 1.0));
        let stale = times.stale.unwrap_or(policy.stale).min(Policy::MAX_TIME);
        let error = times
            .stale_if_error
            .unwrap_or(policy.stale_if_error)
            .min(Policy::MAX_TIME);
        let fresh = now.after(fresh);
        let stale = fresh.after(stale);
        Self {
            fresh,
            stale,
            error: stale.after(error),
        }
    }

    /// For "there is no such thing", which has no stale time.
    #[must_use]
    pub fn for_absence(now: Time, policy: &Policy, times: Times) -> Self {
        let until = now.after(times.fresh.unwrap_or(policy.negative).min(Policy::MAX_TIME));
        Self {
            fresh: until,
            stale: until,
            error: until,
        }
    }

    /// No deadline after `end`.
    #[must_use]
    pub fn capped(self, end: Time) -> Self {
        Self {
            fresh: self.fresh.min(end),
            stale: self.stale.min(end),
            error: self.error.min(end),
        }
    }

    /// Stale at once, gone when it would have been. Not "stale from now on": a
    /// reader's clock may lag behind the writer's by a tick.
    #[must_use]
    pub fn made_stale(self) -> Self {
        Self {
            fresh: Time::ZERO,
            ..self
        }
    }

    /// From the times left at `now`, in the order fresh, stale, error.
    #[must_use]
    pub fn from_left(now: Time, left: [Duration; 3]) -> Self {
        let [fresh, stale, error] = left.map(|left| now.after(left.min(Policy::MAX_TIME * 3)));
        let stale = stale.max(fresh);
        Self {
            fresh,
            stale,
            error: error.max(stale),
        }
    }

    /// The times left at `now`, in the order fresh, stale, error.
    #[must_use]
    pub fn left(&self, now: Time) -> [Duration; 3] {
        [self.fresh, self.stale, self.error].map(|end| end.since(now))
    }

    /// The phase at `now`. A soft invalidation makes what is fresh stale.
    #[inline]
    #[must_use]
    pub fn phase(&self, now: Time, softened: bool) -> Phase {
        if now < self.fresh && !softened {
            Phase::Fresh
        } else if now < self.stale {
            Phase::Stale
        } else if now < self.error {
            Phase::OnError
        } else {
            Phase::Gone
        }
    }

    /// When the entry stops being fresh.
    #[must_use]
    pub fn fresh_until(&self) -> Time {
        self.fresh
    }

    /// When the entry is gone.
    #[must_use]
    pub fn gone_at(&self) -> Time {
        self.error
    }
}

/// Whether to refresh a fresh entry early: XFetch's `now − Δ·β·ln(unit) ≥ expiry`.
#[must_use]
pub fn refresh_early(
    now: Time,
    fresh_until: Time,
    load_time: Duration,
    beta: f64,
    unit: impl FnOnce() -> f64,
) -> bool {
    let scale = load_time.as_secs_f64() * beta;
    let left = fresh_until.since(now).as_secs_f64();
    if scale <= 0.0 || left > scale * EARLY_HORIZON {
        return false;
    }
    // `1 − unit` is in (0, 1], so the logarithm is finite.
    -(1.0 - unit()).ln() * scale >= left
}

/// How long to wait after the `failures`-th failed refresh in a row (from 1):
/// doubling, at least [`MIN_BACKOFF`] and what the origin asked for, spread over
/// half as much again.
#[must_use]
pub fn backoff(failures: u32, asked: Option<Duration>, unit: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = MIN_BACKOFF.saturating_mul(1 << doublings).min(MAX_BACKOFF);
    wait.max(asked.unwrap_or_default().min(Policy::MAX_TIME))
        .mul_f64(1.0 + unit / 2.0)
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
