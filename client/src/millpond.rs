//! The one handle, embedded or remote.

use std::sync::Arc;

use millpond_core::cache::{CacheName, Pond};

use crate::cache::Cache;
use crate::embedded::{Embedded, EmbeddedConfig};
use crate::environment::Environment;
use crate::error::Error;
use crate::limit::Limit;
use crate::limit::charges::{Charges, named};
use crate::options::Options;
use crate::remote::{Remote, RemoteConfig};

/// A cache: in this process, or in the sidecar beside it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Millpond {
    backend: Backend,
    /// What every handle begins with.
    options: Options,
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
        let (core, directory) = config.into_core();
        let home = Embedded::new(Pond::new(core), directory);
        Self {
            backend: Backend::Embedded(Arc::new(home)),
            options: Options::default(),
        }
    }

    /// The cache of the sidecar at `unix:/path/to.sock` or `http://host:port`, when
    /// it answers. The connection is made again when it breaks. [`RemoteConfig`] sets more.
    ///
    /// # Errors
    /// [`Error::Rejected`] for an address that is none; [`Error::Unavailable`] when
    /// nothing answers there.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        RemoteConfig::new(address)?.connect().await
    }

    /// The cache that the environment names: the sidecar at `MILLPOND_ADDR`, or at
    /// [`RemoteConfig::DEFAULT_ADDRESS`] when that is unset or empty.
    ///
    /// `MILLPOND_BYPASS=1` is the kill switch of one process: every read loads for
    /// its caller alone, as if there were no cache, and need not reach the sidecar;
    /// writes and invalidations still do. It says so on stderr, once. `0` is the
    /// same as unset.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`Error::Rejected`] for a variable that cannot
    /// be understood.
    pub async fn from_env() -> Result<Self, Error> {
        Environment::read()?.remote().await
    }

    /// As [`from_env`](Self::from_env), but a cache in this process where
    /// `MILLPOND_ADDR` is unset or empty: for programs that also run on their own.
    /// Note that an embedded cache hears of no invalidation from other processes.
    ///
    /// # Errors
    /// As there.
    pub async fn from_env_or_embedded(config: EmbeddedConfig) -> Result<Self, Error> {
        let environment = Environment::read()?;
        if environment.names_a_sidecar() {
            return environment.remote().await;
        }
        let embedded = Self::embedded(config);
        Ok(if environment.bypass() {
            embedded.bypassed()
        } else {
            embedded
        })
    }

    /// The same, but reads go past it.
    pub(crate) fn bypassed(self) -> Self {
        Self {
            options: self.options.bypassed(),
            ..self
        }
    }

    pub(crate) fn remote(remote: Remote) -> Self {
        Self {
            backend: Backend::Remote(Arc::new(remote)),
            options: Options::default(),
        }
    }

    /// A cache by its name, `[a-z0-9._-]{1,64}`. Any name will do; what it promises
    /// is declared in the configuration of the sidecar, or of the embedded cache.
    ///
    /// # Errors
    /// [`Error::BadField`] for the name.
    pub fn cache(&self, name: &str) -> Result<Cache, Error> {
        let name = CacheName::parse(name)?;
        Ok(Cache::new(self.backend.clone(), name, self.options))
    }

    /// A limit by its name, `[a-z0-9._-]{1,64}`; empty is the tenant's own, as
    /// [`requests`](Self::requests). What it allows is declared with the tiers, in the
    /// configuration of the sidecar or in the
    /// [directory](EmbeddedConfig::directory) of this process.
    ///
    /// # Errors
    /// [`Error::BadField`] for the name.
    pub fn limit(&self, name: &str) -> Result<Limit, Error> {
        Ok(Limit::new(self.backend.clone(), named(name)?))
    }

    /// The tenants' own limit: so many requests.
    #[must_use]
    pub fn requests(&self) -> Limit {
        Limit::new(self.backend.clone(), None)
    }

    /// Several charges that are spent together or not at all.
    pub fn charges(&self) -> Charges {
        Charges::new(self.backend.clone())
    }

    /// Hands back the tokens that the sidecar granted to
    /// [granted limits](crate::GrantedLimit) of this connection, and waits, at most
    /// about a second, until it has them: for the end of a program. Dropping the last
    /// handle does the same in the background, where there is still a runtime for it.
    pub async fn hand_back(&self) {
        if let Backend::Remote(remote) = &self.backend {
            remote.hand_back().await;
        }
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
