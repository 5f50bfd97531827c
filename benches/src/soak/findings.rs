//! What a soak found, and what of it must not be.

use std::fmt;
use std::time::Duration;

use crate::load::counters::Counters;
use crate::table::Table;

/// Memory may be so many percent above what it was half-way, and so many bytes: a page
/// table and a thread's heap come and go.
const GROWTH_PERCENT: u64 = 10;
const MIB: u64 = 1 << 20;

/// What callers did and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Reads answered with a value.
    pub answered: u64,
    /// Reads that were dropped half-way.
    pub walked_away: u64,
    /// Leases kept without ever being settled.
    pub kept: u64,
    /// Leases kept, and settled long after they had run out.
    pub settled_late: u64,
    /// Keys, tags and whole caches invalidated.
    pub invalidations: u64,
    /// Values set.
    pub sets: u64,
    /// Reads told that the load failed.
    pub failed: u64,
    /// Other errors.
    pub errors: u64,
    /// The first of those.
    pub first_error: Option<String>,
    /// Values of another key, or none where there is one.
    pub wrong: u64,
    /// The first read that was older than allowed.
    pub first_old: Option<String>,
}

/// What is left when everybody has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Rights still held.
    pub rights: Option<u64>,
    /// How long it took until none was.
    pub took: Duration,
    /// The bytes there, counted one entry at a time.
    pub audited_bytes: Option<u64>,
    /// The bytes as the cache counts them.
    pub counted_bytes: Option<u64>,
}

/// What a soak found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// How long callers were at it.
    pub duration: Duration,
    /// How many.
    pub callers: usize,
    /// Reads checked by the oracle.
    pub reads: u64,
    /// Those older than an invalidation allows.
    pub old_reads: u64,
    /// What callers did.
    pub deeds: Deeds,
    /// What the cache counted.
    pub counted: Option<Counters>,
    /// Bytes of its process in memory, a sample a second.
    pub resident: Vec<u64>,
    /// What is left at the end.
    pub rest: Rest,
}

impl Deeds {
    pub(super) fn merge(&mut self, other: Self) {
        self.answered += other.answered;
        self.walked_away += other.walked_away;
        self.kept += other.kept;
        self.settled_late += other.settled_late;
        self.invalidations += other.invalidations;
        self.sets += other.sets;
        self.failed += other.failed;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.wrong += other.wrong;
        self.first_old = self.first_old.take().or(other.first_old);
    }
}

impl Findings {
    /// Memory half-way, and the most of the time after.
    #[must_use]
    pub fn growth(&self) -> Option<(u64, u64)> {
        let half = self.resident.len() / 2;
        let half_way = self.resident.get(half.checked_sub(1)?)?;
        Some((*half_way, *self.resident[half..].iter().max()?))
    }

    /// What must not be, a line each; nothing when all is well.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.old_reads > 0 {
            let first = self.deeds.first_old.as_deref().unwrap_or_default();
            found.push(format!("{} old reads; first: {first}", self.old_reads));
        }
        if self.deeds.wrong > 0 {
            found.push(format!("{} wrong values", self.deeds.wrong));
        }
        if self.reads == 0 {
            found.push("nothing was read".to_owned());
        }
        if let Some(rights @ 1..) = self.rest.rights {
            found.push(format!("{rights} rights held at rest"));
        }
        if self.rest.audited_bytes != self.rest.counted_bytes {
            found.push(format!(
                "{:?} bytes there, {:?} counted",
                self.rest.audited_bytes, self.rest.counted_bytes
            ));
        }
        if let Some((half_way, most)) = self.growth()
            && most > half_way + half_way * GROWTH_PERCENT / 100 + MIB
        {
            found.push(format!("memory grew from {half_way} to {most} bytes"));
        }
        found
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "soak: {} callers for {:.0} s\n",
            self.callers,
            self.duration.as_secs_f64()
        )?;
        let mut table = Table::new(["what", "found", "allowed"]);
        let mut row = |what: &str, found: String, allowed: &str| {
            table.push([what.to_owned(), found, allowed.to_owned()]);
        };
        let deeds = &self.deeds;
        row("reads checked", self.reads.to_string(), "");
        row("old reads", self.old_reads.to_string(), "0");
        row("wrong values", deeds.wrong.to_string(), "0");
        row("invalidations", deeds.invalidations.to_string(), "");
        row("sets", deeds.sets.to_string(), "");
        row("reads dropped half-way", deeds.walked_away.to_string(), "");
        row("leases never settled", deeds.kept.to_string(), "");
        row("leases settled late", deeds.settled_late.to_string(), "");
        row("told that the load failed", deeds.failed.to_string(), "");
        let first = deeds.first_error.as_ref();
        let first = first.map_or_else(String::new, |error| format!(" (first: {error})"));
        row("other errors", format!("{}{first}", deeds.errors), "");
        if let Some(counted) = self.counted {
            for (what, count) in [
                ("hits", counted.hits),
                ("stale", counted.stale),
                ("misses", counted.misses),
                ("led", counted.leads),
                ("refreshed", counted.refreshes),
                ("coalesced", counted.coalesced),
                ("promoted", counted.promoted),
                ("given up", counted.given_up),
                ("evicted", counted.evictions),
            ] {
                row(&format!("cache: {what}"), count.to_string(), "");
            }
        }
        let known = |count: Option<u64>| count.map_or("not known".to_owned(), |n| n.to_string());
        row("rights held at rest", known(self.rest.rights), "0");
        row(
            "at rest after",
            format!("{:.1} s", self.rest.took.as_secs_f64()),
            "",
        );
        let counted = known(self.rest.counted_bytes);
        row("bytes there", known(self.rest.audited_bytes), &counted);
        match self.growth() {
            Some((half_way, most)) => {
                let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB as f64);
                row("resident half-way", mib(half_way), "");
                row("resident after, at most", mib(most), "+10 % and 1 MiB");
            }
            None => row("resident", known(None), ""),
        }
        write!(f, "{table}")?;
        match &*self.violations() {
            [] => writeln!(f, "\nnothing amiss"),
            violations => violations
                .iter()
                .try_for_each(|line| writeln!(f, "\nVIOLATION: {line}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Findings {
        Findings {
            duration: Duration::from_secs(4),
            callers: 1,
            reads: 10,
            old_reads: 0,
            deeds: Deeds::default(),
            counted: None,
            resident: vec![10 * MIB, 20 * MIB, 20 * MIB, 22 * MIB],
            rest: Rest {
                rights: Some(0),
                took: Duration::ZERO,
                audited_bytes: Some(7),
                counted_bytes: Some(7),
            },
        }
    }

    #[test]
    fn each_thing_that_must_not_be_is_a_violation() {
        assert_eq!(well().violations(), Vec::<String>::new());
        let spoilt: [fn(&mut Findings); 6] = [
            |found| found.old_reads = 1,
            |found| found.deeds.wrong = 1,
            |found| found.reads = 0,
            |found| found.rest.rights = Some(1),
            |found| found.rest.audited_bytes = Some(8),
            |found| found.resident.push(24 * MIB),
        ];
        for spoil in spoilt {
            let mut found = well();
            spoil(&mut found);
            assert_eq!(found.violations().len(), 1, "{found}");
            assert!(found.to_string().contains("VIOLATION"), "{found}");
        }
    }
}
