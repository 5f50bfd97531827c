//! `millpond set`.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millpond_client::{Bytes, Item, Times};
use serde_json::json;

use super::bytes;
use super::connection::{Connection, Place};
use super::exit::{Failure, STATUSES, Status};

const EXAMPLES: &str = "Examples:
  millpond set acme users 42 Ada
  millpond set acme users 42 Ada --fresh-ms 60000 --tag team:7
  curl -s https://example.com/logo.png | millpond set acme pages logo -
  millpond set acme pages logo --file logo.png --etag v7";

/// Write a value under a key.
///
/// After a write to a database prefer `millpond invalidate`: two writers that race
/// may set in the wrong order. Once this has returned, no read in the pod sees what
/// was held before.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Set {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    connection: Connection,

    /// 1 to 1 024 bytes
    key: OsString,

    /// The value; - reads it from stdin
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<OsString>,

    /// Read the value from a file
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    /// The key is in hexadecimal
    #[arg(long)]
    hex: bool,

    /// How long it is fresh [default: as the cache is declared]
    #[arg(long, value_name = "MS")]
    fresh_ms: Option<u32>,

    /// How long it is answered after that while it is refreshed
    #[arg(long, value_name = "MS")]
    stale_ms: Option<u32>,

    /// How long it is answered after that when loading fails
    #[arg(long, value_name = "MS")]
    stale_if_error_ms: Option<u32>,

    /// Carry this tag, to be invalidated by; may be given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// The origin's validator
    #[arg(long)]
    etag: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(set: Set) -> Result<Status, Failure> {
    let value = value(set.value, set.file)?;
    let key = bytes::argument("KEY", set.key, set.hex)?;
    let millis = |millis: u32| Duration::from_millis(millis.into());
    let item = Item::new(Bytes::from(value))
        .times(Times {
            fresh: set.fresh_ms.map(millis),
            stale: set.stale_ms.map(millis),
            stale_if_error: set.stale_if_error_ms.map(millis),
        })
        .tags(set.tags)
        .etag(set.etag.unwrap_or_default());
    let stored = set
        .connection
        .run(&set.place, async |cache| cache.set(&key, item).await)?;
    let version = bytes::hex(stored.as_bytes());
    let told = if set.json {
        format!("{}\n", json!({"stored": true, "version": version}))
    } else {
        format!("stored, version {version}\n")
    };
    bytes::print(told.as_bytes())?;
    Ok(Status::Done)
}

fn value(given: Option<OsString>, file: Option<PathBuf>) -> Result<Vec<u8>, Failure> {
    if let Some(path) = file {
        return std::fs::read(&path)
            .map_err(|error| Failure::usage(format_args!("--file: {}: {error}", path.display())));
    }
    let given = given.unwrap_or_default();
    if given == "-" {
        let mut value = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut value);
        read.map_err(|error| format!("stdin: {error}"))?;
        return Ok(value);
    }
    bytes::argument("VALUE", given, false)
}
