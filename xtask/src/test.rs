//! `test`: everything CI runs, in order. The first step that fails ends it.

use std::{fs, time::Duration};

use crate::{
    check, command, command::cargo, console, deployment, envoy, failure::Failure, gauntlet,
    languages, loom, promises, soak, stopwatch::Stopwatch, workspace,
};

/// Rounds that show each row of the gauntlet without holding up a commit.
const QUICK_ROUNDS: u64 = 50;

/// Seconds that start, load, break and stop everything once.
const SHORT_SOAK: u64 = 10;

/// A heading, and what is done under it.
type Step = (&'static str, fn() -> Result<(), Failure>);

const STEPS: &[Step] = &[
    ("toolchain", toolchain),
    ("format", || cargo_runs(&["fmt", "--all", "--check"])),
    ("lints", || {
        cargo_runs(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("check", check::run),
    ("tests", tests),
    ("documentation tests", || {
        cargo_runs(&["test", "--workspace", "--doc"])
    }),
    ("examples", examples),
    ("languages", languages::run),
    ("deployment", deployment::run),
    ("envoy", envoy::run),
    ("loom", loom::run),
    ("promises", promises::run),
    ("gauntlet", || gauntlet::run(Some(QUICK_ROUNDS))),
    ("console", console::run),
    ("soak", || soak::run(Some(SHORT_SOAK))),
];

pub(crate) fn run() -> Result<(), Failure> {
    let mut times = Vec::new();
    for (heading, step) in STEPS {
        println!("\n== {heading}");
        let watch = Stopwatch::start();
        let outcome = step();
        let elapsed = watch.elapsed();
        println!("-- {heading}: {}", seconds(elapsed));
        outcome.map_err(|failure| Failure::new(format!("{heading}: {failure}")))?;
        times.push((heading, elapsed));
    }
    println!("\n== all is well");
    for (heading, elapsed) in times {
        println!("{:>10}  {heading}", seconds(elapsed));
    }
    Ok(())
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

fn cargo_runs(arguments: &[&str]) -> Result<(), Failure> {
    command::run(&mut cargo(arguments))
}

/// `rust-toolchain` managers install components on request only; say which request.
fn toolchain() -> Result<(), Failure> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !command::is_present(&mut cargo(&[subcommand, "--version"])) {
            return Err(Failure::new(format!(
                "{component} is missing: `rustup component add {component}`"
            )));
        }
        println!("{component} is present");
    }
    Ok(())
}

/// nextest gives each test its own process and ends one that hangs. Without it cargo's own runner does.
fn tests() -> Result<(), Failure> {
    if command::is_present(&mut cargo(&["nextest", "--version"])) {
        cargo_runs(&["nextest", "run", "--workspace"])
    } else {
        println!("cargo-nextest is not here: no test has a time limit");
        cargo_runs(&["test", "--workspace", "--lib", "--bins", "--tests"])
    }
}

/// An example that does not run is worse than none.
fn examples() -> Result<(), Failure> {
    cargo_runs(&["build", "--examples", "--workspace"])?;
    for name in client_examples()? {
        cargo_runs(&["run", "--example", &name, "-p", "millpond-client"])?;
    }
    Ok(())
}

fn client_examples() -> Result<Vec<String>, Failure> {
    let folder = workspace::root().join("client/examples");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}
