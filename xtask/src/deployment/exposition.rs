//! What a scrape of the real binary says: which series there are, with which labels.

use std::collections::{BTreeMap, BTreeSet};

use super::promql::Selector;

/// Labels that Prometheus puts on when it scrapes a pod, and those of a histogram.
const TARGET_LABELS: &[&str] = &["job", "namespace", "pod", "container", "instance", "le"];
/// Labels whose values are open: names of users, or values that appear with the first of their kind.
const OPEN_LABELS: &[&str] = &["cache", "code", "hash", "version"];
/// What Prometheus itself makes.
const OF_PROMETHEUS: &[&str] = &["up"];

/// A scraped page, by its families.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    /// Series that can be there, each with the family it is of.
    series: BTreeMap<String, String>,
    /// By family and label, the values seen. A family without samples has no labels.
    labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Exposition {
    pub(super) fn read(page: &str) -> Self {
        let mut exposition = Self::default();
        for line in page.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                if let Some((family, kind)) = declared.split_once(' ') {
                    exposition.declare(family, kind.trim());
                }
            } else if !line.starts_with('#') {
                exposition.sample(line);
            }
        }
        exposition
    }

    fn declare(&mut self, family: &str, kind: &str) {
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for suffix in suffixes {
            self.series
                .insert(format!("{family}{suffix}"), family.to_owned());
        }
    }

    fn sample(&mut self, line: &str) {
        // A sample has one selector's form.
        let Some(sample) = super::promql::selectors(line).into_iter().next() else {
            return;
        };
        let Some(family) = self.series.get(&sample.name) else {
            return;
        };
        let labels = self.labels.entry(family.clone()).or_default();
        for matcher in sample.matchers {
            labels
                .entry(matcher.label)
                .or_default()
                .insert(matcher.value);
        }
    }

    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.series.keys().any(|series| series.starts_with(prefix))
    }

    /// Why a selector finds nothing, if so.
    pub(super) fn misses(&self, selector: &Selector) -> Option<String> {
        if OF_PROMETHEUS.contains(&selector.name.as_str()) {
            return None;
        }
        let Some(family) = self.series.get(&selector.name) else {
            return Some(format!("{} is not scraped", selector.name));
        };
        let labels = self.labels.get(family)?;
        for matcher in &selector.matchers {
            let label = matcher.label.as_str();
            if TARGET_LABELS.contains(&label) {
                continue;
            }
            let Some(values) = labels.get(label) else {
                return Some(format!("{} has no label {label}", selector.name));
            };
            if OPEN_LABELS.contains(&label) || matcher.value.starts_with('$') {
                continue;
            }
            let mut wanted = matcher.value.split('|');
            if let Some(value) = wanted.find(|value| !values.contains(*value)) {
                return Some(format!(
                    "{}: {label} is never {value}; it is {values:?}",
                    selector.name
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::promql::selectors;

    const PAGE: &str = "\
# HELP a_reads Reads.
# TYPE a_reads counter
a_reads_total{result=\"hit\"} 1
a_reads_total{result=\"miss\"} 2
# TYPE a_time_seconds histogram
# UNIT a_time_seconds seconds
a_time_seconds_bucket{phase=\"total\",le=\"0.1\"} 3
# TYPE a_build info
a_build_info{version=\"1\"} 1
# TYPE a_mode stateset
# EOF
";

    fn misses(expression: &str) -> Option<String> {
        let exposition = Exposition::read(PAGE);
        selectors(expression)
            .iter()
            .find_map(|selector| exposition.misses(selector))
    }

    #[test]
    fn what_is_scraped_is_found_by_the_name_of_its_samples() {
        for there in [
            "a_reads_total{result=~\"hit|miss\", job=\"x\"}",
            "a_time_seconds_bucket{phase=\"total\", le=\"0.1\"}",
            "a_build_info",
            "a_mode{cache=\"x\", mode=\"bypass\"}",
            "up",
        ] {
            assert_eq!(misses(there), None, "{there}");
        }
    }

    #[test]
    fn a_name_a_label_and_a_value_that_are_not_there_are_told() {
        for (wrong, why) in [
            ("a_reads", "a_reads is not scraped"),
            (
                "a_time_seconds_total",
                "a_time_seconds_total is not scraped",
            ),
            (
                "a_reads_total{outcome=\"hit\"}",
                "a_reads_total has no label outcome",
            ),
            (
                "a_reads_total{result=~\"hit|stale\"}",
                "a_reads_total: result is never stale; it is {\"hit\", \"miss\"}",
            ),
        ] {
            assert_eq!(misses(wrong).as_deref(), Some(why));
        }
    }
}
