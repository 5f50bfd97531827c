//! One connection, from the sidecar's greeting to its end.
//!
//! A connection counts once the sidecar has answered `Hello` on it: the kernel
//! accepts for a process that is stopped, and an answer says which run of which
//! sidecar it is. It is never made again underneath: when it has ended, calls on it
//! fail with [`Ended`] and the [pool](super::pool) makes another.
//!
//! Tuned for values of up to a megabyte over one machine's loopback: HTTP/2's
//! default windows of 64 KiB would stop a large value several times on its way, and
//! all calls of a connection together at the second such value. Memory, worst case:
//! one connection window for each connection.

use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use millpond_proto::v1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::address::Address;
use super::rpc::{Clients, Rpc};
use super::wire;
use crate::error::Error;

/// The oldest revision of the contract that this client can speak to.
const OLDEST_REVISION: u32 = 1;
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// To connect and to be greeted. On one machine either takes microseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What a sidecar said it takes; where it said nothing, what revision 1 takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Takes {
    pub(super) keys: usize,
    pub(super) fills: usize,
    pub(super) message_bytes: usize,
}

impl Takes {
    pub(super) const REVISION_1: Self = Self {
        keys: 512,
        fills: 512,
        message_bytes: 4 << 20,
    };

    fn announced(limits: Option<v1::Limits>) -> Self {
        let or = |said: u32, default| match usize::try_from(said) {
            Ok(0) | Err(_) => default,
            Ok(said) => said,
        };
        let limits = limits.unwrap_or_default();
        Self {
            keys: or(limits.max_keys, Self::REVISION_1.keys),
            fills: or(limits.max_fills, Self::REVISION_1.fills),
            message_bytes: or(limits.max_message_bytes, Self::REVISION_1.message_bytes),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// It took all the time there was.
    pub(super) silent: bool,
}

/// A connection on which the sidecar has answered.
#[derive(Debug)]
pub(super) struct Live {
    clients: Clients,
    pub(super) takes: Takes,
    /// Which of the [pool](super::pool)'s generations it belongs to.
    pub(super) generation: u64,
    ended: AtomicBool,
}

impl Live {
    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// A call on it has found that it takes no more.
    pub(super) fn end(&self) {
        // Relaxed: one fact, which orders nothing.
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the sidecar has said good-bye on it, or it broke.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Connects and greets. A sidecar that is silent for `patience` is dead.
    pub(super) async fn open(
        address: &Address,
        patience: Duration,
        generation: u64,
    ) -> Result<Self, Failed> {
        let within = CONNECT_TIMEOUT.min(patience);
        let opened = tokio::time::timeout(within, Self::greeted(address, patience)).await;
        let (error, silent) = match opened {
            Ok(Ok((clients, takes))) => {
                return Ok(Self {
                    clients,
                    takes,
                    generation,
                    ended: AtomicBool::new(false),
                });
            }
            Ok(Err(error)) => (error, false),
            Err(_) => {
                let message = format!("it did not answer within {within:?}");
                (Error::Unavailable { message }, true)
            }
        };
        Err(Failed {
            error: error.at(address),
            silent,
        })
    }

    async fn greeted(address: &Address, patience: Duration) -> Result<(Clients, Takes), Error> {
        let channel = match address {
            Address::Http { uri, at } => {
                let stream = TcpStream::connect(at.as_str()).await.map_err(refused)?;
                stream.set_nodelay(true).map_err(refused)?;
                over(stream, Endpoint::from(uri.clone()), patience).await?
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(refused)?;
                // The name is not resolved: it only fills `:authority`.
                let endpoint = Endpoint::from_static("http://localhost");
                over(stream, endpoint, patience).await?
            }
        };
        let clients = Clients::new(channel);
        let hello = tonic::Request::new(v1::HelloRequest {});
        let hello = v1::HelloRequest::send(&clients, hello).await;
        let hello = hello.map_err(wire::error)?.into_inner();
        if hello.revision < OLDEST_REVISION {
            let revision = hello.revision;
            return Err(Error::Rejected {
                message: format!("speaks revision {revision}, expected {OLDEST_REVISION} or later"),
            });
        }
        Ok((clients, Takes::announced(hello.limits)))
    }
}

fn refused(error: std::io::Error) -> Error {
    Error::Unavailable {
        message: error.to_string(),
    }
}

/// HTTP/2 over a stream that is there, once.
async fn over<S>(stream: S, endpoint: Endpoint, patience: Duration) -> Result<Channel, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stream = Some(TokioIo::new(stream));
    let once = service_fn(move |_: Uri| ready(stream.take().ok_or(Ended)));
    let channel = endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // A sidecar that was stopped, or whose machine is gone, is noticed while a
        // call waits for it, however patient the call is.
        .http2_keep_alive_interval(patience / 2)
        .keep_alive_timeout(patience / 2)
        .connect_with_connector(once)
        .await;
    channel.map_err(|error| Error::Unavailable {
        message: error.to_string(),
    })
}

/// The connection has ended; this call was not sent.
#[derive(Debug)]
pub(super) struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended")
    }
}

impl std::error::Error for Ended {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sidecar_does_not_announce_is_as_revision_1_has_it() {
        assert_eq!(Takes::announced(None), Takes::REVISION_1);
        let silent = Some(v1::Limits::default());
        assert_eq!(Takes::announced(silent), Takes::REVISION_1);
        let limits = v1::Limits {
            max_keys: 7,
            ..v1::Limits::default()
        };
        let takes = Takes::announced(Some(limits));
        assert_eq!((takes.keys, takes.fills), (7, 512));
    }
}
