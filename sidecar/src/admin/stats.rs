//! `Stats`: counters, gauges and what is in force, read where they are kept.
//!
//! Cost: a visit of the caches in use, and a file of the system's about this process.

use std::collections::HashMap;
use std::time::Duration;

use millpond_core::cache::{CacheCounts, CacheInForce, Mode, Totals};
use millpond_proto::v1;

use super::Admin;
use super::changes::MAX_CHANGES;
use crate::config::InForce;
use crate::drain::Stage;
use crate::telemetry::calls::{CODES, Method, Phase};
use crate::telemetry::metrics::process;

/// Whole milliseconds, rounded down.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn mode(mode: Mode) -> v1::Mode {
    match mode {
        Mode::On => v1::Mode::On,
        Mode::Observe => v1::Mode::Observe,
        Mode::Bypass => v1::Mode::Bypass,
    }
}

pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Serving => "serving",
        Stage::Draining => "draining",
        Stage::Leaving => "leaving",
        Stage::Stopped => "stopped",
    }
}

impl Admin {
    pub(super) fn stats(&self) -> v1::StatsReply {
        let (parts, pond) = (&self.0, self.pond());
        let observed = &parts.observed;
        let (totals, gauges) = (pond.totals(), pond.gauges());
        let now = pond.clock().precise();
        let uptime = milliseconds(now.since(parts.started));
        let in_force = parts.reloader.state();
        v1::StatsReply {
            scope: v1::Scope::Pod.into(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            boot: pond.boot().to_bits(),
            uptime_ms: uptime,
            stage: stage(observed.stages.now()).to_owned(),
            cache: Some(cache_stats(&totals, gauges.evictions)),
            caches: pond
                .caches()
                .iter()
                .map(|cache| self.cache_in_force(cache))
                .collect(),
            methods: self.methods(),
            memory: Some(v1::Memory {
                entries: number(gauges.entries),
                entry_bytes: gauges.bytes,
                budget_bytes: gauges.budget,
                in_flight_bytes: Some(observed.in_flight_bytes()),
                in_flight_budget_bytes: Some(observed.budget.limit()),
                resident_bytes: process::resident_bytes().unwrap_or(0),
            }),
            connections: number(observed.connections()),
            max_connections: number(observed.max_connections),
            changes: self.told_changes(&in_force),
            config: Some(config(in_force)),
            calls_in_flight: number(observed.in_flight()),
            loads_unsettled: number(gauges.loads),
            tenant_caches: number(gauges.caches),
            other_counts: Some(counts(pond.other_counts())),
        }
    }

    /// What changed, with the file that came into force last: it does so by itself.
    fn told_changes(&self, in_force: &InForce) -> Vec<v1::StateChange> {
        let mut told = self.0.changes.told();
        if in_force.reloads > 0 {
            let age_ms = milliseconds(in_force.age);
            let place = told.partition_point(|change| change.age_ms < age_ms);
            let change = v1::StateChange {
                age_ms,
                kind: "config".to_owned(),
                what: format!("in force: {}", in_force.hash),
            };
            told.insert(place, change);
            told.truncate(MAX_CHANGES);
        }
        told
    }

    pub(super) fn cache_in_force(&self, cache: &CacheInForce) -> v1::CacheInForce {
        let policy = &cache.policy;
        v1::CacheInForce {
            name: cache.name.to_string(),
            declared: cache.declared,
            mode: mode(cache.mode).into(),
            mode_ends_in_ms: self.0.switches.ends_in(&cache.name).map(milliseconds),
            fresh_ms: milliseconds(policy.fresh),
            stale_ms: milliseconds(policy.stale),
            stale_if_error_ms: milliseconds(policy.stale_if_error),
            negative_ms: milliseconds(policy.negative),
            tenants: number(cache.tenants),
            switched: cache.switched,
            matches: cache.matches,
            mismatches: cache.mismatches,
            counts: cache.counts.map(counts),
        }
    }

    fn methods(&self) -> Vec<v1::MethodStats> {
        let workers = &self.0.observed.calls;
        let ended = |method, code| -> u64 {
            let of = workers.iter().map(|calls| calls.ended(method, code));
            of.sum()
        };
        Method::ALL
            .into_iter()
            .map(|method| {
                let by_code: HashMap<String, u64> = CODES
                    .iter()
                    .enumerate()
                    .map(|(code, name)| ((*name).to_owned(), ended(method, code)))
                    .filter(|(_, calls)| *calls > 0)
                    .collect();
                let took = self.0.observed.durations(method, Phase::Total);
                let quantile = |part| took.quantile(part).map(microseconds);
                v1::MethodStats {
                    method: method.name().to_owned(),
                    calls: by_code.values().sum(),
                    by_code,
                    p50_us: quantile(0.5),
                    p99_us: quantile(0.99),
                }
            })
            .collect()
    }
}

/// Whole microseconds, rounded up: what is told is an upper bound.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn config(in_force: InForce) -> v1::ConfigInForce {
    v1::ConfigInForce {
        file: in_force
            .file
            .map_or_else(String::new, |file| file.display().to_string()),
        hash: in_force.hash,
        loaded_ms_ago: milliseconds(in_force.age),
        reloads: in_force.reloads,
        reloads_refused: in_force.refused,
        refused: in_force.errors,
        after_restart: in_force.after_restart,
    }
}

fn counts(counts: CacheCounts) -> v1::CacheCounts {
    v1::CacheCounts {
        hits: counts.hits,
        stale: counts.stale,
        misses: counts.misses,
        loads: counts.loads,
    }
}

fn cache_stats(totals: &Totals, evictions: u64) -> v1::CacheStats {
    let stale_by_reason = [
        ("revalidating", totals.stale_revalidating()),
        ("load_failed", totals.stale_load_failed),
        ("shed", totals.stale_shed),
        ("over_budget", totals.stale_over_budget),
    ];
    v1::CacheStats {
        hits: totals.hits,
        stale: totals.stale,
        misses: totals.misses,
        leads: totals.leads,
        refreshes: totals.refreshes,
        coalesced: totals.coalesced,
        promoted: totals.promoted,
        shed: totals.shed,
        stored: totals.stored,
        superseded: totals.superseded,
        failed: totals.failed,
        given_up: totals.given_up,
        too_large: totals.too_large,
        evictions,
        invalidations: totals.invalidations,
        mismatches: totals.mismatches,
        stale_by_reason: stale_by_reason
            .map(|(reason, answers)| (reason.to_owned(), answers))
            .into(),
        sets: totals.sets,
        expired: totals.expired,
        adopted: totals.adopted,
        matches: totals.matches,
    }
}
