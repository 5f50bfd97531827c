//! `millpond acquire`.

use std::ffi::OsString;
use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use millpond_proto::v1::{AcquireReply, AcquireRequest, Charge, LimitReason, PeekRequest};
use serde_json::{Value as Json, json};
use tonic::{Code, Request};

use super::bucket::Standing;
use super::bytes;
use super::connection::Connection;
use super::exit::{Failure, STATUSES, Status};
use super::span::{Span, shown};
use super::terminal::printable;

const EXAMPLES: &str = "Examples:
  millpond acquire acme                        one token of the tenant's own
  millpond acquire acme sms --key +15550100    of a limit's key
  millpond acquire acme --cost 20 --wait 2s    wait up to two seconds for a turn
  millpond acquire acme --peek --json          only look";

/// Spend a tenant's tokens, as a call of theirs would.
///
/// Says whether the tenant may, which bucket decided, and when to come back. With
/// --peek nothing is spent.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Acquire {
    #[command(flatten)]
    connection: Connection,

    /// Whose tokens: [A-Za-z0-9._-]
    tenant: String,

    /// Of which limit: [a-z0-9._-] [default: the tenant's own]
    #[arg(default_value = "", hide_default_value = true)]
    limit: String,

    /// Whose within the limit, such as a user or an address
    #[arg(long)]
    key: Option<OsString>,

    /// The key is in hexadecimal
    #[arg(long, requires = "key")]
    hex: bool,

    /// How many; 0 asks and spends nothing
    #[arg(long, value_name = "N", default_value_t = 1)]
    cost: u64,

    /// How long to wait for a turn, at most a minute
    #[arg(
        long,
        value_name = "TIME",
        default_value = "0s",
        conflicts_with = "peek"
    )]
    wait: Span,

    /// Reserve: unless it is committed, it goes back after this time
    #[arg(long, value_name = "TIME", conflicts_with = "peek")]
    hold: Option<Span>,

    /// Only look
    #[arg(long)]
    peek: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(acquire: Acquire) -> Result<Status, Failure> {
    let key = acquire.key.map_or(Ok(Vec::new()), |key| {
        bytes::argument("--key", key, acquire.hex)
    })?;
    let charge = Charge {
        limit: acquire.limit,
        key: key.into(),
        cost: Some(acquire.cost),
    };
    let (tenant, charges) = (acquire.tenant, vec![charge]);
    let (wait, hold) = (acquire.wait, acquire.hold);
    let millis = |span: Span| u32::try_from(span.millis()).unwrap_or(u32::MAX);
    let reply = acquire
        .connection
        .run_raw(wait.0, async |channel, patience| {
            let mut limits = LimitServiceClient::new(channel);
            let reply = if acquire.peek {
                let mut request = Request::new(PeekRequest { tenant, charges });
                request.set_timeout(patience);
                limits.peek(request).await
            } else {
                let mut request = Request::new(AcquireRequest {
                    tenant,
                    charges,
                    max_wait_ms: millis(wait),
                    hold_ms: hold.map(millis),
                    request_id: Vec::new().into(),
                });
                request.set_timeout(patience);
                limits.acquire(request).await
            };
            reply.map(tonic::Response::into_inner).map_err(|status| {
                let said = printable(status.message());
                match status.code() {
                    Code::InvalidArgument => Failure::usage(said),
                    Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Unknown => Failure::unavailable(said),
                    _ => Failure::refused(said),
                }
            })
        })?;
    let told = if acquire.json {
        format!("{}\n", in_json(&reply))
    } else {
        in_words(&reply)
    };
    bytes::print(told.as_bytes())?;
    Ok(if reply.allowed {
        Status::Done
    } else {
        Status::Denied
    })
}

/// A reason's name, as in the contract.
fn reason(reason: LimitReason) -> &'static str {
    match reason {
        LimitReason::Ok => "ok",
        LimitReason::OverLimit => "over_limit",
        LimitReason::Never => "never",
        LimitReason::Suspended => "suspended",
        LimitReason::NotFound => "not_found",
        LimitReason::Unavailable | LimitReason::Unspecified => "unavailable",
    }
}

fn ms(millis: u64) -> String {
    shown(Duration::from_millis(millis))
}

// Writing to a String does not fail.
fn in_words(reply: &AcquireReply) -> String {
    let mut text = match (reply.allowed, reply.reason()) {
        (true, _) if reply.would_deny => {
            "allowed: a limit that is not enforced would have denied it".to_owned()
        }
        (true, _) => "allowed".to_owned(),
        (false, LimitReason::OverLimit) => {
            format!("denied: try again in {}", ms(reply.retry_after_ms))
        }
        (false, LimitReason::Never) => {
            "denied: it costs more than the bucket ever holds".to_owned()
        }
        (false, LimitReason::Suspended) => "denied: the tenant is not served".to_owned(),
        (false, _) => format!(
            "not decided: the tenant is in maintenance, or there is no room; try again in {}",
            ms(reply.retry_after_ms)
        ),
    };
    text.push('\n');
    if reply.waited_ms > 0 {
        let _ = writeln!(text, "waited   {}", ms(reply.waited_ms));
    }
    if let Some(by) = &reply.decided_by {
        let limit = match by.limit.as_str() {
            "" => "the tenant's own".to_owned(),
            limit if by.keyed => format!("limit {}, this key", printable(limit)),
            limit => format!("limit {}", printable(limit)),
        };
        let standing = Standing {
            remaining: reply.remaining,
            capacity: reply.capacity,
            rate: reply.rate,
            period_ms: reply.period_ms,
            reset_after_ms: reply.reset_after_ms,
        };
        let _ = writeln!(text, "bucket   {limit}: {}", standing.in_words());
    } else if reply.allowed {
        text.push_str("bucket   none: nothing limits it\n");
    }
    if let Some(held) = &reply.reservation {
        let _ = writeln!(
            text,
            "held     {:016x}/{} for {}",
            held.boot,
            held.token,
            ms(held.expires_in_ms)
        );
    }
    text
}

fn in_json(reply: &AcquireReply) -> Json {
    let decided_by = reply
        .decided_by
        .as_ref()
        .map(|by| json!({ "limit": by.limit, "keyed": by.keyed }));
    let reservation = reply.reservation.as_ref().map(|held| {
        json!({
            // 64 bits, which a reader with doubles would round.
            "boot": format!("{:016x}", held.boot),
            "token": held.token.to_string(),
            "expires_in_ms": held.expires_in_ms,
        })
    });
    json!({
        "allowed": reply.allowed,
        "reason": reason(reply.reason()),
        "would_deny": reply.would_deny,
        "decided_by": decided_by,
        "capacity": reply.capacity,
        "remaining": reply.remaining,
        "reset_after_ms": reply.reset_after_ms,
        "rate": reply.rate,
        "period_ms": reply.period_ms,
        "retry_after_ms": reply.retry_after_ms,
        "waited_ms": reply.waited_ms,
        "reservation": reservation,
    })
}
