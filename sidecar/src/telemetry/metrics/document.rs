//! The table of families as a page for readers: docs/metrics.md.

use std::fmt::Write;

use super::table::{ALL, Family, Kind, Values};

const HEAD: &str = "\
# Metrics

Generated from `sidecar/src/telemetry/metrics/table.rs`:
`MILLPOND_WRITE_DOCUMENTS=1 cargo test -p millpond-sidecar --lib document` renews it.

`GET /metrics` on the probe port (7472). A scraper that accepts `application/openmetrics-text` gets
[OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), all others the Prometheus text format 0.0.4
with the same samples. Nothing is kept for it: a scrape reads the counters where they are counted.

Label values come from closed sets; of caches the page names at most 256, of tenants at most 80, with their limits:
neither keys, nor more tenants or caches make it longer. Caches that are not declared are counted together, as `other`, and so are declared ones once
255 names have had a count of their own; a declared cache named `other` is counted there too. A family whose part is
not there (no configuration file, say) is left out.

## Families

| sample | type | labels | what it says |
|---|---|---|---|
";

const FOOT: &str = "
## Histograms

Inside, durations are counted in buckets of an eighth of an octave, per worker, from 128 ns to 68.7 s. Shown are 19
bounds, powers of two nanoseconds from 1.024 µs to 68.7 s, with exact counts, and `+Inf`.

`millpond_rpc_duration_seconds` begins when a call's message is decoded and ends when its reply is made: the way over
the wire is not in it. Calls that were cancelled or refused are, unless they were refused before their message was read. `phase=\"wait\"` has only the calls that waited, for
another's load or for their turn; their `total` holds the wait.

Cost of a call, by a loop over the same steps on one core of an AMD EPYC: two readings of the clock at 21 ns, a bucket
and a sum at 9 ns, three counts that were there before. 70 ns altogether, 56 of them for the histogram: 1.2 % of the
4.6 µs of CPU a `Get` takes.
";

/// The page.
pub(super) fn render() -> String {
    let mut page = HEAD.to_owned();
    for family in ALL {
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|label| {
                let values = match label.values {
                    Values::Of(values) => values
                        .iter()
                        .map(|value| format!("`{value}`"))
                        .collect::<Vec<_>>()
                        .join(", "),
                    Values::Bounded(what) => what.to_owned(),
                };
                format!("`{}`: {values}", label.name)
            })
            .collect();
        // Writing to a String does not fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            sample(family),
            family.kind.name(),
            labels.join("; "),
            family.help
        );
    }
    page.push_str(FOOT);
    page
}

fn sample(family: &Family) -> String {
    let suffix = match family.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    format!("{}{suffix}", family.name)
}

#[test]
fn the_document_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = render();
    if std::env::var_os("MILLPOND_WRITE_DOCUMENTS").is_some() {
        std::fs::write(path, &page).expect("the document can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/metrics.md lags: MILLPOND_WRITE_DOCUMENTS=1 cargo test -p millpond-sidecar --lib document"
    );
}
