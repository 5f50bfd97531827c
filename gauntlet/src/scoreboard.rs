//! The table: races down, caches across; and the same as JSON.

use std::{fmt, io};

use millpond_benches::{lockfile::locked_version, table::Table};
use serde::Serialize;

use crate::{
    notes::{self, Notes},
    race::{Outcome, Race, stale},
    subject::{Change, Subject},
};

/// Everything that was run.
#[derive(Debug, Default, Serialize)]
pub struct Scoreboard {
    rounds: u64,
    columns: Vec<Column>,
}

/// One cache's results.
#[derive(Debug, Serialize)]
struct Column {
    name: &'static str,
    version: String,
    ours: bool,
    calls: Vec<Call>,
    results: Vec<Cell>,
    notes: Notes,
}

/// What was called for a change; nothing where the library has no such thing.
#[derive(Debug, Serialize)]
struct Call {
    change: &'static str,
    call: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Cell {
    race: String,
    outcome: Outcome,
}

impl Scoreboard {
    /// An empty table for races of this many rounds.
    #[must_use]
    pub fn new(rounds: u64) -> Self {
        Self {
            rounds,
            columns: Vec::new(),
        }
    }

    /// Runs every race against one cache and adds its column.
    ///
    /// # Errors
    /// A runtime cannot be started, or the notes' trace cannot be read.
    pub fn run<S: Subject>(&mut self) -> io::Result<()> {
        let results = Race::all()
            .into_iter()
            .map(|race| {
                Ok(Cell {
                    race: race.title(),
                    outcome: race.run::<S>(self.rounds)?,
                })
            })
            .collect::<io::Result<_>>()?;
        self.columns.push(Column {
            name: S::NAME,
            version: version_of(S::PACKAGE).to_owned(),
            ours: S::OURS,
            calls: CHANGES
                .map(|(name, change)| Call {
                    change: name,
                    call: S::call_for(change),
                })
                .into(),
            results,
            notes: notes::measure::<S>()?,
        });
        Ok(())
    }

    /// Whether our own column, if it was run, is without an old read and without a
    /// hung round.
    #[must_use]
    pub fn passed(&self) -> bool {
        let ours = self.columns.iter().filter(|column| column.ours);
        ours.flat_map(|column| &column.results)
            .all(|cell| cell.outcome.is_clean())
    }
}

const CHANGES: [(&str, Change); 5] = [
    ("key", Change::Key),
    ("set", Change::Set),
    ("tag", Change::Tag),
    ("cache", Change::Cache),
    ("tenant", Change::Tenant),
];

fn version_of(package: &str) -> &'static str {
    const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
    locked_version(LOCK, package).unwrap_or("?")
}

impl Outcome {
    /// No old read by a new reader, and every round ended.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        match self {
            Self::NoSuchThing => true,
            Self::Stale(tally) => tally.old + tally.old_later + tally.hung == 0,
            Self::Handover(tally) => tally.hung == 0,
            Self::Error(tally) => tally.hung == 0,
            Self::Herd(tally) => tally.hung == 0,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hung = match self {
            Self::NoSuchThing => return f.write_str("no such thing"),
            Self::Stale(tally) => {
                write!(f, "{} of {} old", tally.old, tally.rounds)?;
                note(f, tally.old_later, "old later")?;
                note(f, tally.change_waited, "changes waited")?;
                note(f, tally.errors, "errors")?;
                tally.hung
            }
            Self::Handover(tally) => {
                write!(f, "{} of {} served, ", tally.served, tally.followers)?;
                write!(f, "{} loads", each(tally.loads, tally.rounds - tally.hung))?;
                note(f, tally.errors, "errors")?;
                tally.hung
            }
            Self::Error(tally) => {
                write!(f, "{} of {} told, ", tally.told, tally.callers)?;
                write!(f, "{} loads", each(tally.loads, tally.rounds - tally.hung))?;
                note(f, tally.cached, "errors kept")?;
                tally.hung
            }
            Self::Herd(tally) => {
                write!(f, "{} of {} served, ", tally.served, tally.callers)?;
                write!(f, "{} loads", each(tally.loads, tally.rounds - tally.hung))?;
                tally.hung
            }
        };
        note(f, hung, "hung")
    }
}

fn note(f: &mut fmt::Formatter<'_>, count: u64, what: &str) -> fmt::Result {
    match count {
        0 => Ok(()),
        count => write!(f, ", {count} {what}"),
    }
}

fn each(total: u64, rounds: u64) -> String {
    match rounds {
        0 => "no".into(),
        rounds => format!("{:.1}", total as f64 / rounds as f64),
    }
}

impl fmt::Display for Scoreboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} forced rounds each.\n", self.rounds)?;
        writeln!(f, "{}", self.races())?;
        writeln!(
            f,
            "Calls used where the truth changes (the closest each has):\n"
        )?;
        writeln!(f, "{}", self.calls())?;
        writeln!(
            f,
            "Notes: small samples; figures to quote come from the benches.\n"
        )?;
        write!(f, "{}", self.notes())
    }
}

impl Scoreboard {
    fn table(&self, first: &str) -> Table {
        let titles = self.columns.iter();
        let titles = titles.map(|column| format!("{} {}", column.name, column.version));
        Table::new(std::iter::once(first.to_owned()).chain(titles))
    }

    fn row<T: fmt::Display>(&self, title: &str, cell: impl Fn(&Column) -> T) -> Vec<String> {
        let cells = self.columns.iter().map(|column| cell(column).to_string());
        std::iter::once(title.to_owned()).chain(cells).collect()
    }

    fn races(&self) -> Table {
        let mut table = self.table("race");
        for (place, race) in Race::all().into_iter().enumerate() {
            table.push(self.row(&race.title(), |column| {
                column.results[place].outcome.to_string()
            }));
            if race == Race::Stale(Change::Key, stale::Reader::AfterLoad) {
                table.push(
                    self.row("(allowed) who already waited got the old value", |column| {
                        match &column.results[place].outcome {
                            Outcome::Stale(tally) => {
                                format!("{} of {}", tally.waiter_old, tally.rounds)
                            }
                            _ => String::new(),
                        }
                    }),
                );
            }
        }
        table
    }

    fn calls(&self) -> Table {
        let mut table = self.table("change");
        for (place, (name, _)) in CHANGES.into_iter().enumerate() {
            table.push(self.row(name, |column| {
                column.calls[place]
                    .call
                    .map_or_else(String::new, |call| format!("`{call}`"))
            }));
        }
        table
    }

    fn notes(&self) -> Table {
        let mut table = self.table("note");
        table.push(self.row("hit through the read-through call, ns", |column| {
            format!("{:.0}", column.notes.warm_read_ns)
        }));
        table.push(self.row("hit ratio, multi3 10 %", |column| {
            format!("{:.2}", column.notes.multi3_hit_percent)
        }));
        table
    }
}
