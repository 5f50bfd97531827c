//! Every family there is: what a scrape says of it and docs/metrics.md too.
//!
//! A sample can only be written under a family of this table, and a label's values
//! are of a set that is closed or bounded, so a page cannot grow without end.

use crate::canary::Check;
use crate::canary::watch::Counts as Canaried;
use crate::telemetry::calls::{CODES, Method, Phase, SOURCES, VERDICTS};

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    /// Is what it is.
    Gauge,
    /// Says something in its labels.
    Info,
    /// Counts durations by bounds.
    Histogram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
            Self::Histogram => "histogram",
        }
    }
}

/// What a label's value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// One of these.
    Of(&'static [&'static str]),
    /// One value at a time, or few; in words, what it is.
    Bounded(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: &'static str,
    pub(super) values: Values,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Without `_total`, `_info`, `_bucket`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The name ends in it.
    pub(super) unit: Option<&'static str>,
    pub(super) labels: &'static [Label],
    pub(super) help: &'static str,
}

const fn of(name: &'static str, values: &'static [&'static str]) -> Label {
    Label {
        name,
        values: Values::Of(values),
    }
}

const fn bounded(name: &'static str, what: &'static str) -> Label {
    Label {
        name,
        values: Values::Bounded(what),
    }
}

const TENANT: Label = bounded(
    "tenant",
    "the 20 that count most, those that did within the last hour (80 in all), and `other` for the rest",
);
const LIMIT: Label = bounded(
    "limit",
    "empty for the tenant's own, else the limit's name; `other` for all named limits of `other`",
);
pub(super) const TENANT_VERDICTS: [&str; 4] = ["allowed", "over_limit", "never", "elsewhere"];

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal $($unit:literal)? [$($label:expr),*] $help:literal;)*) => {
        $(pub(super) const $id: &Family = &Family {
            name: $name,
            kind: Kind::$kind,
            unit: families!(@unit $($unit)?),
            labels: &[$($label),*],
            help: $help,
        };)*
        /// In the order of the page.
        #[cfg(test)]
        pub(super) const ALL: &[&Family] = &[$($id),*];
    };
    (@unit) => { None };
    (@unit $unit:literal) => { Some($unit) };
}

/// What nothing here can cause yet is 0 rather than missing, so that alerts on it are
/// never empty.
pub(super) const STALE_REASONS: [&str; 6] = [
    "revalidating",
    "load_failed",
    "breaker_open",
    "over_budget",
    "shed",
    "l2_gap",
];
pub(super) const MODES: [&str; 3] = ["on", "observe", "bypass"];
/// The canary's, by number.
pub(super) const CHECKS: [&str; Check::ALL.len()] = {
    let mut names = [""; Check::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Check::ALL[at].name();
        at += 1;
    }
    names
};
pub(super) const STAGES: [&str; 4] = ["serving", "draining", "leaving", "stopped"];

const COUNTED: &str =
    "each declared cache, of all tenants, at most 255; `other` for the rest together";

families! {
    READS = Counter "millpond_cache_reads"
        [bounded("cache", COUNTED), of("result", &["hit", "stale", "miss"])]
        "Reads, by what was found.";
    BEGUN = Counter "millpond_cache_loads" [bounded("cache", COUNTED)]
        "Leases granted to load: for keys that nothing usable was held for, to refresh, and to waiters whose leader was gone.";
    HITS = Counter "millpond_cache_hits" [of("source", &SOURCES)]
        "Keys answered with a fresh value, by where it came from.";
    STALE_READS = Counter "millpond_cache_stale_reads" [of("reason", &STALE_REASONS)]
        "Keys answered with a stale value, by why it was stale.";
    FILLS = Counter "millpond_cache_fills"
        [of("outcome", &["stored", "superseded", "failed", "given_up", "too_large"])]
        "Loads settled, by what became of them.";
    OBSERVED = Counter "millpond_cache_observed" [of("result", &["match", "mismatch"])]
        "Loads of caches in mode observe, by whether what was held would have been right.";
    LEADS = Counter "millpond_cache_leads" []
        "Leases granted for keys that nothing usable was held for.";
    REFRESHES = Counter "millpond_cache_refreshes" []
        "Leases granted to refresh what was still answered.";
    COALESCED = Counter "millpond_cache_coalesced" [] "Reads that waited for another's load.";
    PROMOTED = Counter "millpond_cache_promoted" []
        "Leases that went to a waiter because the leader was gone.";
    SETS = Counter "millpond_cache_sets" [] "Values set.";
    INVALIDATIONS = Counter "millpond_cache_invalidations" [] "Invalidations.";
    SHED = Counter "millpond_cache_shed" []
        "Reads refused because too many loads were under way.";
    UNPAID = Counter "millpond_cache_over_budget" []
        "Loads not granted because the tenant's budget of loads was spent.";
    EXPIRED = Counter "millpond_cache_expired" []
        "Entries removed because their time was over.";
    ADOPTED = Counter "millpond_cache_adopted" [] "Entries taken over from the second level.";
    EVICTIONS = Counter "millpond_cache_evictions" [] "Entries removed to keep the budget.";
    LOAD_DURATION = Histogram "millpond_cache_load_duration_seconds" "seconds" []
        "Time from the grant of a load's lease to its settling, however it was settled.";
    ENTRIES = Gauge "millpond_cache_entries" [] "Entries held.";
    LOADS = Gauge "millpond_cache_loads_unsettled" [] "Loads begun and not settled.";
    CACHES = Gauge "millpond_cache_caches" [] "Pairs of tenant and cache in use.";
    SIZE = Gauge "millpond_cache_size_bytes" "bytes" [] "Bytes of entries held.";
    BUDGET = Gauge "millpond_cache_budget_bytes" "bytes" []
        "Bytes of entries that may be held.";
    MODE = Gauge "millpond_cache_mode"
        [bounded("cache", "at most 256 caches: switched ones first, then declared ones by name; none that is neither"),
         of("mode", &MODES)]
        "1 for the mode a cache is in, 0 for the others.";
    REQUESTS = Counter "millpond_rpc_requests"
        [of("method", &Method::NAMES), of("code", &CODES)]
        "Calls ended, by method and status.";
    DURATION = Histogram "millpond_rpc_duration_seconds" "seconds"
        [of("method", &Method::NAMES), of("phase", &Phase::NAMES)]
        "Time of calls from their decoded message to their reply: all of it, and what of it was waiting, for another's load or for its turn.";
    DECISIONS = Counter "millpond_limit_decisions" [of("verdict", &VERDICTS)]
        "Calls for tokens decided, by verdict.";
    WOULD_DENY = Counter "millpond_limit_would_deny" []
        "Calls for tokens allowed though a limit that is not enforced would have denied them.";
    TENANT_CALLS = Counter "millpond_limit_tenant_calls"
        [TENANT, LIMIT, of("verdict", &TENANT_VERDICTS)]
        "Calls that charged a limit, by what became of them; `elsewhere` is denied by another limit they charged.";
    TENANT_WOULD_DENY = Counter "millpond_limit_tenant_would_deny" [TENANT, LIMIT]
        "Of the calls allowed, those that the limit would have denied if it were enforced.";
    TENANT_TOKENS = Counter "millpond_limit_tenant_tokens" [TENANT, LIMIT]
        "Tokens of the calls allowed; what went back later is not taken off.";
    GRANTED = Counter "millpond_limit_grant_tokens" [of("result", &["granted", "returned"])]
        "Tokens granted to processes that decide by themselves, and handed back by them.";
    KEYS = Gauge "millpond_limit_keys" []
        "Keys of limits that are told apart, beyond the first 64 of each limit.";
    KEYS_LIMIT = Gauge "millpond_limit_keys_limit" [] "How many keys may be told apart.";
    LEDGERS = Gauge "millpond_limit_ledgers" []
        "Tenants whose retries or reservations are remembered.";
    RESERVATIONS = Gauge "millpond_limit_reservations" [] "Reservations held.";
    REMEMBERED = Gauge "millpond_limit_remembered_calls" []
        "Calls remembered so that their retries spend once.";
    IN_FLIGHT = Gauge "millpond_rpc_in_flight" [] "Calls under way.";
    IN_FLIGHT_BYTES = Gauge "millpond_in_flight_bytes" "bytes" []
        "Bytes of messages being received and of replies not yet written.";
    IN_FLIGHT_BUDGET = Gauge "millpond_in_flight_budget_bytes" "bytes" []
        "Bytes that may be in flight.";
    IN_FLIGHT_REFUSED = Counter "millpond_in_flight_refused" []
        "Calls refused because too many bytes were in flight.";
    CONNECTIONS = Gauge "millpond_connections" [] "Connections open.";
    CONNECTIONS_LIMIT = Gauge "millpond_connections_limit" [] "Connections that may be open.";
    CONNECTIONS_REFUSED = Counter "millpond_connections_refused" []
        "Connections closed as they came: as many were open as may be, or no worker took them.";
    CONFIG_RELOADS = Counter "millpond_config_reloads" [of("result", &["applied", "refused"])]
        "Configuration files read again, by what became of them.";
    CONFIG_SUCCESSFUL = Gauge "millpond_config_last_reload_successful" []
        "1 while the last file that was read is in force, 0 while it was refused.";
    CONFIG_APPLIED = Gauge "millpond_config_last_applied_timestamp_seconds" "seconds" []
        "When the configuration in force was applied, since the epoch.";
    CONFIG = Info "millpond_config" [bounded("hash", "of the file in force; one at a time")]
        "The configuration in force.";
    CANARY_CHECKS = Counter "millpond_canary_checks"
        [of("check", &CHECKS), of("outcome", &Canaried::OUTCOMES)]
        "Checks of the canary that tenants do not see or change what is another's, by what they came to. Any `leak` is one too many.";
    CANARY_UNANSWERED = Counter "millpond_canary_rounds_unanswered" []
        "Rounds of the canary that the sidecar did not answer to their end.";
    STAGE = Gauge "millpond_stage" [of("stage", &STAGES)]
        "1 for the stage the process is in, 0 for the others.";
    SPANS = Counter "millpond_traces_spans" [of("result", &["exported", "dropped"])]
        "Spans ended, by whether the collector took them.";
    LOG_DROPPED = Counter "millpond_log_lines_dropped" []
        "Log lines that were not written, because whoever reads stderr is too slow or gone.";
    BUILD = Info "millpond_build" [bounded("version", "one")] "What runs here.";
    STARTED = Gauge "process_start_time_seconds" "seconds" []
        "When the process started, since the epoch.";
    RESIDENT = Gauge "process_resident_memory_bytes" "bytes" [] "Memory the process occupies.";
    CPU = Counter "process_cpu_seconds" "seconds" [] "Processor time the process has used.";
    OPEN_FDS = Gauge "process_open_fds" [] "File descriptors open.";
    MAX_FDS = Gauge "process_max_fds" [] "File descriptors that may be open.";
}
