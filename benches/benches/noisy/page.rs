//! The server's own times of `Get`, from its page of metrics.

use crate::Failure;

const BUCKET: &str = r#"millpond_rpc_duration_seconds_bucket{method="Get",phase="total",le=""#;
const SUM: &str = r#"millpond_rpc_duration_seconds_sum{method="Get",phase="total"} "#;

/// Durations by bucket.
pub(crate) struct Times {
    /// Upper bounds in seconds, and how many did not exceed them.
    buckets: Vec<(f64, f64)>,
    sum: f64,
}

impl Times {
    pub(crate) fn of(page: &str) -> Result<Self, Failure> {
        let mut buckets = Vec::new();
        let mut sum = 0.0;
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix(BUCKET) {
                let (bound, count) = rest.split_once("\"} ").ok_or("no bucket")?;
                let bound = bound.replace("+Inf", "inf").parse()?;
                buckets.push((bound, count.parse()?));
            } else if let Some(rest) = line.strip_prefix(SUM) {
                sum = rest.parse()?;
            }
        }
        Ok(Self { buckets, sum })
    }

    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (now, then) in self.buckets.iter_mut().zip(&before.buckets) {
            now.1 -= then.1;
        }
        self.sum -= before.sum;
        self
    }

    fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    pub(crate) fn mean_micros(&self) -> f64 {
        1e6 * self.sum / self.count()
    }

    /// Interpolated within its bucket: what is shown are octaves or two.
    pub(crate) fn quantile_micros(&self, quantile: f64) -> f64 {
        let wanted = quantile * self.count();
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= wanted {
                let (from, counted) = below;
                let part = (wanted - counted) / (count - counted).max(1.0);
                return 1e6 * (from + part * (bound - from));
            }
            below = (bound, count);
        }
        f64::NAN
    }
}
