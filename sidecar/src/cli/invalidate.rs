//! `millpond invalidate`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use millpond_client::{Durability, Invalidation, Target};
use serde_json::json;

use super::bytes;
use super::connection::Connection;
use super::exit::{Failure, STATUSES, Status};

const EXAMPLES: &str = "Examples:
  millpond invalidate acme users 42 43
  millpond invalidate acme users --tag team:7
  millpond invalidate acme users --all
  millpond invalidate acme users 42 --settle-ms 500      the replica that loads lags
  millpond invalidate acme users --all --soft            refresh everything, gently";

/// Make the values of keys, of tags or of a whole cache unservable.
///
/// Once it has returned, no read in the pod sees an older value, whatever was in
/// flight. It costs the same whatever a tag or a cache covers.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Invalidate {
    #[command(flatten)]
    connection: Connection,

    /// These keys
    #[arg(required_unless_present_any = ["tags", "all"])]
    keys: Vec<OsString>,

    /// Whatever carries this tag; may be given again
    #[arg(long = "tag", value_name = "TAG", conflicts_with_all = ["keys", "all"])]
    tags: Vec<String>,

    /// All that the tenant has in this cache
    #[arg(long, conflicts_with = "keys")]
    all: bool,

    /// The keys are in hexadecimal
    #[arg(long, requires = "keys")]
    hex: bool,

    /// Make stale instead of removing: answered while it is refreshed
    #[arg(long)]
    soft: bool,

    /// How long the source may still answer the old value, as a replica that lags:
    /// what begins to load within that time expires at its end
    #[arg(long, value_name = "MS", default_value_t = 0)]
    settle_ms: u32,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(invalidate: Invalidate) -> Result<Status, Failure> {
    let target = if invalidate.all {
        Target::All
    } else if invalidate.tags.is_empty() {
        let keys = invalidate.keys.into_iter();
        let keys = keys.map(|key| bytes::argument("KEY", key, invalidate.hex));
        Target::keys(keys.collect::<Result<Vec<_>, _>>()?)
    } else {
        Target::tags(invalidate.tags)
    };
    let how = Invalidation {
        soft: invalidate.soft,
        settle: Duration::from_millis(invalidate.settle_ms.into()),
    };
    let done = invalidate
        .connection
        .run(async |cache| cache.invalidate_with(target, how).await)?;
    let version = bytes::hex(done.version.as_bytes());
    let (durability, reached) = match done.durability {
        Durability::Local => ("local", "this pod"),
        Durability::Stored => ("stored", "the second level"),
    };
    let told = if invalidate.json {
        format!(
            "{}\n",
            json!({"durability": durability, "version": version})
        )
    } else {
        format!("invalidated, as far as {reached}, version {version}\n")
    };
    bytes::print(told.as_bytes())?;
    Ok(Status::Done)
}
