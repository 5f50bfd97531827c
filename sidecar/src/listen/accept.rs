//! Taking connections in and handing them to the workers in turn.
//!
//! By hand for both kinds of socket: the kernel can spread TCP over several
//! listeners but not Unix sockets, and each worker's runtime must own what it
//! serves.
//!
//! ```text
//!  accepted ──► no place left: refused
//!           ──► the worker whose turn it is ──behind──► the others in turn
//!                          all behind: nothing is accepted until one has room;
//!                          none has within its patience: refused
//! ```
//!
//! Workers are behind only in a burst, and then for milliseconds: whoever comes
//! meanwhile waits in the kernel's backlog, where nothing is lost. What is closed
//! here is counted, whatever the reason.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::select_ok;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{info, warn};

/// How long nothing is accepted after the kernel refused, as when the process
/// has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a connection waits for a worker when all are behind. A peer that is not
/// taken by then is better told so.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that the kernel keeps until they are accepted; it takes less where
/// `net.core.somaxconn` is less, whose default this is. Above it a TCP peer tries
/// again after a second, and one on a Unix socket is refused; the 128 of the standard
/// library are met by a burst.
pub(crate) const BACKLOG: i32 = 4_096;

/// A connection on its way to a worker, bound to no runtime.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// Its place among the connections that may be open at once.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Connections closed as they came, because as many were open as may be or no worker
/// took them.
#[derive(Debug, Default)]
pub(crate) struct Refusals(AtomicU64);

// Relaxed throughout: a count, which orders nothing.
impl Refusals {
    fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Hands connections to workers.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    workers: Arc<[mpsc::Sender<Accepted>]>,
    next: Arc<AtomicUsize>,
    places: Arc<Semaphore>,
    refusals: Arc<Refusals>,
}

impl Dispatch {
    pub(crate) fn new(
        workers: Vec<mpsc::Sender<Accepted>>,
        places: Arc<Semaphore>,
        refusals: Arc<Refusals>,
    ) -> Self {
        Self {
            workers: workers.into(),
            next: Arc::new(AtomicUsize::new(0)),
            places,
            refusals,
        }
    }

    pub(crate) async fn accept_tcp(self, listener: TcpListener) {
        let mut gate = Gate::default();
        loop {
            let accepted = listener.accept().await.and_then(|(stream, _)| {
                // Replies are small and each is wanted now.
                stream.set_nodelay(true)?;
                stream.into_std().map(Stream::Tcp)
            });
            self.hand_over(accepted, &mut gate).await;
        }
    }

    pub(crate) async fn accept_unix(self, listener: UnixListener) {
        let mut gate = Gate::default();
        loop {
            let accepted = match listener.accept().await {
                Ok((stream, _)) => stream.into_std().map(Stream::Unix),
                Err(error) => Err(error),
            };
            self.hand_over(accepted, &mut gate).await;
        }
    }

    async fn hand_over(&self, accepted: io::Result<Stream>, gate: &mut Gate) {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                if !is_the_peers(&error) {
                    gate.close(&error);
                    tokio::time::sleep(PAUSE).await;
                }
                return;
            }
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refusals.one();
            gate.close(&"as many connections are open as may be");
            return;
        };
        match self.to_a_worker(Accepted { stream, place }).await {
            Ok(()) => gate.open(),
            Err(NotTaken) => {
                self.refusals.one();
                gate.close(&"no worker takes connections");
            }
        }
    }

    async fn to_a_worker(&self, mut accepted: Accepted) -> Result<(), NotTaken> {
        // Relaxed: any order of turns is a fair one.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let (before, from) = self.workers.split_at(turn);
        for worker in from.iter().chain(before) {
            match worker.try_send(accepted) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => accepted = back,
            }
        }
        let room = self.workers.iter().map(|worker| Box::pin(worker.reserve()));
        match timeout(PATIENCE, select_ok(room)).await {
            Ok(Ok((room, _others))) => {
                room.send(accepted);
                Ok(())
            }
            // None has room, or none is there.
            Err(_) | Ok(Err(_)) => Err(NotTaken),
        }
    }
}

/// No worker took a connection.
#[derive(Debug)]
struct NotTaken;

/// Whether accepting failed because that one peer went away.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Logs that connections are refused, and that they are no longer, once each.
#[derive(Debug, Default)]
struct Gate {
    closed: bool,
}

impl Gate {
    fn close(&mut self, why: &dyn std::fmt::Display) {
        if !self.closed {
            self.closed = true;
            warn!(%why, "connections are being refused");
        }
    }

    fn open(&mut self) {
        if self.closed {
            self.closed = false;
            info!("connections are accepted again");
        }
    }
}

#[cfg(test)]
mod tests;
