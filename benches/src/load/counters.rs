//! The cache's own counters, and what must be equal.
//!
//! A load begins for each lease that is granted, and a lease is granted in three ways:
//! to lead a miss, to refresh what is still answered, to a waiter whose leader is gone.
//! One that is given up was handed back without a load. So with callers that never
//! leave:
//!
//! ```text
//! loads = leads + refreshes + promoted − given up
//! misses = leads + coalesced + shed
//! ```

use std::fmt;
use std::ops::Sub;

use millpond_core::cache::Pond;
use serde::Serialize;

/// What a cache has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Reads answered fresh.
    pub hits: u64,
    /// Reads answered stale.
    pub stale: u64,
    /// Reads that found nothing usable.
    pub misses: u64,
    /// Leases granted to load what was missed.
    pub leads: u64,
    /// Leases granted to refresh what was still answered.
    pub refreshes: u64,
    /// Leases handed on to a waiter.
    pub promoted: u64,
    /// Leases given back without a load.
    pub given_up: u64,
    /// Reads that waited for another's load.
    pub coalesced: u64,
    /// Reads refused because too much was under way.
    pub shed: u64,
    /// Entries the budget pushed out.
    pub evictions: u64,
}

impl Counters {
    /// Those of a cache in this process.
    #[must_use]
    pub fn of(pond: &Pond) -> Self {
        let totals = pond.totals();
        Self {
            hits: totals.hits,
            stale: totals.stale,
            misses: totals.misses,
            leads: totals.leads,
            refreshes: totals.refreshes,
            promoted: totals.promoted,
            given_up: totals.given_up,
            coalesced: totals.coalesced,
            shed: totals.shed,
            evictions: pond.gauges().evictions,
        }
    }

    /// Those on a sidecar's page of metrics; `None` when one of them is not there.
    #[must_use]
    pub fn parse(page: &str) -> Option<Self> {
        Some(Self {
            hits: reads(page, "hit")?,
            stale: reads(page, "stale")?,
            misses: reads(page, "miss")?,
            leads: sample(page, "leads_total")?,
            refreshes: sample(page, "refreshes_total")?,
            promoted: sample(page, "promoted_total")?,
            given_up: sample(page, "fills_total{outcome=\"given_up\"}")?,
            coalesced: sample(page, "coalesced_total")?,
            shed: sample(page, "shed_total")?,
            evictions: sample(page, "evictions_total")?,
        })
    }

    /// What the cache says of `loads` that loaders have counted.
    #[must_use]
    pub fn equation(self, loads: u64) -> Equation {
        Equation {
            loads,
            leads: self.leads,
            refreshes: self.refreshes,
            promoted: self.promoted,
            given_up: self.given_up,
        }
    }
}

/// Loads begun and not settled, on a sidecar's page of metrics.
#[must_use]
pub fn unsettled(page: &str) -> Option<u64> {
    sample(page, "loads_unsettled")
}

/// Over all caches, which are told one by one.
fn reads(page: &str, result: &str) -> Option<u64> {
    let label = format!("result=\"{result}\"");
    let of_one = page.lines().filter_map(|line| {
        let line = line.strip_prefix("millpond_cache_reads_total{")?;
        let (labels, value) = line.split_once("} ")?;
        labels
            .split(',')
            .any(|found| found == label)
            .then(|| value.parse::<u64>().ok())
    });
    of_one.reduce(|sum, of_one| sum?.checked_add(of_one?))?
}

fn sample(page: &str, name: &str) -> Option<u64> {
    let line = page.lines().find_map(|line| {
        let value = line.strip_prefix("millpond_cache_")?.strip_prefix(name)?;
        value.strip_prefix(' ')
    });
    line?.parse().ok()
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            hits: self.hits - before.hits,
            stale: self.stale - before.stale,
            misses: self.misses - before.misses,
            leads: self.leads - before.leads,
            refreshes: self.refreshes - before.refreshes,
            promoted: self.promoted - before.promoted,
            given_up: self.given_up - before.given_up,
            coalesced: self.coalesced - before.coalesced,
            shed: self.shed - before.shed,
            evictions: self.evictions - before.evictions,
        }
    }
}

/// Loads as the loaders counted them, beside the leases that the cache granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Equation {
    loads: u64,
    leads: u64,
    refreshes: u64,
    promoted: u64,
    given_up: u64,
}

impl Equation {
    /// Whether every load had a lease of its own, and every lease its load.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.loads + self.given_up == self.leads + self.refreshes + self.promoted
    }
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            loads,
            leads,
            refreshes,
            promoted,
            given_up,
        } = self;
        let holds = if self.holds() {
            "holds"
        } else {
            "DOES NOT HOLD"
        };
        write!(
            f,
            "{loads} loads = {leads} leads + {refreshes} refreshes + {promoted} promoted − {given_up} given up: {holds}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP millpond_cache_reads Reads, by what was found.
# TYPE millpond_cache_reads counter
millpond_cache_reads_total{cache=\"users\",result=\"hit\"} 2
millpond_cache_reads_total{cache=\"users\",result=\"stale\"} 4
millpond_cache_reads_total{cache=\"users\",result=\"miss\"} 1
millpond_cache_reads_total{cache=\"other\",result=\"hit\"} 3
millpond_cache_reads_total{cache=\"other\",result=\"stale\"} 0
millpond_cache_reads_total{cache=\"other\",result=\"miss\"} 2
millpond_cache_fills_total{outcome=\"stored\"} 9
millpond_cache_fills_total{outcome=\"given_up\"} 1
millpond_cache_leads_total 2
millpond_cache_refreshes_total 4
millpond_cache_coalesced_total 1
millpond_cache_promoted_total 1
millpond_cache_shed_total 0
millpond_cache_evictions_total 8
millpond_cache_loads_unsettled 6
";

    #[test]
    fn a_page_of_metrics_has_every_counter_or_none() {
        let counters = Counters::parse(PAGE).unwrap();
        let reads = [counters.hits, counters.stale, counters.misses];
        assert_eq!((reads, counters.evictions), ([5, 4, 3], 8));
        assert_eq!(unsettled(PAGE), Some(6));
        let renamed = PAGE.replace("leads_total", "led_total");
        assert_eq!(Counters::parse(&renamed), None);
    }

    #[test]
    fn a_load_without_a_lease_is_noticed_and_so_is_a_lease_without_a_load() {
        let counters = Counters::parse(PAGE).unwrap();
        for (loads, holds) in [(5, false), (6, true), (7, false)] {
            let equation = counters.equation(loads);
            assert_eq!(equation.holds(), holds, "{equation}");
        }
    }
}
