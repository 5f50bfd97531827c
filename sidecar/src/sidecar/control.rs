//! The control thread: accepts, answers probes and operators, and walks the drain's
//! stages.

use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::{Bound, Duration};
use crate::admin::{self, Admin};
use crate::drain::{Drained, Stage};
use crate::listen::accept::Dispatch;
use crate::probe;
use crate::rpc::Common;
use crate::telemetry::metrics::Observed;

/// How often calls in flight are looked at while the sidecar drains.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long operators' connections get to hear of the end.
const FAREWELL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Control {
    pub(super) bound: Bound,
    pub(super) admin: Admin,
    pub(super) dispatch: Dispatch,
    pub(super) observed: Arc<Observed>,
    pub(super) common: Common,
    pub(super) drain: Duration,
}

impl Control {
    /// Serves until told to end, then ends.
    pub(super) async fn run(mut self) -> Drained {
        let stages = self.observed.stages.clone();
        let mut accepting = JoinSet::new();
        let mut probing = JoinSet::new();
        // A listener that was just made is taken by the reactor, unless the
        // process is out of descriptors; then it serves on the others.
        if let Some(listener) = self.bound.tcp.take() {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    accepting.spawn(self.dispatch.clone().accept_tcp(listener));
                }
                Err(error) => warn!(%error, "not accepting on TCP"),
            }
        }
        let mut socket_file = None;
        if let Some((listener, file)) = self.bound.unix.take() {
            match UnixListener::from_std(listener) {
                Ok(listener) => {
                    accepting.spawn(self.dispatch.clone().accept_unix(listener));
                    socket_file = Some(file);
                }
                Err(error) => warn!(%error, "not accepting on the Unix socket"),
            }
        }
        if let Some(listener) = self.bound.probe.take() {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    probing.spawn(probe::answer(listener, Arc::clone(&self.observed)));
                }
                Err(error) => warn!(%error, "not answering probes"),
            }
        }
        let mut administering = JoinSet::new();
        if let Some(listener) = self.bound.admin.take() {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    administering.spawn(admin::listener::answer(listener, self.admin.clone()));
                }
                Err(error) => warn!(%error, "not answering operators"),
            }
        }

        stages.reached(Stage::Draining).await;
        info!("draining: not ready, accepting no more connections");
        self.admin
            .changes()
            .note("drain", "begun: accepting no more connections");
        self.common.leaving().await;
        accepting.shutdown().await;
        drop(socket_file);
        let cut_off = tokio::select! {
            cut_off = self.finish() => cut_off,
            () = stages.reached(Stage::Stopped) => self.observed.open(),
        };
        stages.advance(Stage::Stopped);
        if cut_off == 0 {
            info!("stopped");
        } else {
            warn!(cut_off, "stopped with calls in flight");
        }
        // Whoever waits for the end is told before the runtime goes.
        self.admin.ended(cut_off);
        drop(timeout(FAREWELL, administering.join_next()).await);
        Drained { cut_off }
    }

    /// Lets calls in flight come to their end. Returns how many did not.
    async fn finish(&mut self) -> usize {
        let now = Instant::now();
        let (half, end) = (now + self.drain / 2, now + self.drain);
        // Followers wait for their leader's `Fill`, which is a new call: what is
        // leased counts as in flight.
        while (self.observed.in_flight() > 0 || self.observed.leased() > 0) && Instant::now() < half
        {
            sleep(LOOK_EVERY).await;
        }
        self.common.end_watches().await;
        self.observed.stages.advance(Stage::Leaving);
        let all = u32::try_from(self.observed.max_connections).unwrap_or(u32::MAX);
        // All places are free once every connection has ended.
        let closed = timeout_at(end, self.observed.places.acquire_many(all)).await;
        match closed {
            Ok(_) => 0,
            Err(_) => self.observed.open(),
        }
    }
}
