//! The one handle, embedded or remote.

use std::sync::Arc;

use millpond_core::cache::{CacheName, Pond};

use crate::cache::Cache;
use crate::embedded::{Embedded, EmbeddedConfig};
use crate::error::Error;
use crate::options::Options;
use crate::remote::{Remote, RemoteConfig};

/// The environment variable that names the sidecar.
pub const ADDR_VARIABLE: &str = "MILLPOND_ADDR";

/// A cache: in this process, or in the sidecar beside it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Millpond {
    backend: Backend,
}

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Embedded(Arc<Embedded>),
    Remote(Arc<Remote>),
}

impl Millpond {
    /// A cache in this process. It needs a tokio runtime where it is used, not
    /// where it is made, and a thread of its own that removes what is gone.
    ///
    /// ```
    /// use millpond_client::{EmbeddedConfig, Millpond};
    ///
    /// let pond = Millpond::embedded(EmbeddedConfig::default());
    /// ```
    #[must_use]
    pub fn embedded(config: EmbeddedConfig) -> Self {
        let home = Embedded::new(Pond::new(config.into_core()));
        Self {
            backend: Backend::Embedded(Arc::new(home)),
        }
    }

    /// The cache of the sidecar at `unix:/path/to.sock` or `http://host:port`, when
    /// it answers. [`RemoteConfig`] sets more.
    ///
    /// # Errors
    /// [`Error::Rejected`] for an address that is none; [`Error::Unavailable`] when
    /// nothing answers there.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        RemoteConfig::new(address)?.connect().await
    }

    /// The cache of the sidecar that `MILLPOND_ADDR` names, or of the one at
    /// [`RemoteConfig::DEFAULT_ADDRESS`] when it is unset or empty.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn from_env() -> Result<Self, Error> {
        let address = address_in_env();
        Self::connect(address.as_deref().unwrap_or(RemoteConfig::DEFAULT_ADDRESS)).await
    }

    /// The cache of the sidecar that `MILLPOND_ADDR` names, or one in this process
    /// when it is unset or empty: for programs that also run on their own. Note
    /// that an embedded cache hears of no invalidation from other processes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn from_env_or_embedded(config: EmbeddedConfig) -> Result<Self, Error> {
        match address_in_env() {
            Some(address) => Self::connect(&address).await,
            None => Ok(Self::embedded(config)),
        }
    }

    pub(crate) fn remote(remote: Remote) -> Self {
        Self {
            backend: Backend::Remote(Arc::new(remote)),
        }
    }

    /// A cache by its name, `[a-z0-9._-]{1,64}`. Any name will do; what it promises
    /// is declared in the configuration of the sidecar, or of the embedded cache.
    ///
    /// # Errors
    /// [`Error::BadField`] for the name.
    pub fn cache(&self, name: &str) -> Result<Cache, Error> {
        let name = CacheName::parse(name)?;
        Ok(Cache::new(self.backend.clone(), name, Options::default()))
    }

    /// The core of an embedded cache, with its gauges and totals; `None` when it is
    /// in a sidecar.
    #[must_use]
    pub fn pond(&self) -> Option<&Arc<Pond>> {
        match &self.backend {
            Backend::Embedded(home) => Some(home.pond()),
            Backend::Remote(_) => None,
        }
    }
}

fn address_in_env() -> Option<String> {
    std::env::var(ADDR_VARIABLE)
        .ok()
        .filter(|address| !address.is_empty())
}
