//! `millpond check`.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use millpond_sidecar::config::{DEFAULT_FILE, FILE_VARIABLE, Mistake, Place, Reading, schema};
use serde_json::{Value, json};

use super::bytes;
use super::overrides::{Overrides, file_name, file_or_usual};

/// Nothing is wrong.
const GOOD: u8 = 0;
/// Something is.
const MISTAKES: u8 = 1;
/// There is nothing to check.
const UNREADABLE: u8 = 2;

/// Bytes of standard input; a little more than a file may have.
const MOST: u64 = 2 << 20;

/// Check a configuration without starting anything.
///
/// Names every mistake in one run, with its place, what was found and what is
/// expected. Stricter than serve: a key that means nothing is a mistake.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 nothing is wrong, 1 something is, 2 it cannot be read.

Examples:
  millpond check millpond.yaml
  helm template . | yq 'select(.kind == \"ConfigMap\").data[\"millpond.yaml\"]' | millpond check -
  millpond check --effective              what would be in force, and where each value comes from
  millpond check --json millpond.yaml     for pipelines
  millpond check --schema                 the JSON Schema, for editors"
)]
pub(crate) struct Check {
    /// The file, or - for standard input [default: /etc/millpond/millpond.yaml, if it is there]
    #[arg(env = FILE_VARIABLE, value_parser = file_name())]
    file: Option<PathBuf>,

    /// Print what is found as JSON
    #[arg(long)]
    json: bool,

    /// Print the JSON Schema of the file and check nothing, whichever file is named
    #[arg(long, conflicts_with_all = ["effective", "json"])]
    schema: bool,

    /// Print what would be in force, as YAML, and where each value comes from
    #[arg(long, conflicts_with = "json")]
    effective: bool,

    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(check: Check) -> ExitCode {
    if check.schema {
        return said(&format!("{:#}\n", schema()), GOOD);
    }
    let file = file_or_usual(check.file);
    let name = file.as_ref().map_or_else(
        || format!("no file at {DEFAULT_FILE}, flags and environment"),
        |file| file.display().to_string(),
    );
    let read = if name == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().take(MOST).read_to_end(&mut bytes);
        read.map(|_| check.overrides.over(None).read_bytes(Some(&bytes)))
    } else {
        check.overrides.over(file).read()
    };
    let reading = match read {
        Ok(reading) => reading,
        Err(error) => {
            let why = format!("cannot be read: {error}");
            if check.json {
                let report = json!({ "file": name, "good": false, "unreadable": why });
                return said(&format!("{report:#}\n"), UNREADABLE);
            }
            // Without a stderr there is nobody to tell.
            drop(writeln!(io::stderr(), "millpond: {name}: {why}"));
            return ExitCode::from(UNREADABLE);
        }
    };
    let good = reading.mistakes.is_empty() && reading.unknown.is_empty();
    let code = if good { GOOD } else { MISTAKES };
    let page = if check.json {
        format!("{:#}\n", report(&name, &reading, good))
    } else if check.effective && good {
        reading.effective()
    } else {
        lines(&name, &reading)
    };
    said(&page, code)
}

/// Prints a page.
fn said(page: &str, code: u8) -> ExitCode {
    match bytes::print(page.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        Err(failure) => {
            // Without a stderr there is nobody to tell. A page that cannot be written is
            // no mistake of the file's.
            drop(writeln!(io::stderr(), "millpond: {failure}"));
            ExitCode::from(UNREADABLE)
        }
    }
}

/// In the order of the document, whatever was found first.
fn mistakes(reading: &Reading) -> Vec<&Mistake> {
    let mut all: Vec<_> = reading.mistakes.iter().chain(&reading.unknown).collect();
    all.sort_by_key(|mistake| match &mistake.place {
        Place::File { line, column, .. } => (0, *line, *column),
        _ => (1, 0, 0),
    });
    all
}

fn lines(name: &str, reading: &Reading) -> String {
    let mut page = String::new();
    let mistakes = mistakes(reading);
    // Writing to a String does not fail.
    for mistake in &mistakes {
        let _ = writeln!(page, "{mistake}");
    }
    for warning in &reading.warnings {
        let _ = writeln!(page, "warning: {warning}");
    }
    let (wrong, warned) = (mistakes.len(), reading.warnings.len());
    let _ = match (wrong, warned) {
        (0, 0) => writeln!(page, "{name}: good"),
        (0, _) => writeln!(page, "{name}: good, {warned} to think about"),
        (1, _) => writeln!(page, "{name}: 1 mistake"),
        _ => writeln!(page, "{name}: {wrong} mistakes"),
    };
    page
}

fn report(name: &str, reading: &Reading, good: bool) -> Value {
    let all = |mistakes: Vec<&Mistake>| mistakes.into_iter().map(entry).collect::<Vec<_>>();
    json!({
        "file": name,
        "good": good,
        "mistakes": all(mistakes(reading)),
        "warnings": all(reading.warnings.iter().collect()),
    })
}

fn entry(mistake: &Mistake) -> Value {
    let mut entry = json!({
        "place": mistake.place.to_string(),
        "path": mistake.path,
        "problem": mistake.problem,
        "expected": mistake.expected,
    });
    if let Place::File { line, column, .. } = mistake.place {
        entry["line"] = json!(line);
        entry["column"] = json!(column);
    }
    entry
}
