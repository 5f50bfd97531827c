//! `millpond explain`.

use std::ffi::OsString;
use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use millpond_proto::v1::explain_reply::{Entry, Event, Flight};
use millpond_proto::v1::{ExplainReply, ExplainRequest};
use serde_json::{Value as Json, json};

use super::bytes;
use super::exit::{Failure, STATUSES, Status};
use super::mode::word;
use super::operator::{Operator, reply};
use super::span::shown;
use super::terminal::printable;

mod limit;

/// Say why a sidecar answers as it does.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Key(Key),
    Limit(limit::Limit),
}

const EXAMPLES: &str = "Examples:
  millpond explain key acme users 42
  millpond explain key acme users 00ff --hex --json";

/// The life of one key: what is held, who loads it, what happened to it last.
///
/// Takes no lease and changes nothing, not even what is evicted next.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Key {
    /// Whose cache: [A-Za-z0-9._-]
    tenant: String,

    /// Which of the tenant's caches: [a-z0-9._-]
    cache: String,

    /// The key
    key: OsString,

    /// The key is in hexadecimal
    #[arg(long)]
    hex: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

pub(crate) fn run(explain: Explain) -> Result<Status, Failure> {
    let key = match explain.what {
        What::Key(key) => key,
        What::Limit(asked) => return limit::run(asked),
    };
    let request = ExplainRequest {
        tenant: key.tenant,
        cache: key.cache,
        key: bytes::argument("KEY", key.key, key.hex)?.into(),
        limit: None,
    };
    let life = key
        .operator
        .run(async |mut sidecar| reply(sidecar.explain(request).await))?;
    let told = if key.json {
        format!("{}\n", in_json(&life))
    } else {
        in_words(&life)
    };
    bytes::print(told.as_bytes())?;
    Ok(Status::Done)
}

fn ms(millis: u64) -> String {
    shown(Duration::from_millis(millis))
}

// Writing to a String does not fail.
fn in_words(life: &ExplainReply) -> String {
    let mut text = format!("{}\n", printable(&life.verdict));
    if let Some(cache) = &life.cache {
        let declared = if cache.declared {
            "declared"
        } else {
            "not declared"
        };
        let _ = writeln!(
            text,
            "\ncache    {declared}, {}; fresh {}, stale {}, on error {}, absent {}",
            word(cache.mode()),
            ms(cache.fresh_ms),
            ms(cache.stale_ms),
            ms(cache.stale_if_error_ms),
            ms(cache.negative_ms)
        );
    }
    let _ = match &life.entry {
        Some(entry) => writeln!(text, "held     {}", entry_in_words(entry)),
        None => writeln!(text, "held     nothing"),
    };
    let _ = match &life.flight {
        Some(flight) => writeln!(text, "loading  {}", flight_in_words(flight)),
        None => writeln!(text, "loading  nobody"),
    };
    if let Some(hash) = key_hash(life) {
        let _ = writeln!(text, "hash     {hash}");
    }
    if !life.events.is_empty() {
        let _ = writeln!(text, "\nlast events, newest first:");
    }
    for event in &life.events {
        let _ = writeln!(
            text,
            "  {:>8} ago  {:<18} {} {}",
            ms(event.age_ms),
            event.what.replace('_', " "),
            bytes::hex(&event.version),
            printable(&event.detail)
        );
    }
    text
}

/// Nothing while nobody uses the cache: a hash is of a key in it.
fn key_hash(life: &ExplainReply) -> Option<String> {
    (life.key_hash != 0).then(|| format!("{:016x}", life.key_hash))
}

fn entry_in_words(entry: &Entry) -> String {
    let what = if entry.absent {
        "that there is no such thing".to_owned()
    } else {
        format!("{} bytes", entry.value_bytes)
    };
    let mut text = format!(
        "{what}, {}; {} old",
        entry.state.replace('_', " "),
        ms(entry.age_ms),
    );
    if entry.load_ms > 0 {
        let _ = write!(text, ", loaded in {}", ms(entry.load_ms));
    }
    // All are told from now on; what adds nothing to the one before is none.
    let mut before = 0;
    for (phase, left) in [
        ("fresh", entry.fresh_for_ms),
        ("stale", entry.stale_for_ms),
        ("on error", entry.stale_if_error_for_ms),
    ] {
        if left > before {
            let _ = write!(text, "; {phase} for {}", ms(left - before));
            before = left;
        }
    }
    let _ = write!(text, "; version {}", bytes::hex(&entry.version));
    if !entry.tags.is_empty() {
        let _ = write!(text, "; tags {}", printable(&entry.tags.join(", ")));
    }
    if entry.failures > 0 {
        let _ = write!(
            text,
            "; {} refreshes failed, the next in {}",
            entry.failures,
            ms(entry.backing_off_ms)
        );
    }
    text
}

fn flight_in_words(flight: &Flight) -> String {
    let what = if flight.refresh {
        "a refresh"
    } else {
        "a load"
    };
    let void = if flight.void {
        "; something moved since: what it brings will not be stored"
    } else {
        ""
    };
    format!(
        "{what}, begun {} ago, alone for another {}, {} wait for it{void}",
        ms(flight.began_ms_ago),
        ms(flight.exclusive_for_ms),
        flight.waiters
    )
}

fn in_json(life: &ExplainReply) -> Json {
    let entry = life.entry.as_ref().map(|entry| {
        json!({
            "state": entry.state,
            "absent": entry.absent,
            "value_bytes": entry.value_bytes,
            "counted_bytes": entry.counted_bytes,
            "version": bytes::hex(&entry.version),
            "age_ms": entry.age_ms,
            "load_ms": entry.load_ms,
            "fresh_for_ms": entry.fresh_for_ms,
            "stale_for_ms": entry.stale_for_ms,
            "stale_if_error_for_ms": entry.stale_if_error_for_ms,
            "tags": entry.tags,
            "etag": entry.etag,
            "failures": entry.failures,
            "backing_off_ms": entry.backing_off_ms,
        })
    });
    let flight = life.flight.as_ref().map(|flight| {
        json!({
            "began_ms_ago": flight.began_ms_ago,
            "exclusive_for_ms": flight.exclusive_for_ms,
            "waiters": flight.waiters,
            "refresh": flight.refresh,
            "loads": flight.loads,
            "void": flight.void,
        })
    });
    let cache = life.cache.as_ref().map(|cache| {
        json!({
            "declared": cache.declared,
            "mode": word(cache.mode()),
            "fresh_ms": cache.fresh_ms,
            "stale_ms": cache.stale_ms,
            "stale_if_error_ms": cache.stale_if_error_ms,
            "negative_ms": cache.negative_ms,
        })
    });
    let event = |event: &Event| {
        json!({
            "age_ms": event.age_ms,
            "what": event.what,
            "version": bytes::hex(&event.version),
            "detail": event.detail,
        })
    };
    json!({
        "verdict": life.verdict,
        "key_hash": key_hash(life),
        "cache": cache,
        "entry": entry,
        "flight": flight,
        "events": life.events.iter().map(event).collect::<Vec<_>>(),
    })
}
