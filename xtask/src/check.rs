//! `check`: rules about the source tree that no compiler checks.

mod arrows;
mod documents;
mod sources;

use crate::{failure::Failure, workspace};

/// A rule that is broken, and where.
type Breach = String;

/// Names a rule and finds what breaks it.
type Check = (&'static str, fn() -> Result<Vec<Breach>, Failure>);

const CHECKS: &[Check] = &[
    (
        "core depends on no runtime, socket, wire format or Redis",
        arrows::core_stays_pure,
    ),
    (
        "a source file reads in one sitting",
        sources::files_are_short,
    ),
    (
        "a module's file is named after it",
        sources::modules_are_named,
    ),
    (
        "an ignored test names the task that runs it",
        sources::ignored_tests_name_their_task,
    ),
    ("nothing is left to do", sources::nothing_is_unfinished),
    ("the licence is there", licence_is_there),
    (
        "the index of decisions is complete",
        documents::decisions_are_indexed,
    ),
    (
        "every relative link of a page resolves",
        documents::links_resolve,
    ),
];

pub(crate) fn run() -> Result<(), Failure> {
    let mut breaches = 0;
    for (rule, find) in CHECKS {
        let found = find()?;
        println!(
            "{:7} {rule}",
            if found.is_empty() { "ok" } else { "BROKEN" }
        );
        for breach in &found {
            println!("        {breach}");
        }
        breaches += found.len();
    }
    if breaches == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{breaches} places break a rule, see above"
        )))
    }
}

fn licence_is_there() -> Result<Vec<Breach>, Failure> {
    let text = std::fs::read_to_string(workspace::root().join("LICENSE")).unwrap_or_default();
    let apache = text.contains("Apache License") && text.contains("Version 2.0");
    Ok(if apache {
        vec![]
    } else {
        vec!["LICENSE does not hold the Apache License, Version 2.0".to_owned()]
    })
}
