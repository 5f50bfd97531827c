//! `loom`: model-checks the atomic protocols, then proves that each model can fail.
//!
//! Without its private cfg every model compiles to nothing and passes. So the number that ran is asserted.

use std::{env, process::Command};

use crate::{
    binaries, command,
    failure::Failure,
    libtest::Totals,
    planted,
    promises::{Kind, Promise, table::PROMISES},
    workspace,
};

/// How many models there are. Whoever adds one raises this.
const EXPECTED_MODELS: usize = 48;

const PACKAGE: &str = "millpond-loom-tests";

/// Other flags, so another place: the ordinary builds keep their artifacts.
const TARGET: &str = "target/loom";

/// Preemptions a model explores; nearly all known bugs need no more. `LOOM_MAX_PREEMPTIONS` overrides it.
const PREEMPTIONS: &str = "3";
const PREEMPTIONS_VARIABLE: &str = "LOOM_MAX_PREEMPTIONS";

pub(crate) fn run() -> Result<(), Failure> {
    let (status, printed) = command::tee(&mut cargo_test(&[]))?;
    let totals = Totals::of(&printed);
    if !status.success() {
        return Err(Failure::new(format!(
            "{} models failed ({status})",
            totals.failed
        )));
    }
    if totals.passed != EXPECTED_MODELS {
        return Err(Failure::new(format!(
            "{} models ran, {EXPECTED_MODELS} were expected: EXPECTED_MODELS in xtask/src/loom.rs says how many there are",
            totals.passed
        )));
    }
    println!("{EXPECTED_MODELS} models hold");

    let promises: Vec<&Promise> = PROMISES
        .iter()
        .copied()
        .filter(|row| row.kind == Kind::Loom)
        .collect();
    let binaries = binaries::build(&mut cargo_test(&["--no-run"]))?;
    let logs = workspace::root().join(TARGET).join("planted");
    // All models have just passed without a bug.
    planted::fail_with_bug(&promises, &binaries, &logs)
}

fn cargo_test(arguments: &[&str]) -> Command {
    let mut command = command::cargo(&["test", "--release", "-p", PACKAGE, "--target-dir", TARGET]);
    command
        .args(arguments)
        .env("RUSTFLAGS", "--cfg millpond_loom")
        .env(PREEMPTIONS_VARIABLE, preemptions())
        // Models need optimised code, not the smallest: linking takes longer than most of them run.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    command
}

fn preemptions() -> String {
    env::var(PREEMPTIONS_VARIABLE).unwrap_or_else(|_| PREEMPTIONS.to_owned())
}
