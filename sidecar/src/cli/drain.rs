//! `millpond drain`.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::bytes as output;
use super::exit::{Failure, STATUSES, Status};
use super::operator::{Operator, host};
use super::span::Span;
use super::terminal::printable;

/// How long a sidecar may take to say that it has begun.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of an answer, in bytes.
const MAX_ANSWER: usize = 4 << 10;

const EXAMPLES: &str = "Examples:
  millpond drain                as SIGTERM does, and back at once
  millpond drain --wait 25s     back when calls in flight have ended, or the time is up

A pod needs neither: the kubelet sends SIGTERM when it is this container's turn.";

/// Tell a sidecar to end: no new connections, calls in flight finish.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Drain {
    /// Come back when it has ended, or after so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30s")]
    wait: Option<Span>,

    #[command(flatten)]
    operator: Operator,
}

pub(crate) fn run(drain: Drain) -> Result<Status, Failure> {
    let authority = drain.operator.authority()?;
    let patience = drain.wait.map_or(PATIENCE, |wait| wait.0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let asked = ask(&authority, drain.wait.is_some());
    let told = runtime.block_on(async {
        timeout(patience, asked).await.unwrap_or_else(|_| {
            let what = if drain.wait.is_some() {
                "has not said that it has drained"
            } else {
                "has not answered"
            };
            let patience = Span(patience);
            Err(Failure::unavailable(format_args!(
                "{authority}: {what}, after {patience}"
            )))
        })
    })?;
    output::print(told.as_bytes())?;
    Ok(Status::Done)
}

async fn ask(authority: &str, wait: bool) -> Result<String, Failure> {
    let away = |error: &dyn std::fmt::Display| {
        Failure::unavailable(format_args!(
            "{authority}: {error}; --admin or MILLPOND_ADMIN says where a sidecar's admin port is"
        ))
    };
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|error| away(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| away(&error))?;
    let path = if wait { "/drain?wait" } else { "/drain" };
    let request = Request::post(path)
        .header("host", host(authority))
        .header("x-millpond", "drain")
        .body(Empty::<Bytes>::new())
        .map_err(Failure::usage)?;
    // Beside it, and to its end: a sidecar that ends answers and closes in one go, and
    // what it said is to be read all the same.
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| away(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    connection.abort();
    let said = printable(String::from_utf8_lossy(&body).trim());
    match status {
        StatusCode::OK | StatusCode::ACCEPTED => Ok(format!("{said}\n")),
        _ => Err(Failure::refused(said)),
    }
}
