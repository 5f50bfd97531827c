//! `millpond canary`.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use millpond_sidecar::canary::{Canary as Probe, Check, Names, Outcome};
use tonic::Code;

use super::bytes;
use super::connection::Connection;
use super::exit::{Failure, STATUSES, Status};
use super::span::Span;
use super::terminal::printable;

const EXAMPLES: &str = "Examples:
  millpond canary                  every check once
  millpond canary --every 30s      until the first leak";

/// Check that tenants do not see or change what is another's.
///
/// Two tenants of the canary's own ask for the same names: a line a check. Where unknown tenants
/// are refused or share a tier, name both in the configuration. Ends with status 1 at a leak, and
/// when nothing at all could be checked.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Canary {
    #[command(flatten)]
    connection: Connection,

    /// The tenant that has something
    #[arg(long, value_name = "TENANT", env = "MILLPOND_CANARY_A", default_value_t = Names::default().a)]
    a: String,

    /// The tenant that must not be told
    #[arg(long, value_name = "TENANT", env = "MILLPOND_CANARY_B", default_value_t = Names::default().b)]
    b: String,

    /// The cache of both
    #[arg(long, value_name = "CACHE", env = "MILLPOND_CANARY_CACHE", default_value_t = Names::default().cache)]
    cache: String,

    /// Check once; so it is unless --every is said
    #[arg(long, conflicts_with = "every")]
    once: bool,

    /// Check again after this time, until the first leak
    #[arg(long, value_name = "TIME")]
    every: Option<Span>,
}

pub(crate) fn run(canary: Canary) -> Result<Status, Failure> {
    let every = canary.every.map(|every| every.0);
    let (a, b, cache) = (canary.a, canary.b, canary.cache);
    if a == b {
        return Err(Failure::usage("--a and --b: must not be the same tenant"));
    }
    let names = Names { a, b, cache };
    let connection = canary.connection;
    connection.run_raw(Duration::ZERO, async |channel, patience| {
        let mut probe = Probe::new(channel, names, patience);
        loop {
            let told = probe.round().await.map_err(|status| {
                let said = printable(status.message());
                match status.code() {
                    Code::InvalidArgument => Failure::usage(said),
                    _ => Failure::unavailable(said),
                }
            })?;
            bytes::print(lines(&told).as_bytes())?;
            let leaks = told
                .iter()
                .any(|(_, told)| matches!(told, Outcome::Leak(_)));
            match every {
                _ if leaks => return Ok(Status::Failed),
                None if told.iter().all(|(_, told)| matches!(told, Outcome::Skipped(_))) => {
                    let why = "nothing was checked: name both tenants in the configuration, or other ones by --a and --b";
                    return Err(Failure::from(why.to_owned()));
                }
                None => return Ok(Status::Done),
                Some(every) => tokio::time::sleep(every).await,
            }
        }
    })
}

fn lines(told: &[(Check, Outcome)]) -> String {
    let mut lines = String::new();
    for (check, outcome) in told {
        let outcome = outcome.to_string();
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{:<13}{}", check.name(), printable(&outcome));
    }
    lines
}
