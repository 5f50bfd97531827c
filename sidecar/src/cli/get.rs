//! `millpond get`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use clap::Args;
use millpond_benches::report::readable;
use millpond_client::{Held, Stale, StaleReason, Value};
use serde_json::json;

use super::bytes;
use super::connection::{Connection, Place};
use super::exit::{Failure, STATUSES, Status};
use super::terminal::escaped;

const EXAMPLES: &str = "Examples:
  millpond get acme users 42
  millpond get acme users 42 > ada.bin
  millpond get acme users 42 --json | jq .fresh_for_ms
  millpond get acme blobs 00ff17 --hex         a key that is not text";

/// Print the value that the cache holds under a key.
///
/// Only looks: it takes no lease, waits for no load and starts none, so it disturbs
/// nobody. Into a file or a pipe go the value's bytes and nothing else; a terminal
/// is shown the value with what is not text escaped. How old it is stands on stderr.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Get {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    connection: Connection,

    /// 1 to 1 024 bytes
    key: OsString,

    /// The key is in hexadecimal
    #[arg(long)]
    hex: bool,

    /// Print one JSON object; times in milliseconds
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(get: Get) -> Result<Status, Failure> {
    let key = bytes::argument("KEY", get.key, get.hex)?;
    let held = get
        .connection
        .run(&get.place, async |cache| cache.get(&key).await)?;
    if get.json {
        bytes::print(format!("{}\n", object(&held)).as_bytes())?;
    } else {
        match &held {
            Held::Value(value) => show(value)?,
            Held::Absent => tell("absent: the origin said that there is no such thing"),
            Held::Nothing => tell("not held"),
        }
    }
    Ok(match held {
        Held::Value(_) => Status::Done,
        Held::Absent | Held::Nothing => Status::Failed,
    })
}

fn show(value: &Value) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        let text = escaped(value);
        bytes::print(format!("{text}\n").as_bytes())?;
    } else {
        bytes::print(value)?;
    }
    let mut about = format!("{} bytes, {} old", value.len(), readable(value.age()));
    // Writing to a String does not fail.
    let _ = match (value.stale(), value.fresh_for()) {
        (Some(stale), _) => write!(about, ", stale: {}", reason(stale)),
        (None, Some(left)) => write!(about, ", fresh for {}", readable(left)),
        (None, None) => Ok(()),
    };
    tell(&about);
    Ok(())
}

fn reason(stale: &Stale) -> &'static str {
    match stale.reason {
        StaleReason::Revalidating => "revalidating",
        StaleReason::LoadFailed => "load_failed",
        StaleReason::BreakerOpen => "breaker_open",
        StaleReason::OverBudget => "over_budget",
        StaleReason::Shed => "shed",
        StaleReason::Unconfirmed => "unconfirmed",
        _ => "other",
    }
}

/// Says it on stderr, where it is not in a value's way.
fn tell(text: &str) {
    // Without a stderr there is nobody to tell.
    drop(writeln!(io::stderr(), "{text}"));
}

fn object(held: &Held) -> serde_json::Value {
    let value = match held {
        Held::Value(value) => value,
        Held::Absent => return json!({"held": "absent"}),
        Held::Nothing => return json!({"held": "nothing"}),
    };
    let text = std::str::from_utf8(value).ok();
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    json!({
        "held": "value",
        // Text where it is text; the bytes in any case.
        "value": text,
        "value_hex": bytes::hex(value),
        "stale": value.stale().map(reason),
        "load_error": value.stale().and_then(|stale| stale.error.clone()),
        "age_ms": millis(value.age()),
        "fresh_for_ms": value.fresh_for().map(millis),
        "version": value.version().map(|version| bytes::hex(version.as_bytes())),
        "etag_hex": bytes::hex(value.etag()),
    })
}
