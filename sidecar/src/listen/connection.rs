//! One connection: HTTP/2 within bounds, until its peer or the drain ends it.
//!
//! What a peer can make us keep is bounded by the settings below (calls open at once,
//! bytes not yet read, bytes of headers) and, over all peers, by the budget of bytes
//! in flight. A peer that does not begin to speak, stops answering pings, does not
//! read, or does not take a reply is let go; so is one that does not go when the
//! sidecar leaves.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use super::authority::Rewriter;
use super::greeting::Greeting;
use super::pace::Pace;
use crate::config::Config;
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
/// How long a peer that was told to go, and has nothing open, may take to do so.
const PARTING: Duration = Duration::from_secs(1);

/// How every connection is served.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    http2: http2::Builder<TokioExecutor>,
    services: Services,
    patience: Duration,
}

impl Serving {
    pub(crate) fn new(services: Services, config: &Config) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(CALL_WINDOW)
            .max_concurrent_streams(config.max_calls)
            .max_header_list_size(MAX_HEADER_BYTES)
            .keep_alive_interval(config.ping_every)
            .keep_alive_timeout(config.patience);
        Self {
            http2,
            services,
            patience: config.patience,
        }
    }

    /// Whether a peer says anything, or closes, while it is waited for.
    pub(crate) async fn spoken(
        &self,
        readable: impl Future<Output = io::Result<()>>,
        stages: &Stages,
    ) -> bool {
        tokio::select! {
            readable = readable => readable.is_ok(),
            () = sleep(self.patience) => false,
            () = stages.reached(Stage::Leaving) => false,
        }
    }

    /// Serves one connection to its end. `stages` is looked at whenever the
    /// connection wakes, so it should be the worker's own.
    pub(crate) async fn serve<S>(self, stream: S, rewriter: Rewriter, stages: &Stages)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let pace = Arc::new(Pace::default());
        let (stream, heard) = Greeting::new(stream, rewriter, self.patience);
        let services = self.services.on(Arc::clone(&pace));
        let connection = self.http2.serve_connection(TokioIo::new(stream), services);
        let mut connection = pin!(connection);
        let mut stuck = pin!(pace.stuck(self.patience));
        let mut leaving = pin!(stages.reached(Stage::Leaving));
        // First for the greeting, then for the parting.
        let mut wait = pin!(sleep(self.patience));
        let (mut told, mut greeted) = (false, false);
        loop {
            // How a connection ended is its peer's business; calls are counted
            // where they are answered.
            tokio::select! {
                _ = &mut connection => return,
                () = &mut stuck => return,
                () = &mut leaving, if !told => {
                    // A peer that has not begun has nothing to finish.
                    if !heard.greeting() {
                        return;
                    }
                    (told, greeted) = (true, true);
                    connection.as_mut().graceful_shutdown();
                    wait.as_mut().reset(Instant::now() + PARTING);
                }
                () = &mut wait, if !greeted || told => {
                    if told {
                        // Well-behaved peers have closed by now.
                        if pace.open() == 0 {
                            return;
                        }
                        wait.as_mut().reset(Instant::now() + PARTING);
                    } else if heard.greeting() {
                        greeted = true;
                    } else {
                        return;
                    }
                }
            }
        }
    }
}
