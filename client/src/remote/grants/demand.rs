//! How many tokens to have in hand: as many as are used while more is on its way, with
//! much to spare.
//!
//! Use is measured as a rate that rises at once and falls by half each
//! [`HALVES_IN`]: too few in hand costs callers a round trip, too many only what
//! others lack for a moment.

use std::time::Duration;

/// What is in hand lasts so long.
const LASTS: Duration = Duration::from_millis(100);
/// No less than comes back in this time, as who grants has it.
const LEAST: Duration = Duration::from_millis(10);
/// How soon use that has ended is forgotten.
const HALVES_IN: Duration = Duration::from_millis(200);
/// What is used within less says nothing of a rate.
const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// Tokens a second.
    used: f64,
}

impl Demand {
    /// So many tokens were used in such a time.
    pub(super) fn observe(&mut self, tokens: u64, within: Duration) {
        let seconds = within.max(SHORTEST).as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate of tokens; beyond 2^53 a token more or less is nothing"
        )]
        let now = tokens as f64 / seconds;
        let halved = self.used * 0.5_f64.powf(seconds / HALVES_IN.as_secs_f64());
        self.used = halved.max(now);
    }

    /// Tokens to have in hand of a bucket of `rate` tokens each `period` that holds
    /// `capacity` when full; 0 is any number.
    pub(super) fn target(self, rate: u64, period: Duration, capacity: u64) -> u32 {
        let least = u128::from(rate) * LEAST.as_nanos();
        let least = least.checked_div(period.as_nanos()).unwrap_or(0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and a cast saturates"
        )]
        let wanted = (self.used * LASTS.as_secs_f64()).ceil() as u128;
        let most = if capacity == 0 { u64::MAX } else { capacity };
        let target = wanted.max(least).max(1).min(most.into());
        u32::try_from(target).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn as_many_are_wanted_as_are_used_in_a_tenth_of_a_second() {
        let mut demand = Demand::default();
        demand.observe(100, SECOND / 10);
        assert_eq!(demand.target(0, SECOND, 0), 100);
        // Twice as many, at once.
        demand.observe(200, SECOND / 10);
        assert_eq!(demand.target(0, SECOND, 0), 200);
        assert_eq!(demand.target(0, SECOND, 50), 50, "no more than it holds");
    }

    #[test]
    fn use_that_has_ended_is_forgotten() {
        let mut demand = Demand::default();
        demand.observe(1_000, SECOND / 10);
        demand.observe(0, HALVES_IN);
        assert_eq!(demand.target(0, SECOND, 0), 500);
        demand.observe(0, 100 * HALVES_IN);
        assert_eq!(demand.target(0, SECOND, 0), 1);
    }

    #[test]
    fn ten_milliseconds_of_the_rate_are_the_least() {
        let demand = Demand::default();
        assert_eq!(demand.target(50_000, SECOND, 1_000_000), 500);
        assert_eq!(demand.target(100, 60 * SECOND, 50), 1);
        assert_eq!(demand.target(0, Duration::ZERO, 0), 1);
    }

    #[test]
    fn a_burst_within_no_time_is_no_rate_without_bound() {
        let mut demand = Demand::default();
        demand.observe(10, Duration::ZERO);
        assert_eq!(demand.target(0, SECOND, 0), 1_000);
    }
}
