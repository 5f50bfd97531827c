//! House rules about Rust files.

use std::fs;

use super::Breach;
use crate::{failure::Failure, workspace};

/// Lines that a person reads in one sitting. A file of tests alone, `tests.rs`, may be longer.
const MAX_LINES: usize = 450;

/// What an ignored test must name: the task that runs it.
const TASK: &str = "cargo xtask ";

// Put together here, so that this file does not break its own rules.
const IGNORED: &str = concat!("#[", "ignore");
const UNFINISHED: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!(")];

pub(super) fn files_are_short() -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for source in sources()? {
        let lines = source.text.lines().count();
        if lines > MAX_LINES && source.file_name() != "tests.rs" {
            breaches.push(format!(
                "{}: {lines} lines, {MAX_LINES} allowed",
                source.path
            ));
        }
    }
    Ok(breaches)
}

pub(super) fn modules_are_named() -> Result<Vec<Breach>, Failure> {
    let sources = sources()?;
    let unnamed = sources
        .iter()
        .filter(|source| source.file_name() == "mod.rs");
    Ok(unnamed
        .map(|source| format!("{}: name it after its module", source.path))
        .collect())
}

pub(super) fn ignored_tests_name_their_task() -> Result<Vec<Breach>, Failure> {
    breaching_lines(|line| line.contains(IGNORED) && !line.contains(TASK))
}

pub(super) fn nothing_is_unfinished() -> Result<Vec<Breach>, Failure> {
    breaching_lines(|line| UNFINISHED.iter().any(|word| line.contains(word)))
}

struct Source {
    path: String,
    text: String,
}

impl Source {
    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

fn sources() -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in workspace::files_with_extension("rs")? {
        let text = fs::read_to_string(&path)?;
        let path = workspace::relative(&path);
        sources.push(Source { path, text });
    }
    Ok(sources)
}

fn breaching_lines(breaks: impl Fn(&str) -> bool) -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for source in sources()? {
        for (index, line) in source.text.lines().enumerate() {
            if breaks(line) {
                breaches.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    Ok(breaches)
}
