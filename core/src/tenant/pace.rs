//! A rate and a burst as settings say them: each by itself, or not at all.

use std::fmt;
use std::time::Duration;

use crate::limit::{BadQuota, Quota};

/// How fast tokens come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Nothing is counted.
    Unlimited,
    /// So many in each period.
    Of {
        /// Tokens.
        amount: u64,
        /// In which they come back.
        period: Duration,
    },
}

/// A rate and a burst, each said or not: a tenant may have its tier's rate and a
/// burst of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pace {
    /// Unless it is said anywhere, nothing is counted.
    pub rate: Option<Rate>,
    /// Unless it is said anywhere, the amount of the rate: at most as many at once as
    /// come back in its period.
    pub burst: Option<u64>,
}

impl Pace {
    /// Both.
    #[must_use]
    pub const fn of(amount: u64, period: Duration, burst: u64) -> Self {
        Self {
            rate: Some(Rate::Of { amount, period }),
            burst: Some(burst),
        }
    }

    /// No limit, whatever the tier has.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            rate: Some(Rate::Unlimited),
            burst: None,
        }
    }

    /// The quota it makes; `None` is unlimited.
    ///
    /// # Errors
    /// When it makes none.
    pub fn quota(self) -> Result<Option<Quota>, BadPace> {
        match (self.rate, self.burst) {
            (None, Some(_)) => Err(BadPace::BurstWithoutRate),
            (None | Some(Rate::Unlimited), _) => Ok(None),
            (Some(Rate::Of { amount, period }), burst) => {
                Quota::new(amount, period, burst.unwrap_or(amount))
                    .map(Some)
                    .map_err(BadPace::Quota)
            }
        }
    }

    pub(super) fn over(self, base: Self) -> Self {
        Self {
            rate: self.rate.or(base.rate),
            burst: self.burst.or(base.burst),
        }
    }
}

impl From<Quota> for Pace {
    fn from(quota: Quota) -> Self {
        Self::of(quota.amount(), quota.period(), quota.burst())
    }
}

/// A rate and a burst that make no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadPace {
    /// Of no rate.
    BurstWithoutRate,
    /// They are out of bounds.
    Quota(BadQuota),
}

impl BadPace {
    /// Whether it is the burst that is to be mended, and not the rate.
    #[must_use]
    pub const fn is_burst(self) -> bool {
        matches!(
            self,
            Self::BurstWithoutRate | Self::Quota(BadQuota::NoBurst | BadQuota::TooSlow)
        )
    }
}

impl fmt::Display for BadPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BurstWithoutRate => f.write_str("a burst without a rate"),
            Self::Quota(wrong) => wrong.fmt(f),
        }
    }
}
