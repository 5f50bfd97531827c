//! What was counted or measured, for both sides of an act.

use std::fmt;
use std::time::Duration;

use millpond_benches::report::readable;
use serde_json::Value;

/// One number of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Count(u64),
    Time(Duration),
    /// It did not happen.
    Never,
}

impl Figure {
    /// Its size beside others of its row.
    pub(super) fn size(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Time(time) => time.as_secs_f64(),
            Self::Never => f64::INFINITY,
        }
    }

    /// Counts as numbers, times in milliseconds.
    pub(super) fn json(self) -> Value {
        match self {
            Self::Count(count) => count.into(),
            Self::Time(time) => (time.as_secs_f64() * 1e3).into(),
            Self::Never => Value::Null,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => f.pad(&grouped(*count)),
            Self::Time(time) => f.pad(&readable(*time)),
            Self::Never => f.pad("never"),
        }
    }
}

/// In groups of three digits.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The same number of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// What programs call it; ends in `_ms` when it is a time.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) label: &'static str,
    pub(super) naive: Figure,
    pub(super) ours: Figure,
    /// The number that the act is about.
    pub(super) headline: bool,
}

impl Row {
    pub(super) fn count(name: &'static str, label: &'static str, naive: u64, ours: u64) -> Self {
        Self::new(name, label, Figure::Count(naive), Figure::Count(ours))
    }

    pub(super) fn time(
        name: &'static str,
        label: &'static str,
        naive: Option<Duration>,
        ours: Option<Duration>,
    ) -> Self {
        let time = |time: Option<Duration>| time.map_or(Figure::Never, Figure::Time);
        Self::new(name, label, time(naive), time(ours))
    }

    fn new(name: &'static str, label: &'static str, naive: Figure, ours: Figure) -> Self {
        Self {
            name,
            label,
            naive,
            ours,
            headline: false,
        }
    }

    pub(super) fn headline(self) -> Self {
        Self {
            headline: true,
            ..self
        }
    }
}

/// Times of reads, in the order they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn max(&self) -> Option<Duration> {
        self.0.iter().max().copied()
    }

    /// So many of a hundred took no longer (nearest rank).
    pub(super) fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100).checked_sub(1)?;
        let mut times = self.0.clone();
        let (_, time, _) = times.select_nth_unstable(rank);
        Some(*time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(Figure::Count(count).to_string(), text);
        }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut times = Times::default();
        assert_eq!(times.percentile(99), None);
        for millis in (1..=200).rev() {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.percentile(50), Some(Duration::from_millis(100)));
        assert_eq!(times.percentile(99), Some(Duration::from_millis(198)));
        assert_eq!(times.percentile(100), times.max());
    }
}
