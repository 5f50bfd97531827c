//! `promises`: each rule that is promised has a test, and the test has been seen to fail.
//!
//! The table says which planted bug breaks which rule and which test notices. `docs/promises.md` is the
//! same table for readers; it is generated, and a mismatch fails.

mod page;
pub(crate) mod table;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{binaries, command, failure::Failure, planted, workspace};
use table::PROMISES;

/// One rule, the test that keeps it, and a bug that the test notices.
#[derive(Debug)]
pub(crate) struct Promise {
    /// Name of the rule: `C1`.
    pub(crate) rule: &'static str,
    /// The rule, as one sentence for readers.
    pub(crate) promise: &'static str,
    pub(crate) kind: Kind,
    /// Crate of the test.
    pub(crate) package: &'static str,
    /// Integration test or binary by its name; `None` is the crate's library.
    pub(crate) test_target: Option<&'static str>,
    /// Full path of the test inside its binary: `cache::fill::tests::one_leader_a_key`.
    pub(crate) test: &'static str,
    /// Name of the planted bug: `two-leaders`.
    pub(crate) bug: &'static str,
}

/// How a promise's test is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary test. `cargo xtask promises` runs it.
    Unit,
    /// A loom model: interleavings of up to three preemptions. `cargo xtask loom` runs it.
    Loom,
}

const PAGE: &str = "docs/promises.md";

/// Other flags, so another place: the ordinary builds keep their artifacts.
const TARGET: &str = "target/planted";

pub(crate) fn run() -> Result<(), Failure> {
    check_table()?;
    let path = page_path();
    let on_disk = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    if on_disk != page::render(&PROMISES) {
        let advice = "is not what the table says: run `cargo xtask promises --write`";
        return Err(Failure::new(format!("{PAGE} {advice}")));
    }

    let promises: Vec<&Promise> = PROMISES
        .iter()
        .copied()
        .filter(|row| row.kind == Kind::Unit)
        .collect();
    let binaries = binaries::build(&mut cargo_test(&promises))?;
    let logs = workspace::root().join(TARGET).join("planted");
    planted::pass_without_bug(&promises, &binaries, &logs)?;
    planted::fail_with_bug(&promises, &binaries, &logs)
}

/// Renews the page. Whether the table is complete is for [`run`] to say.
pub(crate) fn write() -> Result<(), Failure> {
    fs::write(page_path(), page::render(&PROMISES))?;
    println!("wrote {PAGE}");
    Ok(())
}

fn page_path() -> PathBuf {
    Path::new(workspace::root()).join(PAGE)
}

/// Builds the binaries that rows name, and no others: those of the sidecar are many.
fn cargo_test(promises: &[&Promise]) -> Command {
    let mut command = command::cargo(&["test", "--no-run", "--target-dir", TARGET]);
    command.env("RUSTFLAGS", "--cfg millpond_planted");
    let named = promises.iter().map(|row| match row.test_target {
        None => vec!["-p", row.package, "--lib"],
        Some(target) => vec!["-p", row.package, "--test", target],
    });
    for arguments in named.collect::<BTreeSet<_>>() {
        command.args(arguments);
    }
    command
}

/// A bug that no row names proves nothing, and a row cannot name a bug that is not there.
fn check_table() -> Result<(), Failure> {
    let in_sources = planted::named_in_sources()?;
    let in_table: BTreeSet<String> = PROMISES.iter().map(|row| row.bug.to_owned()).collect();
    let list = |names: Vec<&String>| {
        names
            .into_iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let orphans = list(in_sources.difference(&in_table).collect());
    if !orphans.is_empty() {
        return Err(Failure::new(format!(
            "bugs planted without a row in xtask/src/promises/table.rs: {orphans}"
        )));
    }
    let unknown = list(in_table.difference(&in_sources).collect());
    if !unknown.is_empty() {
        return Err(Failure::new(format!(
            "rows that name no planted bug: {unknown}"
        )));
    }
    Ok(())
}
