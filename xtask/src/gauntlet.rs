//! `gauntlet`: races that break well-known libraries, run against them and this one.

use crate::{command, failure::Failure};

/// Enough for every row of the table to show itself.
const ROUNDS: u64 = 1000;

pub(crate) fn run(rounds: Option<u64>) -> Result<(), Failure> {
    let rounds = rounds.unwrap_or(ROUNDS).to_string();
    command::run(
        command::cargo(&["run", "--release", "-p", "millpond-gauntlet"])
            .args(["--", "--rounds", &rounds]),
    )
}
