//! `fuzz`: hostile input to the ports and to the configuration, for as long as one likes; and what peers that are idle,
//! slow or gone cost the others, in figures.

use crate::{command, command::cargo, failure::Failure};

/// Long enough to come by what a quick run misses, short enough to wait for.
const SECONDS: u64 = 60;

/// Configurations tried for each second that the ports get: on one core they take a fraction of it.
const CONFIGURATIONS_A_SECOND: u64 = 1_000;

/// Tests that print what others cost a caller.
const BESIDE: &[&str] = &["--nocapture", "beside::", "ten_thousand_idle"];

pub(crate) fn run(seconds: Option<u64>) -> Result<(), Failure> {
    let seconds = seconds.unwrap_or(SECONDS);
    let sidecar = |test: &str, filter: &[&str]| {
        let mut command = cargo(&[
            "test",
            "--package",
            "millpond-sidecar",
            "--test",
            test,
            "--",
        ]);
        command.args(filter);
        command
    };
    command::run(&mut sidecar("wire", BESIDE))?;
    command::run(
        sidecar("fuzz", &["--nocapture"]).env("MILLPOND_FUZZ_SECONDS", seconds.to_string()),
    )?;
    let cases = seconds.saturating_mul(CONFIGURATIONS_A_SECOND);
    command::run(sidecar("config", &["fuzz::"]).env("PROPTEST_CASES", cases.to_string()))
}
