//! `millpond reload`.

use clap::Args;
use millpond_proto::v1::ReloadConfigRequest;
use serde_json::json;

use super::bytes;
use super::exit::{Failure, STATUSES, Status};
use super::operator::{Operator, reply};
use super::terminal::printable;

const EXAMPLES: &str = "Examples:
  millpond check millpond.yaml && millpond reload
  millpond reload --json";

/// Have a sidecar read its configuration file again, now.
///
/// It does so by itself within seconds of a change, and on SIGHUP. All of the file
/// comes into force, or none; what only a restart brings into force is named.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Reload {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

pub(crate) fn run(reload: Reload) -> Result<Status, Failure> {
    let done = reload
        .operator
        .run(async |mut sidecar| reply(sidecar.reload_config(ReloadConfigRequest {}).await))?;
    let told = if reload.json {
        let done = json!({
            "in_force": done.in_force,
            "errors": done.errors,
            "after_restart": done.after_restart,
        });
        format!("{done}\n")
    } else if done.in_force {
        let later = done.after_restart.iter();
        let later = later.map(|field| format!("  {}: after a restart\n", printable(field)));
        format!("in force\n{}", later.collect::<String>())
    } else {
        let errors = done.errors.iter();
        let errors = errors.map(|error| format!("  {}\n", printable(error)));
        format!(
            "not in force; what was stays so:\n{}",
            errors.collect::<String>()
        )
    };
    bytes::print(told.as_bytes())?;
    Ok(if done.in_force {
        Status::Done
    } else {
        Status::Failed
    })
}
