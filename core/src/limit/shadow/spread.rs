//! Amounts, counted in log-linear buckets of 32 bits.
//!
//! The buckets of [`crate::histogram`], with 1 in the place of its 128 ns: eight an
//! octave, so an amount is never understated and overstated by an eighth at most. When a
//! sum is near its end all counts are halved, which leaves the shares as they were.
//!
//! Cost: 680 bytes.

use crate::histogram;

/// Up to 8, then 20 octaves: 8 388 608.
const FINITE: usize = 8 * 21;
const MOST: u64 = 1 << 23;
/// When counts are halved.
const FULL: u32 = 1 << 31;

#[derive(Clone, Debug)]
pub(super) struct Spread {
    counts: [u32; FINITE],
    above: u32,
    count: u32,
}

impl Spread {
    pub(super) const fn none() -> Self {
        Self {
            counts: [0; FINITE],
            above: 0,
            count: 0,
        }
    }

    /// Counts an amount so many times.
    pub(super) fn add(&mut self, amount: u64, times: u32) {
        let times = times.min(FULL / 2);
        if self.count >= FULL - times {
            self.halve();
        }
        let above = amount > MOST;
        let bucket = if above {
            None
        } else {
            self.counts.get_mut(histogram::bucket_of_units(amount))
        };
        *bucket.unwrap_or(&mut self.above) += times;
        self.count += times;
    }

    fn halve(&mut self) {
        for count in self.counts.iter_mut().chain([&mut self.above]) {
            *count /= 2;
        }
        self.count = self.counts.iter().sum::<u32>() + self.above;
    }

    /// What a share `q` of the amounts does not exceed; the largest number when that is
    /// above all buckets. `None` when nothing was counted.
    pub(super) fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let wanted = (q * f64::from(self.count)).max(1.0);
        let mut counted = 0_u32;
        let at = self.counts.iter().position(|count| {
            counted += count;
            f64::from(counted) >= wanted
        });
        Some(at.map_or(u64::MAX, histogram::units_up_to))
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_overstated_by_an_eighth_at_most() {
        for amount in (1..5_000).chain([70_000, MOST - 1, MOST]) {
            let mut spread = Spread::none();
            spread.add(amount, 1);
            let told = spread.quantile(1.0).expect("one");
            assert!(told >= amount && told * 8 <= amount * 9, "{amount}: {told}");
        }
        let mut spread = Spread::none();
        assert_eq!(spread.quantile(0.5), None);
        spread.add(MOST + 1, 1);
        assert_eq!(spread.quantile(0.5), Some(u64::MAX));
    }

    #[test]
    fn shares_stay_what_they_are_when_counts_are_halved() {
        let mut spread = Spread::none();
        for _ in 0..50 {
            spread.add(1, 90_000_000);
            spread.add(8, 10_000_000);
        }
        assert_eq!(spread.quantile(0.89), Some(1));
        assert_eq!(spread.quantile(0.91), Some(8));
    }
}
