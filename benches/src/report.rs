//! Latencies: recorded in a histogram, told in quantiles, to a person or a program.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::table::Table;

/// The longest latency told apart from longer ones.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Latencies of one kind of operation, in nanoseconds with three significant
/// digits; what took longer than [`LONGEST`] counts as that. About 270 KiB, whatever
/// is recorded; each thread keeps its own, to be merged.
#[derive(Debug, Clone)]
pub struct Latencies {
    name: String,
    nanos: Histogram<u64>,
}

/// The quantiles of one [`Latencies`], in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quantiles {
    /// What was timed.
    pub name: String,
    /// How often.
    pub count: u64,
    /// The arithmetic mean.
    pub mean_ns: f64,
    /// Half were no slower.
    pub p50_ns: u64,
    /// Nine of ten were no slower.
    pub p90_ns: u64,
    /// 99 of 100 were no slower.
    pub p99_ns: u64,
    /// 999 of 1000 were no slower.
    pub p99_9_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

impl Latencies {
    /// Nothing recorded yet; `name` heads the row of the report.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        const SIGNIFICANT_DIGITS: u8 = 3;
        Self {
            name: name.into(),
            nanos: Histogram::new_with_max(nanos(LONGEST), SIGNIFICANT_DIGITS)
                .expect("an hour in nanoseconds is a valid range for 0 to 5 digits"),
        }
    }

    /// Records one operation.
    pub fn record(&mut self, latency: Duration) {
        self.nanos.saturating_record(nanos(latency));
    }

    /// Adds what another thread recorded.
    pub fn merge(&mut self, other: &Self) {
        self.nanos
            .add(&other.nanos)
            .expect("all histograms here have the same range");
    }

    /// The quantiles of what was recorded; zeros when nothing was.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            name: self.name.clone(),
            count: self.nanos.len(),
            mean_ns: self.nanos.mean(),
            p50_ns: self.nanos.value_at_quantile(0.5),
            p90_ns: self.nanos.value_at_quantile(0.9),
            p99_ns: self.nanos.value_at_quantile(0.99),
            p99_9_ns: self.nanos.value_at_quantile(0.999),
            max_ns: self.nanos.max(),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// One row an operation, times with a readable unit.
#[must_use]
pub fn latency_table(rows: &[Quantiles]) -> Table {
    let mut table = Table::new(["", "count", "mean", "p50", "p90", "p99", "p99.9", "max"]);
    for row in rows {
        let times = [row.p50_ns, row.p90_ns, row.p99_ns, row.p99_9_ns, row.max_ns];
        let mean = Duration::from_secs_f64(row.mean_ns / 1e9);
        let mut cells = vec![row.name.clone(), row.count.to_string(), readable(mean)];
        cells.extend(times.map(|nanos| readable(Duration::from_nanos(nanos))));
        table.push(cells);
    }
    table
}

/// The same rows as a JSON array; field names carry the unit.
///
/// # Errors
/// A mean that is no finite number; recording cannot make one.
pub fn latency_json(rows: &[Quantiles]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(rows)
}

/// Three significant digits in the unit that keeps them before the point's left.
#[must_use]
pub fn readable(time: Duration) -> String {
    let nanos = time.as_secs_f64() * 1e9;
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let decimals = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str, micros: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new(name);
        for micros in micros {
            latencies.record(Duration::from_micros(micros));
        }
        latencies
    }

    fn near(found: u64, expected_micros: u64) -> bool {
        found.abs_diff(expected_micros * 1000) <= expected_micros
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let quantiles = recorded("get", 1..=1000).quantiles();
        assert_eq!(quantiles.count, 1000);
        assert!(near(quantiles.p50_ns, 500), "{quantiles:?}");
        assert!(near(quantiles.p90_ns, 900), "{quantiles:?}");
        assert!(near(quantiles.p99_ns, 990), "{quantiles:?}");
        assert!(near(quantiles.p99_9_ns, 999), "{quantiles:?}");
        assert!(near(quantiles.max_ns, 1000), "{quantiles:?}");
    }

    #[test]
    fn merging_threads_is_recording_in_one() {
        let mut merged = recorded("get", 1..=300);
        merged.merge(&recorded("get", 301..=1000));
        assert_eq!(merged.quantiles(), recorded("get", 1..=1000).quantiles());
    }

    #[test]
    fn longer_than_the_longest_counts_as_the_longest() {
        let mut latencies = Latencies::new("stuck");
        latencies.record(Duration::MAX);
        let quantiles = latencies.quantiles();
        assert_eq!(quantiles.count, 1);
        assert!(quantiles.max_ns >= nanos(LONGEST), "{quantiles:?}");
    }

    #[test]
    fn a_person_reads_units_and_a_program_reads_fields() {
        let rows = [recorded("get", [2, 2, 2]).quantiles()];
        let table = latency_table(&rows).to_string();
        assert!(table.contains("| get | 3     | 2.00 µs"), "{table}");
        let json: serde_json::Value = serde_json::from_str(&latency_json(&rows).unwrap()).unwrap();
        assert_eq!(json[0]["name"], "get");
        assert_eq!(json[0]["count"], 3);
        assert!(json[0]["p99_9_ns"].is_u64());
    }

    #[test]
    fn readable_times_keep_three_digits() {
        let cases = [
            (0, "0.00 ns"),
            (999, "999 ns"),
            (1_500, "1.50 µs"),
            (25_000_000, "25.0 ms"),
        ];
        for (nanos, expected) in cases {
            assert_eq!(readable(Duration::from_nanos(nanos)), expected);
        }
    }
}
