//! What `top` shows: a page of text from what the sidecar says now and what it
//! said a moment ago.
//!
//! Pure: no terminal, no clock. Every line fits the width it is given; what does
//! not fit the height is left out from the end, after the figures that matter most.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use millpond_proto::v1::{CacheCounts, CacheInForce, CacheStats, MethodStats, StatsReply};

use crate::cli::mode::word;
use crate::cli::span::shown;
use crate::cli::terminal::{Size, printable};

/// Columns below which lines are cut.
const MIN_WIDTH: usize = 40;
const MIN_HEIGHT: usize = 8;
/// Columns of a bar.
const BAR: usize = 20;
/// Changes of state shown.
const CHANGES: usize = 5;

/// One page.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// What the sidecar says now.
    pub(super) now: &'a StatsReply,
    /// What it said before, and how long ago; nothing on the first page.
    pub(super) before: Option<(&'a StatsReply, Duration)>,
    /// What there is room for.
    pub(super) size: Size,
}

impl View<'_> {
    /// The page's lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.title()];
        lines.extend(self.refused());
        lines.push(String::new());
        lines.extend(self.reads());
        lines.push(String::new());
        lines.extend(self.memory());
        lines.push(String::new());
        lines.extend(self.methods());
        lines.push(String::new());
        lines.extend(self.caches());
        lines.push(String::new());
        lines.extend(self.changes());
        let (width, height) = (
            self.size.columns.max(MIN_WIDTH),
            self.size.rows.max(MIN_HEIGHT),
        );
        lines.truncate(height);
        for line in &mut lines {
            *line = printable(line).chars().take(width).collect();
        }
        lines
    }

    fn title(&self) -> String {
        let now = self.now;
        format!(
            "millpond {}  {}  up {}  {} of {} connections",
            now.program,
            now.stage,
            shown(Duration::from_millis(now.uptime_ms)),
            now.connections,
            now.max_connections
        )
    }

    /// A configuration file that is not obeyed is the first thing to know.
    fn refused(&self) -> Vec<String> {
        let Some(config) = &self.now.config else {
            return Vec::new();
        };
        let first = config.refused.first();
        first
            .map(|first| format!("! {} is not in force: {first}", config.file))
            .into_iter()
            .collect()
    }

    fn reads(&self) -> Vec<String> {
        let total = self.now.cache.clone().unwrap_or_default();
        let window = self.window();
        let reads = window.hits + window.stale + window.misses;
        // Where a cache observes, everybody loads.
        let observed = window.matches + window.mismatches;
        let loads = window.leads + window.refreshes + observed;
        let mut lines = vec![
            format!(
                "reads   {:>9}  hit {:>9}  stale {:>8}  miss {:>8}   {} {}",
                self.rate(reads),
                self.rate(window.hits),
                self.rate(window.stale),
                self.rate(window.misses),
                bar(share(window.hits + window.stale, reads)),
                percent(share(window.hits + window.stale, reads)),
            ),
            format!(
                "loads   {:>9}  refresh {:>5}  waited {:>7}  shed {:>8}   origin spared {}",
                self.rate(loads),
                self.rate(window.refreshes),
                self.rate(window.coalesced),
                self.rate(window.shed),
                percent(share(reads.saturating_sub(loads), reads)),
            ),
            format!(
                "since start: {} reads, {} superseded, {} failed, {} given up, {} evicted, {} invalidations",
                total.hits + total.stale + total.misses,
                total.superseded,
                total.failed,
                total.given_up,
                total.evictions,
                total.invalidations
            ),
        ];
        let by_reason: BTreeMap<_, _> = total.stale_by_reason.iter().collect();
        let mut reasons = String::new();
        for (reason, count) in by_reason.iter().filter(|(_, count)| ***count > 0) {
            // Writing to a String does not fail.
            let _ = write!(reasons, "  {reason} {count}");
        }
        if !reasons.is_empty() {
            lines.push(format!("stale answers, why:{reasons}"));
        }
        lines
    }

    fn memory(&self) -> Vec<String> {
        let memory = self.now.memory.unwrap_or_default();
        let filled = share(memory.entry_bytes, memory.budget_bytes);
        let mut line = format!(
            "memory  {} {:>6} of {}, {} entries",
            bar(filled),
            bytes(memory.entry_bytes),
            bytes(memory.budget_bytes),
            memory.entries,
        );
        if let (Some(now), Some(most)) = (memory.in_flight_bytes, memory.in_flight_budget_bytes) {
            let _ = write!(line, "; in flight {} of {}", bytes(now), bytes(most));
        }
        if memory.resident_bytes > 0 {
            let _ = write!(line, "; resident {}", bytes(memory.resident_bytes));
        }
        vec![line]
    }

    fn methods(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<12} {:>9} {:>9} {:>9} {:>8}   {} in flight, {} loads unsettled",
            "METHOD",
            "CALLS",
            "P50",
            "P99",
            "ERRORS",
            self.now.calls_in_flight,
            self.now.loads_unsettled
        )];
        for method in self.now.methods.iter().filter(|method| method.calls > 0) {
            let earlier = self.before.and_then(|(before, _)| {
                before
                    .methods
                    .iter()
                    .find(|other| other.method == method.method)
            });
            let calls = method.calls - earlier.map_or(0, |earlier| earlier.calls).min(method.calls);
            lines.push(format!(
                "{:<12} {:>9} {:>9} {:>9} {:>8}",
                method.method,
                self.rate(calls),
                micros(method.p50_us),
                micros(method.p99_us),
                errors(method)
            ));
        }
        lines
    }

    fn caches(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<24} {:<10} {:>9} {:>9} {:>9} {:>8} {:>8} {:>9} {:>8}",
            "CACHE", "MODE", "READS", "ANSWERED", "LOADS", "FRESH", "STALE", "IF ERROR", "TENANTS"
        )];
        lines.extend(self.now.caches.iter().map(|cache| {
            let before = self.before.and_then(|(before, _)| {
                let mut others = before.caches.iter();
                others.find(|other| other.name == cache.name)?.counts
            });
            format!(
                "{:<24} {:<10} {} {:>8} {:>8} {:>9} {:>8}{}",
                name(cache),
                mode(cache),
                self.counts(cache.counts, before),
                millis(cache.fresh_ms),
                millis(cache.stale_ms),
                millis(cache.stale_if_error_ms),
                cache.tenants,
                observed(cache)
            )
        }));
        if self.now.caches.iter().any(|cache| cache.counts.is_none()) {
            let before = self.before.and_then(|(before, _)| before.other_counts);
            let counts = self.counts(self.now.other_counts, before);
            lines.push(format!(
                "{:<24} {:<10} {counts}",
                "those with -, together", ""
            ));
        }
        lines
    }

    /// Reads, how many of them were answered, and loads, since the last page.
    fn counts(&self, now: Option<CacheCounts>, before: Option<CacheCounts>) -> String {
        let Some(now) = now else {
            return format!("{:>9} {:>9} {:>9}", "-", "-", "-");
        };
        // A sidecar that was restarted meanwhile counts from zero.
        let before = before.unwrap_or_default();
        let hits = now.hits.saturating_sub(before.hits);
        let stale = now.stale.saturating_sub(before.stale);
        let reads = hits + stale + now.misses.saturating_sub(before.misses);
        let loads = now.loads.saturating_sub(before.loads);
        format!(
            "{:>9} {:>9} {:>9}",
            self.rate(reads),
            percent(share(hits + stale, reads)),
            self.rate(loads)
        )
    }

    fn changes(&self) -> Vec<String> {
        self.now
            .changes
            .iter()
            .take(CHANGES)
            .map(|change| {
                format!(
                    "{:>6} ago  {}: {}",
                    shown(Duration::from_millis(change.age_ms)),
                    change.kind,
                    change.what
                )
            })
            .collect()
    }

    /// What was counted since the last page, or since the start.
    fn window(&self) -> CacheStats {
        let now = self.now.cache.clone().unwrap_or_default();
        let Some(before) = self.before.and_then(|(before, _)| before.cache.as_ref()) else {
            return now;
        };
        // A sidecar that was restarted meanwhile counts from zero.
        CacheStats {
            hits: now.hits.saturating_sub(before.hits),
            stale: now.stale.saturating_sub(before.stale),
            misses: now.misses.saturating_sub(before.misses),
            leads: now.leads.saturating_sub(before.leads),
            refreshes: now.refreshes.saturating_sub(before.refreshes),
            coalesced: now.coalesced.saturating_sub(before.coalesced),
            shed: now.shed.saturating_sub(before.shed),
            matches: now.matches.saturating_sub(before.matches),
            mismatches: now.mismatches.saturating_sub(before.mismatches),
            ..now
        }
    }

    /// A count since the last page as a rate; since the start, as a mean.
    fn rate(&self, count: u64) -> String {
        let over = match self.before {
            Some((_, over)) => over,
            None => Duration::from_millis(self.now.uptime_ms),
        };
        let each = count as f64 / over.as_secs_f64().max(0.001);
        match each {
            each if each >= 1e6 => format!("{:.1}M/s", each / 1e6),
            each if each >= 1e4 => format!("{:.1}k/s", each / 1e3),
            each if each >= 10.0 || each == 0.0 => format!("{each:.0}/s"),
            each => format!("{each:.1}/s"),
        }
    }
}

fn name(cache: &CacheInForce) -> String {
    let name = cache.name.as_str();
    if cache.declared {
        name.to_owned()
    } else {
        format!("{name} *")
    }
}

/// What observing found, once it has.
fn observed(cache: &CacheInForce) -> String {
    match (cache.matches, cache.mismatches) {
        (0, 0) => String::new(),
        (same, other) => format!("  observed: {same} as loaded, {other} not"),
    }
}

fn mode(cache: &CacheInForce) -> String {
    let mode = word(cache.mode());
    let left = cache.mode_ends_in_ms.map(Duration::from_millis);
    left.map_or_else(|| mode.to_owned(), |left| format!("{mode} {}", shown(left)))
}

fn errors(method: &MethodStats) -> u64 {
    method
        .by_code
        .iter()
        .filter(|(code, _)| *code != "OK" && *code != "CANCELLED")
        .map(|(_, count)| count)
        .sum()
}

/// `part` of `whole`; nothing of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn bar(share: Option<f64>) -> String {
    let filled = share.unwrap_or(0.0).clamp(0.0, 1.0) * BAR as f64;
    let cell = |at: usize| if at as f64 + 0.5 < filled { '#' } else { '.' };
    let cells: String = (0..BAR).map(cell).collect();
    format!("[{cells}]")
}

fn bytes(bytes: u64) -> String {
    const STEPS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    STEPS
        .iter()
        .find(|(_, shift)| bytes >= 1 << shift)
        .map_or_else(
            || format!("{bytes} B"),
            |(unit, shift)| format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        )
}

fn micros(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros @ 0..1_000) => format!("{micros} µs"),
        Some(micros @ 1_000..1_000_000) => format!("{:.1} ms", micros as f64 / 1e3),
        Some(micros) => format!("{:.1} s", micros as f64 / 1e6),
    }
}

fn millis(millis: u64) -> String {
    shown(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests;
