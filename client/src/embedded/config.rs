//! What a cache in this process is made with.

use std::sync::Arc;

use millpond_core::Entropy;
use millpond_core::cache::{CacheName, Config, Policy, PolicyError};
use millpond_core::clock::Clock;
use millpond_core::tenant::Directory;

use crate::error::Error;

/// What a cache in this process is made with.
///
/// ```
/// use millpond_client::{EmbeddedConfig, Millpond, Policy};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), millpond_client::Error> {
/// let users = Policy { fresh: Duration::from_secs(10), ..Policy::declared() };
/// let config = EmbeddedConfig::default()
///     .budget(64 << 20)
///     .declare("users", users)?;
/// let pond = Millpond::embedded(config);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct EmbeddedConfig {
    core: Config,
    directory: Option<Arc<Directory>>,
}

impl EmbeddedConfig {
    /// Bytes of keys and values kept, with about 640 bytes for each entry. Default
    /// 256 MiB, whatever the machine has.
    #[must_use]
    pub fn budget(mut self, bytes: u64) -> Self {
        self.core.budget = bytes;
        self
    }

    /// The policy of a cache, for every tenant. A cache that is not declared is
    /// fresh for 30 s or not at all.
    ///
    /// # Errors
    /// [`Error::BadField`] when the name is none, [`Error::Rejected`] with all
    /// that is wrong with the policy.
    pub fn declare(mut self, cache: &str, policy: Policy) -> Result<Self, Error> {
        let name = CacheName::parse(cache)?;
        check(cache, &policy)?;
        self.core.declared.insert(name, policy);
        Ok(self)
    }

    /// The policy of the caches that nobody declared.
    ///
    /// # Errors
    /// [`Error::Rejected`] with all that is wrong with it.
    pub fn undeclared(mut self, policy: Policy) -> Result<Self, Error> {
        check("undeclared", &policy)?;
        self.core.undeclared = policy;
        Ok(self)
    }

    /// Loads that may be under way at once; beyond it reads that would load are
    /// shed. Default 65 536, at about 300 bytes each.
    #[must_use]
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.core.max_loads = loads;
        self
    }

    /// (tenant, cache) pairs in use at once. Default 262 144, at about 400 bytes
    /// each.
    #[must_use]
    pub fn max_caches(mut self, caches: usize) -> Self {
        self.core.max_caches = caches;
        self
    }

    /// Where time comes from. Default the kernel; a manual clock lets tests move
    /// time by hand.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.core.clock = clock;
        self
    }

    /// Where jitter comes from. Default a generator per thread; a fixed number
    /// makes tests exact.
    #[must_use]
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.core.entropy = entropy;
        self
    }

    /// The tenants, their tiers and their limits, for
    /// [`Millpond::limit`](crate::Millpond::limit). Their limits go by the directory's
    /// own clock. Default: nobody is named, and whoever asks is unlimited.
    #[must_use]
    pub fn directory(mut self, directory: Arc<Directory>) -> Self {
        self.directory = Some(directory);
        self
    }

    pub(crate) fn into_core(self) -> (Config, Option<Arc<Directory>>) {
        (self.core, self.directory)
    }
}

fn check(cache: &str, policy: &Policy) -> Result<(), Error> {
    policy.check().map_err(|wrong| {
        let lines: Vec<_> = wrong.iter().map(PolicyError::to_string).collect();
        Error::Rejected {
            message: format!("policy of {cache}: {}", lines.join("; ")),
        }
    })
}
