//! `bench`: in-process benchmarks against other libraries.

use crate::{command, failure::Failure};

pub(crate) fn run() -> Result<(), Failure> {
    command::run(&mut command::cargo(&["bench", "-p", "millpond-benches"]))
}
