//! How to reach a sidecar.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use millpond_proto::v1::cache_service_client::CacheServiceClient;

use super::address::Address;
use super::{Remote, channel};
use crate::error::Error;
use crate::millpond::Millpond;

/// The oldest revision of the contract that this client can speak to.
const OLDEST_REVISION: u32 = 1;
/// Larger than any message a sidecar accepts, so that what it holds can be read.
const MAX_MESSAGE: usize = 64 << 20;

/// How to reach a sidecar.
///
/// ```no_run
/// # use millpond_client::RemoteConfig;
/// # async fn connect() -> Result<(), millpond_client::Error> {
/// let pond = RemoteConfig::new("http://127.0.0.1:7470")?
///     .connections(4)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    address: Address,
    connections: usize,
    timeout: Duration,
}

impl RemoteConfig {
    /// Where a sidecar listens unless it is told otherwise.
    pub const DEFAULT_ADDRESS: &'static str = "unix:/run/millpond/millpond.sock";

    /// The sidecar at `unix:/path/to.sock` or `http://host:port`.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the address is neither.
    pub fn new(address: &str) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(address)?,
            connections: 1,
            timeout: Duration::from_secs(2),
        })
    }

    /// How many connections to spread calls over; at least 1. Default 1, which is
    /// enough for about as many calls as one core can send. Each may buffer up to
    /// 16 MiB.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a call may take beyond the time it waits for another's load.
    /// Default 2 s. What it was to do may or may not have been done when it ends.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects, and asks the sidecar what it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing answers; [`Error::Rejected`] when it
    /// speaks another revision of the contract.
    pub async fn connect(self) -> Result<Millpond, Error> {
        let address = self.address.to_string();
        let remote = self.open();
        let hello = remote.hello().await.map_err(|error| match error {
            Error::Unavailable { message } => Error::Unavailable {
                message: format!("{address}: {message}"),
            },
            other => other,
        })?;
        if hello.revision < OLDEST_REVISION {
            return Err(Error::Rejected {
                message: format!(
                    "{address}: speaks revision {}, expected {OLDEST_REVISION} or later",
                    hello.revision
                ),
            });
        }
        Ok(Millpond::remote(remote))
    }

    /// Connects when it is first used: for programs that may start before their
    /// sidecar. Until it is there, calls fail with [`Error::Unavailable`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn connect_lazily(self) -> Millpond {
        Millpond::remote(self.open())
    }

    fn open(&self) -> Remote {
        let client = || {
            CacheServiceClient::new(channel::open(&self.address))
                .max_decoding_message_size(MAX_MESSAGE)
        };
        Remote {
            clients: (0..self.connections).map(|_| client()).collect(),
            next: AtomicUsize::new(0),
            timeout: self.timeout,
            runtime: tokio::runtime::Handle::current(),
        }
    }
}
