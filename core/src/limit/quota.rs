//! How much may be spent: a rate and a burst, checked once.
//!
//! A [`Quota`] is kept as what the arithmetic needs, the time one token takes to
//! come back and the time the whole burst takes, both in [`Ticks`] of 1/16 ns. A
//! token's time is rounded up, so a rate is never exceeded; at the fastest rate
//! that may be said it is kept to 0.7 %, at a million a second to 0.007 %.
//!
//! Bounds: a rate of at most [`Quota::MAX_PER_SECOND`], a burst that refills in at
//! most [`Quota::MAX_REFILL`]. Within them no sum in `gcra` overflows.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::clock::Time;

/// Time as buckets count it: 1/16 ns, so that a token's time keeps its fraction.
/// A point in time counts from an origin that the holder of the bucket chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub(crate) u64);

/// In a nanosecond.
pub(crate) const TICKS_A_NANO: u64 = 16;

impl Ticks {
    /// None.
    pub const ZERO: Self = Self(0);

    /// The last point in time that a bucket can hold: 9 years after the origin. One less
    /// than 62 bits hold, so that a word of it, waited for and sealed, is not a pending one.
    pub(crate) const END: Self = Self((1 << 62) - 2);

    /// As many as a duration has; capped at the last point in time.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(nanos.saturating_mul(TICKS_A_NANO)).min(Self::END)
    }

    /// From `origin` to `time`.
    #[inline]
    #[must_use]
    pub fn between(origin: Time, time: Time) -> Self {
        let nanos = time.as_nanos().saturating_sub(origin.as_nanos());
        Self(nanos.saturating_mul(TICKS_A_NANO)).min(Self::END)
    }

    /// As a duration, rounded up to the nanosecond.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        Duration::from_nanos(self.0.div_ceil(TICKS_A_NANO))
    }

    pub(crate) fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0)).min(Self::END)
    }

    pub(crate) const fn minus(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }

    /// This many times over.
    pub(crate) fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count)).min(Self::END)
    }

    /// What `self` is in the measure of `to` when it was counted in that of `from`:
    /// `self · to / from`, rounded up, so that a debt is never rounded away.
    pub(crate) fn rescaled(self, from: Self, to: Self) -> Self {
        if from == to {
            return self;
        }
        let scaled = (u128::from(self.0) * u128::from(to.0)).div_ceil(u128::from(from.0.max(1)));
        Self(u64::try_from(scaled).unwrap_or(u64::MAX)).min(Self::END)
    }
}

/// A token bucket's rate and size.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    amount: NonZeroU64,
    period: Duration,
    burst: u64,
    /// The time one token takes to come back.
    interval: u64,
    /// The time all of the burst takes to come back.
    tolerance: u64,
}

impl Quota {
    /// The fastest rate, in tokens a second.
    pub const MAX_PER_SECOND: u64 = 100_000_000;

    /// The longest a bucket may take to fill.
    pub const MAX_REFILL: Duration = Duration::from_secs(366 * 24 * 3_600);

    /// `amount` tokens come back in each `period`, and at most `burst` are kept.
    ///
    /// # Errors
    /// When one of them is zero, the rate is above [`Self::MAX_PER_SECOND`], or the
    /// burst takes longer than [`Self::MAX_REFILL`] to come back.
    pub fn new(amount: u64, period: Duration, burst: u64) -> Result<Self, BadQuota> {
        let amount = NonZeroU64::new(amount).ok_or(BadQuota::NoRate)?;
        if period.is_zero() {
            return Err(BadQuota::NoPeriod);
        }
        if burst == 0 {
            return Err(BadQuota::NoBurst);
        }
        let period_ticks = period.as_nanos() * u128::from(TICKS_A_NANO);
        let second = u128::from(TICKS_A_NANO) * 1_000_000_000;
        if u128::from(amount.get()) * second > u128::from(Self::MAX_PER_SECOND) * period_ticks {
            return Err(BadQuota::TooFast);
        }
        let interval = period_ticks.div_ceil(u128::from(amount.get()));
        let tolerance = interval.saturating_mul(u128::from(burst));
        if tolerance > u128::from(Ticks::of(Self::MAX_REFILL).0) {
            return Err(BadQuota::TooSlow);
        }
        let fits = "both are at most the longest refill, which fits";
        Ok(Self {
            amount,
            period,
            burst,
            interval: u64::try_from(interval).expect(fits),
            tolerance: u64::try_from(tolerance).expect(fits),
        })
    }

    /// As much a second as `burst`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn per_second(amount: u64, burst: u64) -> Result<Self, BadQuota> {
        Self::new(amount, Duration::from_secs(1), burst)
    }

    /// Tokens that come back in each [`Self::period`].
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount.get()
    }

    /// The time [`Self::amount`] tokens take to come back.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// The most tokens a bucket keeps.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The time one token takes to come back.
    #[inline]
    pub(crate) const fn interval(&self) -> Ticks {
        Ticks(self.interval)
    }

    /// The time an empty bucket takes to fill.
    #[inline]
    pub(crate) const fn tolerance(&self) -> Ticks {
        Ticks(self.tolerance)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} per {:?}, burst {}",
            self.amount, self.period, self.burst
        )
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quota({self})")
    }
}

/// A rate and a burst that make no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadQuota {
    /// No tokens come back.
    NoRate,
    /// In no time.
    NoPeriod,
    /// None can be kept.
    NoBurst,
    /// More than [`Quota::MAX_PER_SECOND`].
    TooFast,
    /// The burst takes longer than [`Quota::MAX_REFILL`] to come back.
    TooSlow,
}

impl fmt::Display for BadQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRate => write!(f, "a rate of 0: expected at least 1 token a period"),
            Self::NoPeriod => write!(f, "a period of 0: expected more than 0"),
            Self::NoBurst => write!(f, "a burst of 0: expected at least 1 token"),
            Self::TooFast => write!(f, "a rate above {} tokens a second", Quota::MAX_PER_SECOND),
            Self::TooSlow => write!(
                f,
                "a burst that takes more than {} days to come back",
                Quota::MAX_REFILL.as_secs() / 86_400
            ),
        }
    }
}

impl std::error::Error for BadQuota {}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_rounded_so_that_it_is_never_exceeded() {
        let thirds = Quota::per_second(3, 1).expect("valid");
        assert_eq!(thirds.interval(), Ticks(5_333_333_334));
        let fastest = Quota::per_second(Quota::MAX_PER_SECOND, 1).expect("valid");
        assert_eq!(fastest.interval(), Ticks(160));
    }

    #[test]
    fn what_makes_no_bucket_is_refused() {
        let day = Duration::from_secs(86_400);
        let refused = |amount, period, burst| Quota::new(amount, period, burst).err();
        assert_eq!(refused(0, day, 1), Some(BadQuota::NoRate));
        assert_eq!(refused(1, Duration::ZERO, 1), Some(BadQuota::NoPeriod));
        assert_eq!(refused(1, day, 0), Some(BadQuota::NoBurst));
        assert_eq!(refused(1, day, 367), Some(BadQuota::TooSlow));
        assert_eq!(refused(1, day, 366), None);
        assert_eq!(
            refused(u64::MAX, Duration::MAX, u64::MAX),
            Some(BadQuota::TooSlow)
        );
        assert_eq!(
            refused(Quota::MAX_PER_SECOND + 1, Duration::from_secs(1), 1),
            Some(BadQuota::TooFast)
        );
        assert_eq!(
            refused(u64::MAX, Duration::from_nanos(1), 1),
            Some(BadQuota::TooFast)
        );
    }
}
