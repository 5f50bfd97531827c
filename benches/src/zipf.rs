//! Popularity as it is met in practice: rank `k` is asked for in proportion to
//! `1 / (k + 1)^s`.
//!
//! Sampling inverts the cumulative distribution by binary search, so it is exact
//! for every exponent, also at and below 1 where the usual rejection samplers are
//! awkward. It costs 8 bytes an item and log2(items) steps; a benchmark draws its
//! ranks beforehand.

use std::{fmt, sync::Arc};

/// Why a distribution cannot be built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ZipfError {
    /// There is nothing to draw from.
    NoItems,
    /// The exponent is negative, infinite or not a number.
    Exponent(f64),
}

impl fmt::Display for ZipfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoItems => write!(f, "zipf: 0 items, expected at least 1"),
            Self::Exponent(s) => write!(f, "zipf: exponent {s}, expected a finite number ≥ 0"),
        }
    }
}

impl std::error::Error for ZipfError {}

/// The distribution. Cloning shares its table.
#[derive(Debug, Clone)]
pub struct Zipf {
    cumulative: Arc<[f64]>,
}

impl Zipf {
    /// Over ranks `0..items`, with exponent `s` (0 is uniform; 0.99 is what YCSB uses).
    ///
    /// # Errors
    /// No items, or an exponent that is no finite number ≥ 0.
    pub fn new(items: u32, s: f64) -> Result<Self, ZipfError> {
        if items == 0 {
            return Err(ZipfError::NoItems);
        }
        if !s.is_finite() || s < 0.0 {
            return Err(ZipfError::Exponent(s));
        }
        let cumulative = (1..=items)
            .scan(0.0, |sum, place| {
                *sum += f64::from(place).powf(-s);
                Some(*sum)
            })
            .collect();
        Ok(Self { cumulative })
    }

    /// An endless sequence of ranks; the same seed gives the same sequence.
    #[must_use]
    pub fn ranks(&self, seed: u64) -> Ranks {
        Ranks {
            zipf: self.clone(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The share of draws that give `rank`; 0 beyond the last.
    #[must_use]
    pub fn probability(&self, rank: u32) -> f64 {
        let sum_to = |end: usize| match end {
            0 => 0.0,
            end => self.cumulative[end - 1],
        };
        let rank = rank as usize;
        if rank >= self.cumulative.len() {
            return 0.0;
        }
        (sum_to(rank + 1) - sum_to(rank)) / self.total()
    }

    fn total(&self) -> f64 {
        self.cumulative[self.cumulative.len() - 1]
    }

    fn rank_at(&self, fraction: f64) -> u32 {
        let point = fraction * self.total();
        let rank = self.cumulative.partition_point(|&sum| sum <= point);
        let last = self.cumulative.len() - 1;
        u32::try_from(rank.min(last)).expect("the table was made from a u32 of items")
    }
}

/// An endless sequence of ranks, made by [`Zipf::ranks`].
#[derive(Debug, Clone)]
pub struct Ranks {
    zipf: Zipf,
    rng: fastrand::Rng,
}

impl Iterator for Ranks {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        Some(self.zipf.rank_at(self.rng.f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_as_often_as_their_probability_says() {
        const DRAWS: usize = 200_000;
        let zipf = Zipf::new(100, 0.99).unwrap();
        let mut counts = [0_u32; 100];
        for rank in zipf.ranks(7).take(DRAWS) {
            counts[rank as usize] += 1;
        }
        // Pearson's statistic with 99 degrees of freedom: above 149 by chance one time in 1000.
        let statistic: f64 = (0..100)
            .map(|rank| {
                let expected = zipf.probability(rank) * DRAWS as f64;
                let off = f64::from(counts[rank as usize]) - expected;
                off * off / expected
            })
            .sum();
        assert!(statistic < 149.0, "statistic {statistic}");
    }

    #[test]
    fn probabilities_follow_the_law_and_sum_to_one() {
        let zipf = Zipf::new(1000, 0.8).unwrap();
        let ratio = zipf.probability(0) / zipf.probability(9);
        assert!((ratio - 10_f64.powf(0.8)).abs() < 1e-9, "ratio {ratio}");
        let sum: f64 = (0..1000).map(|rank| zipf.probability(rank)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "sum {sum}");
    }

    #[test]
    fn a_seed_repeats_its_sequence_and_another_does_not() {
        let zipf = Zipf::new(1000, 0.99).unwrap();
        let draw = |seed| zipf.ranks(seed).take(50).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_ends_of_the_unit_interval_give_the_first_and_last_rank() {
        let zipf = Zipf::new(3, 1.0).unwrap();
        assert_eq!(zipf.rank_at(0.0), 0);
        assert_eq!(zipf.rank_at(1.0), 2);
    }

    #[test]
    fn what_cannot_be_drawn_from_is_refused() {
        assert_eq!(Zipf::new(0, 1.0).unwrap_err(), ZipfError::NoItems);
        assert_eq!(Zipf::new(1, -1.0).unwrap_err(), ZipfError::Exponent(-1.0));
        assert!(matches!(
            Zipf::new(1, f64::NAN),
            Err(ZipfError::Exponent(_))
        ));
    }
}
