//! The sidecar that a command speaks to.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use millpond_client::{ADDR_VARIABLE, Error, Millpond, RemoteConfig, TenantCache};
use millpond_sidecar::{DEFAULT_LISTEN, DEFAULT_SOCKET};

use tonic::transport::{Channel, Endpoint};

use super::exit::Failure;

/// Which cache.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Whose cache: [A-Za-z0-9._-]
    tenant: String,

    /// Which of the tenant's caches: [a-z0-9._-]
    cache: String,
}

/// Which sidecar.
#[derive(Args, Debug)]
pub(crate) struct Connection {
    /// Where the sidecar is: http://host:port or unix:/path [default: its Unix
    /// socket where there is one, else http://127.0.0.1:7470]
    #[arg(long, env = ADDR_VARIABLE)]
    addr: Option<String>,

    /// How long the sidecar may take to answer
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    timeout_ms: u64,
}

impl Connection {
    /// Runs `call` on the cache.
    pub(crate) fn run<T>(
        &self,
        place: &Place,
        call: impl AsyncFnOnce(TenantCache) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        self.run_in(&place.tenant, &place.cache, call)
    }

    /// The same by the names of a tenant and a cache.
    pub(crate) fn run_in<T>(
        &self,
        tenant: &str,
        cache: &str,
        call: impl AsyncFnOnce(TenantCache) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("threads: {error}"))?;
        runtime.block_on(async {
            let pond = self.connect().await?;
            let cache = pond.cache(cache)?.tenant(tenant)?;
            Ok(call(cache).await?)
        })
    }

    /// Runs `call` on the bare connection, with how long it may take: `beside` the
    /// time that the sidecar has to answer.
    pub(crate) fn run_raw<T>(
        &self,
        beside: Duration,
        call: impl AsyncFnOnce(Channel, Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("threads: {error}"))?;
        runtime.block_on(async {
            let asked = self.addr.as_deref().filter(|addr| !addr.is_empty());
            let address = asked.map_or_else(default_address, str::to_owned);
            // Its form is checked as for every other call.
            RemoteConfig::new(&address).map_err(Failure::usage)?;
            let timeout = Duration::from_millis(self.timeout_ms);
            let endpoint = Endpoint::from_shared(address.clone())
                .map_err(Failure::usage)?
                .connect_timeout(timeout);
            let channel = endpoint.connect().await.map_err(|error| {
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
                Failure::unavailable(format_args!(
                    "{address}: {cause}; --addr or {ADDR_VARIABLE} says where it is"
                ))
            })?;
            call(channel, timeout.saturating_add(beside)).await
        })
    }

    async fn connect(&self) -> Result<Millpond, Failure> {
        let asked = self.addr.as_deref().filter(|addr| !addr.is_empty());
        let address = asked.map_or_else(default_address, str::to_owned);
        // The only thing that can be wrong with an address is its form.
        let config = RemoteConfig::new(&address).map_err(Failure::usage)?;
        let timeout = Duration::from_millis(self.timeout_ms);
        let connected = config.timeout(timeout).connect().await;
        Ok(connected.map_err(|error| match error {
            // Nobody asked for the socket: it may be what another sidecar left.
            Error::Unavailable { message } if asked.is_none() => Error::Unavailable {
                message: format!("{message}; --addr or {ADDR_VARIABLE} says where it is"),
            },
            other => other,
        })?)
    }
}

fn default_address() -> String {
    if Path::new(DEFAULT_SOCKET).exists() {
        RemoteConfig::DEFAULT_ADDRESS.to_owned()
    } else {
        format!("http://{DEFAULT_LISTEN}")
    }
}
