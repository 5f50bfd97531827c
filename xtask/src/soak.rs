//! `soak`: a long run under load with faults.

use crate::{command, failure::Failure};

/// Long enough to see leaks and drift, short enough to wait for.
const SECONDS: u64 = 60;

pub(crate) fn run(seconds: Option<u64>) -> Result<(), Failure> {
    let seconds = seconds.unwrap_or(SECONDS).to_string();
    command::run(
        command::cargo(&[
            "run",
            "--release",
            "-p",
            "millpond-benches",
            "--bin",
            "soak",
        ])
        .args(["--", "--seconds", &seconds]),
    )
}
