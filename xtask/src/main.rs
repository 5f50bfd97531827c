//! The tasks of this repository, each by the name a person runs it by: `cargo xtask <task>`.
//!
//! One file a task. `test` is what CI runs, and it calls the others. Nothing here is shipped.
#![expect(
    clippy::print_stdout,
    reason = "a task reports to the terminal that started it"
)]

mod arguments;
mod bench;
mod binaries;
mod check;
mod command;
mod console;
mod deployment;
mod envoy;
mod failure;
mod fuzz;
mod gauntlet;
mod image;
mod languages;
mod libtest;
mod loom;
mod machine;
mod millpond;
mod planted;
mod promises;
mod soak;
mod stopwatch;
mod test;
mod workspace;

use std::process::ExitCode;

use arguments::Arguments;
use failure::Failure;

const USAGE: &str = "\
cargo xtask <task>

  test                  everything CI runs, in order
  check                 rules about the source tree that no compiler checks
  loom                  model-check the atomic protocols, then prove that each model can fail
  promises [--write]    prove that each promised rule has a test that can fail; --write renews docs/promises.md
  languages             the examples of other languages, against a real sidecar
  gauntlet [--rounds N] races that break well-known libraries, run against them and this one
  fuzz [--seconds N]    hostile input to the RPCs, the probe port and the configuration, and what slow peers cost others
  console               the console in headless Chromium, which is installed if it may be
  soak [--seconds N]    a long run under load with faults
  deployment [--write]  chart, manifests, alerts, dashboard and image against the programs that read them;
                        --write renews what is copied
  envoy                 the real Envoy in front of a service, with a sidecar as its rate limit service
  image                 what the image holds, with sizes, from a release build
  bench                 in-process benchmarks against other libraries
";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_process();
    match run(&mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let task = arguments.next_word();
    match task.as_deref() {
        Some("test") => {
            arguments.finish()?;
            test::run()
        }
        Some("check") => {
            arguments.finish()?;
            check::run()
        }
        Some("loom") => {
            arguments.finish()?;
            loom::run()
        }
        Some("promises") => {
            let write = arguments.take_flag("--write");
            arguments.finish()?;
            if write {
                promises::write()
            } else {
                promises::run()
            }
        }
        Some("languages") => {
            arguments.finish()?;
            languages::run()
        }
        Some("gauntlet") => {
            let rounds = arguments.take_number("--rounds")?;
            arguments.finish()?;
            gauntlet::run(rounds)
        }
        Some("fuzz") => {
            let seconds = arguments.take_number("--seconds")?;
            arguments.finish()?;
            fuzz::run(seconds)
        }
        Some("console") => {
            arguments.finish()?;
            console::run()
        }
        Some("soak") => {
            let seconds = arguments.take_number("--seconds")?;
            arguments.finish()?;
            soak::run(seconds)
        }
        Some("deployment") => {
            let write = arguments.take_flag("--write");
            arguments.finish()?;
            if write {
                deployment::write()
            } else {
                deployment::run()
            }
        }
        Some("envoy") => {
            arguments.finish()?;
            envoy::run()
        }
        Some("image") => {
            arguments.finish()?;
            image::run()
        }
        Some("bench") => {
            arguments.finish()?;
            bench::run()
        }
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(Failure::new(format!("no task `{other}`\n\n{USAGE}"))),
        None => Err(Failure::new(format!("which task?\n\n{USAGE}"))),
    }
}
