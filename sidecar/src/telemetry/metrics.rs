//! Metrics, as a page that a scraper reads.
//!
//! Nothing is kept here: a scrape reads the counters where they are counted.
//!
//! | file | what it owns |
//! |---|---|
//! | `table` | every family, its unit, labels and help |
//! | `page` | the formats, and which a scraper gets |
//! | `process` | what the kernel says of the process |
//! | `metered` | what was counted of each tenant's limits |
//! | `told` | what other parts tell at a scrape |
//! | `document` | the table as docs/metrics.md |

use std::sync::Arc;
use std::time::Duration;

use millpond_core::cache::{CacheCounts, Mode, OTHER_CACHES, Pond};
use millpond_core::histogram::Durations;
use millpond_core::limit::Limiter;
use tokio::sync::Semaphore;

use self::metered::metered;
use self::page::{Page, Seconds};
use super::calls::{CODES, Calls, Method, Phase, SOURCES, VERDICTS};
use super::log;
use super::trace::Spans;
use crate::budget::{Budget, Share};
use crate::canary::Check;
use crate::canary::watch::Counts;
use crate::drain::{Stage, Stages};
use crate::listen::accept::Refusals;

#[cfg(test)]
mod document;
mod metered;
mod page;
pub(crate) mod process;
mod table;
#[cfg(test)]
mod tests;
mod told;

pub(crate) use page::Format;
pub(crate) use told::{Configured, Sources};

/// What probes and metrics tell about.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) pond: Arc<Pond>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) stages: Stages,
    /// By worker. A worker that is gone has dropped its own handle.
    pub(crate) calls: Vec<Arc<Calls>>,
    pub(crate) budget: Arc<Budget>,
    /// By worker.
    pub(crate) shares: Vec<Arc<Share>>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) max_connections: usize,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) canary: Arc<Counts>,
    pub(crate) started_micros: u64,
    pub(crate) sources: Sources,
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

    /// How long calls of a method took, over all workers; `quantile` of it answers
    /// for p50 and p99.
    pub(crate) fn durations(&self, method: Method, phase: Phase) -> Durations {
        let mut durations = Durations::default();
        for calls in &self.calls {
            durations.add(calls.took(method, phase));
        }
        durations
    }

    /// Everything, as text.
    pub(crate) fn exposition(&self, format: Format) -> String {
        let mut page = Page::new(format);
        self.cache_counters(&mut page);
        self.cache_gauges(&mut page);
        self.calls(&mut page);
        self.wire(&mut page);
        self.config(&mut page);
        self.canary(&mut page);
        self.process(&mut page);
        page.end()
    }

    fn canary(&self, page: &mut Page) {
        page.family(table::CANARY_CHECKS);
        for check in Check::ALL {
            let counts = self.canary.of(check);
            for (outcome, count) in Counts::OUTCOMES.iter().zip(counts) {
                page.sample(&[check.name(), outcome], count);
            }
        }
        page.family(table::CANARY_UNANSWERED);
        page.sample(&[], self.canary.unanswered());
    }

    /// A sum over the workers.
    fn sum(&self, of: impl Fn(&Calls) -> u64) -> u64 {
        self.calls.iter().map(|calls| of(calls)).sum()
    }

    fn cache_counters(&self, page: &mut Page) {
        let totals = self.pond.totals();
        let counted = self.pond.counts_by_cache();
        let by_cache: Vec<(&str, CacheCounts)> = counted
            .iter()
            .map(|(cache, counts)| (cache.as_str(), *counts))
            .chain([(OTHER_CACHES, self.pond.other_counts())])
            .collect();
        page.family(table::READS);
        for (cache, counts) in &by_cache {
            page.sample(&[cache, "hit"], counts.hits)
                .sample(&[cache, "stale"], counts.stale)
                .sample(&[cache, "miss"], counts.misses);
        }
        page.family(table::BEGUN);
        for (cache, counts) in &by_cache {
            page.sample(&[cache], counts.loads);
        }
        page.family(table::HITS);
        for (source, name) in SOURCES.iter().enumerate() {
            page.sample(&[name], self.sum(|calls| calls.answers().fresh(source)));
        }
        page.family(table::STALE_READS);
        for name in table::STALE_REASONS {
            let stale = match name {
                "revalidating" => totals.stale_revalidating(),
                "load_failed" => totals.stale_load_failed,
                "shed" => totals.stale_shed,
                "over_budget" => totals.stale_over_budget,
                _ => 0,
            };
            page.sample(&[name], stale);
        }
        page.family(table::FILLS)
            .sample(&["stored"], totals.stored)
            .sample(&["superseded"], totals.superseded)
            .sample(&["failed"], totals.failed)
            .sample(&["given_up"], totals.given_up)
            .sample(&["too_large"], totals.too_large);
        page.family(table::OBSERVED)
            .sample(&["match"], totals.matches)
            .sample(&["mismatch"], totals.mismatches);
        for (family, value) in [
            (table::LEADS, totals.leads),
            (table::REFRESHES, totals.refreshes),
            (table::COALESCED, totals.coalesced),
            (table::PROMOTED, totals.promoted),
            (table::SETS, totals.sets),
            (table::INVALIDATIONS, totals.invalidations),
            (table::SHED, totals.shed),
            (table::UNPAID, totals.over_budget),
            (table::EXPIRED, totals.expired),
            (table::ADOPTED, totals.adopted),
            (table::EVICTIONS, self.pond.gauges().evictions),
        ] {
            page.family(family).value(value);
        }
        page.family(table::LOAD_DURATION)
            .durations(&[], &self.pond.load_durations());
    }

    fn cache_gauges(&self, page: &mut Page) {
        let gauges = self.pond.gauges();
        page.family(table::ENTRIES).value(gauges.entries);
        page.family(table::LOADS).value(gauges.loads);
        page.family(table::CACHES).value(gauges.caches);
        page.family(table::SIZE).value(gauges.bytes);
        page.family(table::BUDGET).value(gauges.budget);
        page.family(table::MODE);
        for cache in told::named(self.pond.caches()) {
            let modes = [Mode::On, Mode::Observe, Mode::Bypass];
            for (name, mode) in table::MODES.iter().zip(modes) {
                page.sample(&[cache.name.as_str(), name], u8::from(cache.mode == mode));
            }
        }
    }

    fn calls(&self, page: &mut Page) {
        page.family(table::REQUESTS);
        for method in Method::ALL {
            for (code, name) in CODES.iter().enumerate() {
                let ended = self.sum(|calls| calls.ended(method, code));
                // "OK" always, so that a rate has a beginning.
                if ended > 0 || code == 0 {
                    page.sample(&[method.name(), name], ended);
                }
            }
        }
        page.family(table::DURATION);
        for method in Method::ALL {
            for phase in Phase::ALL {
                if method.is_unary() && (matches!(phase, Phase::Total) || method.waits()) {
                    let durations = self.durations(method, phase);
                    page.durations(&[method.name(), phase.name()], &durations);
                }
            }
        }
        self.limits(page);
        page.family(table::IN_FLIGHT).value(self.in_flight());
    }

    fn limits(&self, page: &mut Page) {
        page.family(table::DECISIONS);
        for (verdict, name) in VERDICTS.iter().enumerate() {
            page.sample(&[name], self.sum(|calls| calls.decisions().of(verdict)));
        }
        page.family(table::WOULD_DENY)
            .value(self.sum(|calls| calls.decisions().would_deny()));
        metered(&self.limiter.metered(), page);
        page.family(table::GRANTED)
            .sample(
                &["granted"],
                self.sum(|calls| calls.decisions().grants()[0]),
            )
            .sample(
                &["returned"],
                self.sum(|calls| calls.decisions().grants()[1]),
            );
        let figures = self.limiter.figures();
        page.family(table::KEYS).value(figures.keys);
        page.family(table::KEYS_LIMIT).value(figures.max_keys);
        page.family(table::LEDGERS).value(figures.ledgers);
        page.family(table::RESERVATIONS).value(figures.reservations);
        page.family(table::REMEMBERED).value(figures.remembered);
    }

    fn wire(&self, page: &mut Page) {
        page.family(table::IN_FLIGHT_BYTES)
            .value(self.in_flight_bytes());
        page.family(table::IN_FLIGHT_BUDGET)
            .value(self.budget.limit());
        page.family(table::IN_FLIGHT_REFUSED)
            .value(self.budget.refused());
        page.family(table::CONNECTIONS).value(self.connections());
        page.family(table::CONNECTIONS_LIMIT)
            .value(self.max_connections);
        page.family(table::CONNECTIONS_REFUSED)
            .value(self.refusals.count());
    }

    fn config(&self, page: &mut Page) {
        let Some(config) = &self.sources.config else {
            return;
        };
        let told = config();
        page.family(table::CONFIG_RELOADS)
            .sample(&["applied"], told.applied)
            .sample(&["refused"], told.refused);
        page.family(table::CONFIG_SUCCESSFUL)
            .value(u8::from(told.successful));
        page.family(table::CONFIG_APPLIED)
            .value(Seconds(Duration::from_micros(told.applied_micros)));
        page.family(table::CONFIG).sample(&[&told.hash], 1);
    }

    fn process(&self, page: &mut Page) {
        let now = self.stages.now();
        page.family(table::STAGE);
        for (name, stage) in table::STAGES.iter().zip([
            Stage::Serving,
            Stage::Draining,
            Stage::Leaving,
            Stage::Stopped,
        ]) {
            page.sample(&[name], u8::from(now == stage));
        }
        page.family(table::SPANS)
            .sample(&["exported"], self.spans.exported())
            .sample(&["dropped"], self.spans.dropped());
        page.family(table::LOG_DROPPED).value(log::dropped());
        page.family(table::BUILD)
            .sample(&[env!("CARGO_PKG_VERSION")], 1);
        page.family(table::STARTED)
            .value(Seconds(Duration::from_micros(self.started_micros)));
        if let Some(bytes) = process::resident_bytes() {
            page.family(table::RESIDENT).value(bytes);
        }
        page.family(table::CPU).value(Seconds(process::cpu()));
        if let Some(open) = process::open_fds() {
            page.family(table::OPEN_FDS).value(open);
        }
        if let Some(most) = process::max_fds() {
            page.family(table::MAX_FDS).value(most);
        }
    }
}
