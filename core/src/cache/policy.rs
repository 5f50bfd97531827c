//! What a cache promises about age: the policy of a declared cache, the bare
//! minimum of an undeclared one, and the times a call may override.

use std::fmt;
use std::time::Duration;

/// How a cache treats its entries.
///
/// ```text
///  stored        fresh_until            stale_until                 error_until
///    |── fresh ──────|── stale ──────────────|── stale if error ─────────|  gone
///      answer           answer at once,         answer only when the load
///                       one refresh behind it   fails, is refused or times out
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How long a value is answered without a thought. Default 30 s.
    pub fresh: Duration,
    /// How long after that it is answered while one caller refreshes it
    /// (RFC 5861 `stale-while-revalidate`). Default 60 s; 0 when undeclared.
    pub stale: Duration,
    /// How long after that it is answered when loading fails (RFC 5861
    /// `stale-if-error`). Default 5 min; 0 when undeclared.
    pub stale_if_error: Duration,
    /// The largest share of `fresh` taken off at random, so that entries stored
    /// together do not expire together. In `[0, 1)`. Default 0.1.
    pub jitter: f64,
    /// XFetch's β: above 0, a fresh entry is refreshed early with a probability
    /// that rises as expiry nears and with its load time (Vattani, Chierichetti,
    /// Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
    /// 1 is the paper's choice; 0, the default, is off.
    pub early_refresh: f64,
    /// How long "there is no such thing" is remembered. Default 5 s; 0 when
    /// undeclared.
    pub negative: Duration,
    /// The largest value that is kept, in bytes. Default 1 MiB. A larger one is
    /// handed to those who wait for it and not stored.
    pub max_value: usize,
    /// How long one caller may load a key alone. Default 10 s.
    pub lease: Duration,
    /// How long after its beginning a load may still be stored. Default 60 s.
    /// Each load that is never settled costs about 300 bytes for so long.
    pub max_load: Duration,
    /// What the cache does with reads, unless an operator switched it
    /// ([`Pond::switch`](super::Pond::switch)). Default [`Mode::On`].
    pub mode: Mode,
}

impl Policy {
    /// The longest time any field may hold: 30 days.
    pub const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// The defaults of a cache that somebody declared.
    #[must_use]
    pub fn declared() -> Self {
        Self {
            fresh: Duration::from_secs(30),
            stale: Duration::from_secs(60),
            stale_if_error: Duration::from_secs(300),
            jitter: 0.1,
            early_refresh: 0.0,
            negative: Duration::from_secs(5),
            max_value: 1 << 20,
            lease: Duration::from_secs(10),
            max_load: Duration::from_secs(60),
            mode: Mode::On,
        }
    }

    /// The policy of a cache that nobody declared: fresh or not at all, so that
    /// nobody finds revoked permissions served for minutes by surprise.
    #[must_use]
    pub fn undeclared() -> Self {
        Self {
            stale: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative: Duration::ZERO,
            ..Self::declared()
        }
    }

    /// Checks that the policy makes sense.
    ///
    /// # Errors
    /// All that is wrong with it, a line each.
    pub fn check(&self) -> Result<(), Vec<PolicyError>> {
        let mut wrong = Vec::new();
        for (field, time) in [
            ("fresh", self.fresh),
            ("stale", self.stale),
            ("stale_if_error", self.stale_if_error),
            ("negative", self.negative),
            ("lease", self.lease),
            ("max_load", self.max_load),
        ] {
            if time > Self::MAX_TIME {
                wrong.push(PolicyError {
                    field,
                    expected: "at most 30 days",
                });
            }
        }
        if !(0.0..1.0).contains(&self.jitter) {
            wrong.push(PolicyError {
                field: "jitter",
                expected: "a number in [0, 1)",
            });
        }
        if !(0.0..=100.0).contains(&self.early_refresh) {
            wrong.push(PolicyError {
                field: "early_refresh",
                expected: "a number in [0, 100]",
            });
        }
        if self.lease.is_zero() {
            wrong.push(PolicyError {
                field: "lease",
                expected: "more than 0",
            });
        }
        if self.max_load < self.lease {
            wrong.push(PolicyError {
                field: "max_load",
                expected: "at least lease",
            });
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
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

/// Times that a call may set for its own value. `None` takes the policy's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Instead of the policy's `fresh`, or `negative` when nothing was found.
    pub fresh: Option<Duration>,
    /// Instead of the policy's `stale`.
    pub stale: Option<Duration>,
    /// Instead of the policy's `stale_if_error`.
    pub stale_if_error: Option<Duration>,
}

/// What the cache does with reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Answers them.
    #[default]
    On,
    /// Runs the whole protocol, lets every caller load all the same, compares
    /// what they loaded with what would have been served, and counts mismatches.
    Observe,
    /// Answers none: the kill switch. Writes and invalidations still take effect,
    /// so that switching it on again is safe.
    Bypass,
}

impl Mode {
    pub(crate) fn word(self) -> u32 {
        match self {
            Self::On => 0,
            Self::Observe => 1,
            Self::Bypass => 2,
        }
    }

    #[inline]
    pub(crate) fn of_word(word: u32) -> Self {
        match word {
            0 => Self::On,
            1 => Self::Observe,
            _ => Self::Bypass,
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_in_a_policy_is_named_at_once() {
        let policy = Policy {
            jitter: 1.0,
            early_refresh: f64::NAN,
            lease: Duration::ZERO,
            fresh: Duration::MAX,
            ..Policy::declared()
        };
        let fields: Vec<_> = policy
            .check()
            .expect_err("it is wrong")
            .iter()
            .map(|error| error.field)
            .collect();
        assert_eq!(fields, ["fresh", "jitter", "early_refresh", "lease"]);
        assert_eq!(Policy::declared().check(), Ok(()));
        assert_eq!(Policy::undeclared().check(), Ok(()));
    }
}
