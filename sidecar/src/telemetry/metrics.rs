//! Metrics in the OpenMetrics text format, version 1.0.
//!
//! Nothing is kept here: a scrape reads the counters where they are counted.

use std::fmt::{Display, Write};
use std::sync::Arc;

use millpond_core::cache::Pond;
use tokio::sync::Semaphore;

use super::calls::{CODES, Calls, Method};
use crate::budget::{Budget, Share};
use crate::drain::Stages;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What probes and metrics tell about.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) pond: Arc<Pond>,
    pub(crate) stages: Stages,
    /// By worker. A worker that is gone has dropped its own handle.
    pub(crate) calls: Vec<Arc<Calls>>,
    pub(crate) budget: Arc<Budget>,
    /// By worker.
    pub(crate) shares: Vec<Arc<Share>>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) max_connections: usize,
    pub(crate) started_micros: u64,
}

impl Observed {
    pub(crate) fn in_flight(&self) -> usize {
        self.calls.iter().map(|calls| calls.in_flight()).sum()
    }

    /// Everything a peer still waits for, streams beside the cache too.
    pub(crate) fn open(&self) -> usize {
        let beside: usize = self.calls.iter().map(|calls| calls.beside()).sum();
        self.in_flight() + beside
    }

    pub(crate) fn in_flight_bytes(&self) -> u64 {
        Share::charged(&self.budget, &self.shares)
    }

    pub(crate) fn connections(&self) -> usize {
        self.max_connections
            .saturating_sub(self.places.available_permits())
    }

    /// Loads that somebody has the lease of and has not settled.
    pub(crate) fn leased(&self) -> usize {
        self.pond.gauges().loads
    }

    pub(crate) fn workers_gone(&self) -> bool {
        self.calls.iter().any(|calls| Arc::strong_count(calls) == 1)
    }

    /// Everything, as text.
    pub(crate) fn exposition(&self) -> String {
        let mut page = Page::default();
        self.cache(&mut page);
        self.calls(&mut page);
        self.process(&mut page);
        page.end()
    }

    fn cache(&self, page: &mut Page) {
        let totals = self.pond.totals();
        page.family(
            "millpond_cache_reads",
            Kind::Counter,
            "Reads, by what was found.",
        );
        page.by(
            "result",
            &[
                ("hit", totals.hits),
                ("stale", totals.stale),
                ("miss", totals.misses),
            ],
        );
        page.family(
            "millpond_cache_fills",
            Kind::Counter,
            "Loads settled, by what became of them.",
        );
        page.by(
            "outcome",
            &[
                ("stored", totals.stored),
                ("superseded", totals.superseded),
                ("failed", totals.failed),
                ("given_up", totals.given_up),
                ("too_large", totals.too_large),
            ],
        );
        for (name, help, value) in [
            (
                "millpond_cache_leads",
                "Leases granted for keys that nothing usable was held for.",
                totals.leads,
            ),
            (
                "millpond_cache_refreshes",
                "Leases granted to refresh what was still answered.",
                totals.refreshes,
            ),
            (
                "millpond_cache_coalesced",
                "Reads that waited for another's load.",
                totals.coalesced,
            ),
            (
                "millpond_cache_promoted",
                "Leases that went to a waiter because the leader was gone.",
                totals.promoted,
            ),
            ("millpond_cache_sets", "Values set.", totals.sets),
            (
                "millpond_cache_invalidations",
                "Invalidations.",
                totals.invalidations,
            ),
            (
                "millpond_cache_shed",
                "Reads refused because too many loads were under way.",
                totals.shed,
            ),
            (
                "millpond_cache_expired",
                "Entries removed because their time was over.",
                totals.expired,
            ),
            (
                "millpond_cache_adopted",
                "Entries taken over from the second level.",
                totals.adopted,
            ),
        ] {
            page.family(name, Kind::Counter, help);
            page.value(value);
        }

        let gauges = self.pond.gauges();
        page.family(
            "millpond_cache_evictions",
            Kind::Counter,
            "Entries removed to keep the budget.",
        );
        page.value(gauges.evictions);
        for (name, help, value) in [
            (
                "millpond_cache_entries",
                "Entries held.",
                gauges.entries as u64,
            ),
            (
                "millpond_cache_loads_unsettled",
                "Loads begun and not settled.",
                gauges.loads as u64,
            ),
            (
                "millpond_cache_caches",
                "Pairs of tenant and cache in use.",
                gauges.caches as u64,
            ),
        ] {
            page.family(name, Kind::Gauge, help);
            page.value(value);
        }
        page.in_unit("millpond_cache_size", "bytes", "Bytes of entries held.");
        page.value(gauges.bytes);
        page.in_unit(
            "millpond_cache_budget",
            "bytes",
            "Bytes of entries that may be held.",
        );
        page.value(gauges.budget);
    }

    fn calls(&self, page: &mut Page) {
        page.family(
            "millpond_rpc_requests",
            Kind::Counter,
            "Calls ended, by method and status.",
        );
        for method in Method::ALL {
            for (code, name) in CODES.iter().enumerate() {
                let ended: u64 = self
                    .calls
                    .iter()
                    .map(|calls| calls.ended(method, code))
                    .sum();
                // "OK" always, so that a rate has a beginning.
                if ended > 0 || code == 0 {
                    let method = method.name();
                    page.sample(
                        format_args!("{{method=\"{method}\",code=\"{name}\"}}"),
                        ended,
                    );
                }
            }
        }
        page.family("millpond_rpc_in_flight", Kind::Gauge, "Calls under way.");
        page.value(self.in_flight());
        page.family("millpond_connections", Kind::Gauge, "Connections open.");
        page.value(self.connections());
        page.in_unit(
            "millpond_rpc_in_flight_size",
            "bytes",
            "Bytes of messages being received and of replies not yet written.",
        );
        page.value(self.in_flight_bytes());
        page.in_unit(
            "millpond_rpc_in_flight_budget",
            "bytes",
            "Bytes that may be in flight.",
        );
        page.value(self.budget.limit());
    }

    fn process(&self, page: &mut Page) {
        page.family("millpond_build", Kind::Info, "What runs here.");
        let version = env!("CARGO_PKG_VERSION");
        page.sample(format_args!("{{version=\"{version}\"}}"), 1);
        page.in_unit(
            "process_start_time",
            "seconds",
            "When the process started, since the epoch.",
        );
        let (seconds, micros) = (
            self.started_micros / MICROS_PER_SECOND,
            self.started_micros % MICROS_PER_SECOND,
        );
        page.value(format_args!("{seconds}.{micros:06}"));
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    Info,
}

/// A page under construction: families one after another, each with its samples.
#[derive(Debug, Default)]
struct Page {
    text: String,
    /// What samples of the family at hand are called.
    sample: String,
}

// Writing to a String does not fail.
impl Page {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (kind, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Info => ("info", "_info"),
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.sample = format!("{name}{suffix}");
    }

    /// A gauge in a unit, which its name ends in.
    fn in_unit(&mut self, name: &str, unit: &str, help: &str) {
        let name = format!("{name}_{unit}");
        self.family(&name, Kind::Gauge, help);
        let _ = writeln!(self.text, "# UNIT {name} {unit}");
    }

    fn sample(&mut self, labels: impl Display, value: impl Display) {
        let _ = writeln!(self.text, "{}{labels} {value}", self.sample);
    }

    fn value(&mut self, value: impl Display) {
        self.sample("", value);
    }

    fn by(&mut self, label: &str, values: &[(&str, u64)]) {
        for (of, value) in values {
            self.sample(format_args!("{{{label}=\"{of}\"}}"), value);
        }
    }

    fn end(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}
