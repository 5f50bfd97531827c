//! One connection: HTTP/2 within bounds, until its peer or the drain ends it.
//!
//! What a peer can make us keep is bounded by the settings below: calls open at
//! once, bytes not yet read (the windows), bytes of headers. The product of calls
//! and message size is large: a budget over all messages is still to come. A peer that does not
//! begin to speak, or stops answering pings, is let go.

use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::greeting::Greeting;
use crate::drain::{Stage, Stages};
use crate::rpc::Services;

/// Bytes in flight to us on one connection. Below 1 MiB the h2 crate takes about
/// 150 small calls at once for a flood of tiny frames and closes the connection
/// (`ENHANCE_YOUR_CALM`, `too_many_data_frames`).
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes in flight to us on one call: the largest value in one go.
const CALL_WINDOW: u32 = 1 << 20;
/// Bytes of one call's headers.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// A peer is asked whether it still lives when it was silent for so long.
const PING_EVERY: Duration = Duration::from_secs(30);
/// And has so long to say so.
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// How long a peer has to begin to speak.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// How every connection is served.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    http2: http2::Builder<TokioExecutor>,
    services: Services,
}

impl Serving {
    pub(crate) fn new(services: Services, max_calls: u32) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(CALL_WINDOW)
            .max_concurrent_streams(max_calls)
            .max_header_list_size(MAX_HEADER_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE);
        Self { http2, services }
    }

    /// Serves one connection to its end. `stages` is looked at whenever the
    /// connection wakes, so it should be the worker's own.
    pub(crate) async fn serve<S>(self, stream: S, stages: Stages)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, heard) = Greeting::new(stream);
        let stream = TokioIo::new(stream);
        let mut connection = pin!(self.http2.serve_connection(stream, self.services));
        let mut leaving = pin!(stages.reached(Stage::Leaving));
        let mut greeting = pin!(tokio::time::sleep(GREETING_PATIENCE));
        let (mut told, mut greeted) = (false, false);
        loop {
            // How a connection ended is its peer's business; calls are counted
            // where they are answered.
            tokio::select! {
                _ = &mut connection => return,
                () = &mut leaving, if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = &mut greeting, if !greeted => {
                    if !heard.greeting() {
                        return;
                    }
                    greeted = true;
                }
            }
        }
    }
}
