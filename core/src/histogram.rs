//! Durations, counted in log-linear buckets.
//!
//! ```text
//!  0 … 1.024 µs      8 buckets of 128 ns
//!  then each octave  8 buckets, up to 68.7 s
//!  above             1 bucket
//! ```
//!
//! A bucket is at most an eighth of its lower bound wide, so a quantile is never
//! understated and overstated by at most 12.5 %. The bounds of octaves are powers
//! of two nanoseconds; what is shown to a scraper uses a few of these, so its
//! cumulative counts are exact.
//!
//! Cost: two uncontended additions a duration; 1 744 bytes.

// std's atomics even under loom: statistics order nothing.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Binary digits of the first octave's buckets: 128 ns.
const UNIT_BITS: u32 = 7;
/// Binary digits that tell buckets of one octave apart.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;
/// Octaves from 1.024 µs, 2^10 ns, to 68.7 s, 2^36 ns.
const OCTAVES: usize = 26;
const FINITE: usize = STEPS * (OCTAVES + 1);
const BUCKETS: usize = FINITE + 1;

/// The bounds that are shown, as powers of two nanoseconds: every octave where
/// calls usually end, every other one around it.
const SHOWN: [u32; 19] = [
    10, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 32, 34, 36,
];

/// Counts durations. Many threads may record; one a thread is cheaper.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            nanos: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: counts order nothing. The sum wraps after 584 years.
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// Where a duration is counted: bounds belong to the bucket below them.
#[inline]
fn bucket(nanos: u64) -> usize {
    let units = nanos.saturating_sub(1) >> UNIT_BITS;
    let Some(octave) = units
        .checked_ilog2()
        .and_then(|top| top.checked_sub(STEP_BITS))
    else {
        return usize::try_from(units).unwrap_or(FINITE);
    };
    // The step's top bit is always set: it stands for the octave's beginning.
    let step = usize::try_from(units >> octave).unwrap_or(FINITE);
    let octave = usize::try_from(octave).unwrap_or(FINITE);
    (octave * STEPS + step).min(FINITE)
}

/// Nanoseconds of a bucket's upper bound, which belongs to it.
fn upper(bucket: usize) -> u64 {
    let (octave, step) = match bucket / STEPS {
        0 => (0, bucket),
        octave => (octave - 1, bucket % STEPS + STEPS),
    };
    ((step as u64 + 1) << octave) << UNIT_BITS
}

/// Where an amount of anything is counted that has 1 for a unit.
pub(crate) fn bucket_of_units(amount: u64) -> usize {
    bucket(amount.saturating_mul(1 << UNIT_BITS))
}

/// The largest amount of that bucket.
pub(crate) fn units_up_to(at: usize) -> u64 {
    upper(at) >> UNIT_BITS
}

/// The sum of histograms at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations {
    buckets: Box<[u64]>,
    nanos: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            nanos: 0,
        }
    }
}

impl Durations {
    /// Adds what a histogram counted so far.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, counted) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += counted.load(Ordering::Relaxed);
        }
        self.nanos = self
            .nanos
            .wrapping_add(histogram.nanos.load(Ordering::Relaxed));
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// The duration that the share `q` (0 to 1) of all did not exceed: never less
    /// than the true one, at most 12.5 % or 128 ns more; 68.7 s stands for
    /// everything longer. `None` when nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = (q * count as f64).max(1.0);
        let mut counted = 0;
        let at = self.buckets.iter().position(|bucket| {
            counted += bucket;
            counted as f64 >= wanted
        });
        let at = at.unwrap_or(FINITE).min(FINITE - 1);
        Some(Duration::from_nanos(upper(at)))
    }

    /// For a few bounds, rising, how many durations did not exceed each; what
    /// exceeds the last is in [`Durations::count`].
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut counted = 0;
        let mut from = 0;
        SHOWN.into_iter().map(move |bits| {
            let bound = 1 << bits;
            let to = bucket(bound) + 1;
            counted += self.buckets[from..to].iter().sum::<u64>();
            from = to;
            (Duration::from_nanos(bound), counted)
        })
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn of(nanos: impl IntoIterator<Item = u64>) -> Durations {
        let histogram = Histogram::default();
        for nanos in nanos {
            histogram.record(Duration::from_nanos(nanos));
        }
        let mut durations = Durations::default();
        durations.add(&histogram);
        durations
    }

    #[test]
    fn every_duration_is_in_the_bucket_whose_bounds_hold_it() {
        for bucket_at in 0..FINITE {
            let bound = upper(bucket_at);
            assert_eq!(bucket(bound), bucket_at);
            assert_eq!(bucket(bound + 1), bucket_at + 1);
        }
        assert_eq!(upper(FINITE - 1), 1 << 36);
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), FINITE);
    }

    #[test]
    fn a_bucket_is_no_wider_than_an_eighth_of_where_it_begins() {
        for at in STEPS..FINITE {
            let (from, to) = (upper(at - 1), upper(at));
            assert!((to - from) * 8 <= from, "{from} to {to}");
        }
    }

    #[test]
    fn a_quantile_is_never_understated_and_little_overstated() {
        // 1 µs to 10 ms in steps of 1 µs: the share q is q × 10 ms.
        let durations = of((1..=10_000).map(|micros| micros * 1_000));
        for q in [0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let truth = q * 10_000_000.0;
            let told = durations.quantile(q).unwrap().as_nanos() as f64;
            assert!(told >= truth, "{q}: {told}");
            assert!(told <= truth * 1.125 + 128.0, "{q}: {told}");
        }
        assert_eq!(of([]).quantile(0.5), None);
        assert_eq!(
            of([u64::MAX]).quantile(0.5),
            Some(Duration::from_nanos(1 << 36))
        );
    }

    #[test]
    fn cumulative_counts_include_what_is_equal_to_the_bound() {
        let durations = of([1 << 20, (1 << 20) + 1, 5, u64::MAX]);
        let shown: Vec<_> = durations.cumulative().collect();
        assert_eq!(shown.len(), SHOWN.len());
        let at = |bits: u32| {
            let bound = Duration::from_nanos(1 << bits);
            shown.iter().find(|(le, _)| *le == bound).map(|(_, n)| *n)
        };
        assert_eq!(at(10), Some(1));
        assert_eq!(at(20), Some(2));
        assert_eq!(at(21), Some(3));
        assert_eq!(at(36), Some(3));
        assert_eq!(durations.count(), 4);
        let sum = of([1 << 20, 5]).sum();
        assert_eq!(sum, Duration::from_nanos((1 << 20) + 5));
    }
}
