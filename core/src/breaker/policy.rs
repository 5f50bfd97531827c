//! When a breaker opens, for how long, and what closes it again: checked once.
//!
//! Rates are whole percents and compared with `≥` in integers.

use std::fmt;
use std::time::Duration;

use super::window::Counted;
use super::word::MAX_PERMITS;
use crate::planted::{Bug, planted};

/// Which outcomes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last so many calls, exactly. 1 to 1 024. All threads count in one place, so
    /// an outcome costs more than in a window of time.
    Count(u32),
    /// The calls of the last so long, in eight slots: what is looked at reaches back
    /// between ⅞ of it and all of it. 100 ms to 1 h.
    Time(Duration),
}

/// How a breaker judges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Default: the last 10 s.
    pub window: Window,
    /// Calls in the window before anything is judged. Default 20; 1 to 1 000 000, and
    /// at most what a window of calls holds.
    pub minimum_calls: u32,
    /// Percent of calls failed at which it opens. Default 50; 1 to 100.
    pub failure_rate: u32,
    /// Percent of calls slow at which it opens. Default 80; 1 to 100.
    pub slow_rate: u32,
    /// A call that takes as long or longer is slow. Default 60 s; 1 ms to 1 h.
    pub slow: Duration,
    /// How long it stays open the first time; doubles with each trial that fails.
    /// Default 5 s; 100 ms to 1 h.
    pub open: Duration,
    /// The longest it stays open. Default 60 s; at least `open`, at most 1 day.
    pub open_max: Duration,
    /// The largest share of the time open that is taken off at random, so that the
    /// sidecars of a fleet do not probe together. Default 0.1; 0 to 0.5.
    pub jitter: f64,
    /// Calls that are tried before it closes again. Default 3; 1 to 63.
    pub probes: u32,
    /// How long the trial may take: whatever was not reported by then is void, and
    /// another trial begins. Default 30 s; 100 ms to 1 h.
    pub half_open_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            window: Window::Time(Duration::from_secs(10)),
            minimum_calls: 20,
            failure_rate: 50,
            slow_rate: 80,
            slow: Duration::from_secs(60),
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            jitter: 0.1,
            probes: 3,
            half_open_timeout: Duration::from_secs(30),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const LEAST: Duration = Duration::from_millis(100);

impl Policy {
    /// The most calls that a window of calls may hold.
    pub const MAX_COUNT: u32 = 1_024;

    /// Checks that the policy makes sense.
    ///
    /// # Errors
    /// All that is wrong with it, a line each.
    pub fn check(&self) -> Result<(), Vec<PolicyError>> {
        let minimum = match self.window {
            Window::Count(calls) => 1..=calls.clamp(1, Self::MAX_COUNT),
            Window::Time(_) => 1..=1_000_000,
        };
        let window = match self.window {
            Window::Count(calls) => (1..=Self::MAX_COUNT).contains(&calls),
            Window::Time(time) => (LEAST..=HOUR).contains(&time),
        };
        let percent = 1..=100;
        let day = 24 * HOUR;
        let rules = [
            (window, "window", "1 to 1024 calls, or 100 ms to 1 h"),
            (
                minimum.contains(&self.minimum_calls),
                "minimum_calls",
                "1 to 1000000, and at most the window's calls",
            ),
            (
                percent.contains(&self.failure_rate),
                "failure_rate",
                "1 to 100 percent",
            ),
            (
                percent.contains(&self.slow_rate),
                "slow_rate",
                "1 to 100 percent",
            ),
            (
                (Duration::from_millis(1)..=HOUR).contains(&self.slow),
                "slow",
                "1 ms to 1 h",
            ),
            ((LEAST..=HOUR).contains(&self.open), "open", "100 ms to 1 h"),
            (
                (self.open..=day).contains(&self.open_max),
                "open_max",
                "at least open, and at most 1 day",
            ),
            (
                (0.0..=0.5).contains(&self.jitter),
                "jitter",
                "a number in [0, 0.5]",
            ),
            (
                (1..=MAX_PERMITS).contains(&self.probes),
                "probes",
                "1 to 63",
            ),
            (
                (LEAST..=HOUR).contains(&self.half_open_timeout),
                "half_open_timeout",
                "100 ms to 1 h",
            ),
        ];
        let wrong: Vec<PolicyError> = rules
            .into_iter()
            .filter(|(holds, ..)| !holds)
            .map(|(_, field, expected)| PolicyError { field, expected })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// How long it stays open, in milliseconds, for the `opens`th time in a row.
    /// `unit` is drawn from `[0, 1)`.
    pub(super) fn open_for(&self, opens: u32, unit: f64) -> u64 {
        let doublings = opens.saturating_sub(1).min(20);
        let whole = millis(self.open).saturating_mul(1 << doublings);
        let whole = whole.min(millis(self.open_max));
        let off = Duration::from_millis(whole).mul_f64(self.jitter * unit);
        whole.saturating_sub(millis(off))
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds {
            minimum: u64::from(self.minimum_calls),
            failures: u64::from(self.failure_rate),
            slow: u64::from(self.slow_rate),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is judged in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    minimum: u64,
    failures: u64,
    slow: u64,
}

impl Thresholds {
    /// In one word: minimum (32) | failures (8) | slow (8).
    pub(super) const fn to_bits(self) -> u64 {
        self.minimum << 16 | self.failures << 8 | self.slow
    }

    pub(super) const fn of_bits(bits: u64) -> Self {
        Self {
            minimum: bits >> 16,
            failures: bits >> 8 & 0xff,
            slow: bits & 0xff,
        }
    }

    /// Whether so much, of so many, opens.
    pub(super) fn met(self, counted: Counted) -> bool {
        let Counted {
            calls,
            failures,
            slow,
        } = counted;
        let enough = calls >= self.minimum;
        if planted(Bug::ThresholdExceeded) {
            return enough && failures * 100 > self.failures * calls;
        }
        enough && self.fails(failures, slow, calls)
    }

    /// How many more failures or slow calls there must be at least before it can be
    /// met, as long as none of the calls counted leaves the window without another in
    /// its place.
    pub(super) fn needed(self, counted: Counted) -> u64 {
        let calls = counted.calls.max(self.minimum);
        let failures = (self.failures * calls).div_ceil(100);
        let slow = (self.slow * calls).div_ceil(100);
        let failures = failures.saturating_sub(counted.failures);
        failures.min(slow.saturating_sub(counted.slow)).max(1)
    }

    /// Whether too many `of` so many failed, or were slow.
    pub(super) const fn fails(self, failures: u64, slow: u64, of: u64) -> bool {
        failures * 100 >= self.failures * of || slow * 100 >= self.slow * of
    }
}

/// A field of a policy that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub expected: &'static str,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.field, self.expected)
    }
}

impl std::error::Error for PolicyError {}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_in_a_policy_is_named_at_once() {
        let wrong = Policy {
            window: Window::Count(0),
            minimum_calls: 0,
            failure_rate: 0,
            slow_rate: 101,
            slow: Duration::ZERO,
            open: Duration::from_millis(99),
            open_max: Duration::MAX,
            jitter: f64::NAN,
            probes: 64,
            half_open_timeout: Duration::MAX,
        };
        let wrong = wrong.check().expect_err("it is wrong");
        let fields: Vec<_> = wrong.iter().map(|error| error.field).collect();
        let all = [
            "window",
            "minimum_calls",
            "failure_rate",
            "slow_rate",
            "slow",
            "open",
            "open_max",
            "jitter",
            "probes",
            "half_open_timeout",
        ];
        assert_eq!(fields, all);
        assert_eq!(Policy::default().check(), Ok(()));
        let more_than_held = Policy {
            window: Window::Count(10),
            ..Policy::default()
        };
        let wrong = more_than_held.check().expect_err("20 of 10");
        assert_eq!(wrong[0].field, "minimum_calls");
    }

    #[test]
    fn the_time_open_doubles_to_the_cap_and_jitter_only_takes_off() {
        let policy = Policy::default();
        let seconds = [1, 2, 3, 4, 5, 6, 99, u32::MAX].map(|opens| policy.open_for(opens, 0.0));
        let expected = [5, 10, 20, 40, 60, 60, 60, 60].map(|seconds| seconds * 1_000);
        assert_eq!(seconds, expected);
        assert_eq!(policy.open_for(1, 0.5), 4_750);
        let least = policy.open_for(1, 1.0 - f64::EPSILON);
        assert!((4_500..=4_505).contains(&least), "{least}");
    }

    #[test]
    fn what_is_needed_is_never_more_than_what_it_takes() {
        let counts = (0..40_u64).flat_map(|calls| (0..=calls).map(move |bad| (calls, bad)));
        for (calls, failures) in counts {
            for rate in [1, 33, 50, 99, 100] {
                let thresholds = Thresholds {
                    minimum: 20,
                    failures: rate,
                    slow: 100,
                };
                let at = |more: u64| Counted {
                    calls: calls.max(20).max(calls + more),
                    failures: failures + more,
                    slow: 0,
                };
                let needed = thresholds.needed(Counted {
                    calls,
                    failures,
                    slow: 0,
                });
                for more in 1..needed {
                    assert!(!thresholds.met(at(more)), "{failures} of {calls}, {more}");
                }
            }
        }
    }

    #[test]
    fn thresholds_are_kept_in_one_word() {
        let thresholds = Policy::default().thresholds();
        assert_eq!(Thresholds::of_bits(thresholds.to_bits()), thresholds);
    }
}
