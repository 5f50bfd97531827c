//! `millpond explain limit`.

use std::ffi::OsString;
use std::fmt::Write;

use clap::Args;
use millpond_proto::v1::explain_reply::Bucket;
use millpond_proto::v1::{ExplainReply, ExplainRequest, explain_request};
use serde_json::{Value as Json, json};

use crate::cli::bucket::Standing;
use crate::cli::bytes;
use crate::cli::exit::{Failure, STATUSES, Status};
use crate::cli::operator::{Operator, reply};
use crate::cli::terminal::printable;

mod demand;

const EXAMPLES: &str = "Examples:
  millpond explain limit acme
  millpond explain limit acme sms --key +15550100 --json";

/// Every bucket that a charge would come to, and which of them denies.
///
/// Also how much was asked of the limit lately, and for one in shadow what rate and burst
/// it would have to have. Spends nothing.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Limit {
    /// Whose: [A-Za-z0-9._-]
    tenant: String,

    /// Which limit: [a-z0-9._-] [default: the tenant's own]
    #[arg(default_value = "", hide_default_value = true)]
    limit: String,

    /// Whose within the limit, such as a user or an address
    #[arg(long)]
    key: Option<OsString>,

    /// The key is in hexadecimal
    #[arg(long, requires = "key")]
    hex: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(limit: Limit) -> Result<Status, Failure> {
    let key = limit.key.map_or(Ok(Vec::new()), |key| {
        bytes::argument("--key", key, limit.hex)
    })?;
    let request = ExplainRequest {
        tenant: limit.tenant,
        limit: Some(explain_request::Limit {
            limit: limit.limit,
            key: key.into(),
        }),
        ..ExplainRequest::default()
    };
    let told = limit
        .operator
        .run(async |mut sidecar| reply(sidecar.explain(request).await))?;
    if told.limit.is_none() {
        return Err(Failure::refused("this sidecar does not explain limits"));
    }
    let said = if limit.json {
        format!("{}\n", in_json(&told))
    } else {
        in_words(&told)
    };
    bytes::print(said.as_bytes())?;
    Ok(Status::Done)
}

// Writing to a String does not fail.
fn in_words(told: &ExplainReply) -> String {
    let mut text = format!("{}\n", printable(&told.verdict));
    let Some(limit) = &told.limit else {
        return text;
    };
    let _ = writeln!(
        text,
        "\ntenant   {}, of tier {}",
        printable(&limit.state),
        printable(&limit.tier)
    );
    for bucket in &limit.buckets {
        let what = match (bucket.limit.as_str(), bucket.keyed) {
            ("", _) => "own".to_owned(),
            (limit, true) => format!("{}, this key", printable(limit)),
            (limit, false) => printable(limit).to_string(),
        };
        let standing = Standing {
            remaining: bucket.remaining,
            capacity: bucket.capacity,
            rate: bucket.rate,
            period_ms: bucket.period_ms,
            reset_after_ms: bucket.reset_after_ms,
        };
        let _ = write!(text, "bucket   {what}: {}", standing.in_words());
        if !bucket.enforced {
            text.push_str("; counts and does not deny");
        }
        if bucket.shared {
            text.push_str("; shared by all keys there is no room for");
        }
        text.push('\n');
    }
    demand::in_words(limit, &mut text);
    text
}

fn in_json(told: &ExplainReply) -> Json {
    let bucket = |bucket: &Bucket| {
        json!({
            "limit": bucket.limit,
            "keyed": bucket.keyed,
            "capacity": bucket.capacity,
            "remaining": bucket.remaining,
            "rate": bucket.rate,
            "period_ms": bucket.period_ms,
            "reset_after_ms": bucket.reset_after_ms,
            "enforced": bucket.enforced,
            "shared": bucket.shared,
        })
    };
    let limit = told.limit.as_ref();
    json!({
        "verdict": told.verdict,
        "tier": limit.map(|limit| &limit.tier),
        "state": limit.map(|limit| &limit.state),
        "buckets": limit.map(|limit| limit.buckets.iter().map(bucket).collect::<Vec<_>>()),
        "recent": limit.and_then(|limit| limit.recent.as_ref()).map(demand::recent),
        "observed": limit.and_then(|limit| limit.observed.as_ref()).map(demand::observed),
    })
}
