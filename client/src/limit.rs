//! Limits of tenants: tokens that calls spend, wherever the buckets are.
//!
//! ```
//! use millpond_client::{EmbeddedConfig, Millpond};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), millpond_client::Error> {
//! let pond = Millpond::embedded(EmbeddedConfig::default());
//! let decision = pond.requests().acquire("acme").await?;
//! if !decision.allowed {
//!     println!("come back in {:?}", decision.retry_after);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A denial is a [`Decision`], not an error. Each call to the sidecar names itself, so
//! it may go out again when its connection breaks, and spends once all the same.
//!
//! A patient call ([`Limit::wait`]) is charged at once and comes back at its turn, so
//! those who wait are in order; dropping it before gives the tokens back.
//!
//! | file | what it owns |
//! |---|---|
//! | `charges` | what a call spends, checked |
//! | `decision` | what is answered |
//! | `reservation` | tokens held until the real cost is known |
//! | `granted` | decisions in this process, from tokens the sidecar granted |
//! | `place` | which backend answers |
//! | `away`, `share` | decisions while the sidecar is away |

pub(crate) mod away;
pub(crate) mod charges;
pub(crate) mod decision;
pub(crate) mod granted;
mod place;
pub(crate) mod reservation;
pub(crate) mod share;

use std::time::Duration;

use bytes::Bytes;
use millpond_core::tenant::LimitName;

use crate::error::Error;
use crate::millpond::Backend;

use away::WithoutSidecar;
use charges::{Asked, Charge};
use decision::Decision;
use granted::GrantedLimit;
use reservation::Reserved;

/// How a handle decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// How long a caller waits for its turn.
    pub(crate) wait: Duration,
    /// What a call may take in all, instead of the connection's timeout beyond `wait`.
    pub(crate) within: Option<Duration>,
    /// Instead of the connection's choice.
    pub(crate) away: Option<WithoutSidecar>,
}

/// The setters of every handle on limits, which are one and the same.
macro_rules! deciding {
    () => {
        /// How long to wait for the call's turn, at most 60 s; beyond that it is denied
        /// at once. Default: it does not wait.
        #[must_use = "it returns the handle that it has changed"]
        pub fn wait(mut self, wait: std::time::Duration) -> Self {
            self.options.wait = wait;
            self
        }

        /// How long a call may take in all, its waiting included, instead of the
        /// connection's [`timeout`](crate::RemoteConfig::timeout) beyond `wait`.
        /// Nothing to limits in this process, which waits no longer either.
        #[must_use = "it returns the handle that it has changed"]
        pub fn within(mut self, all: std::time::Duration) -> Self {
            self.options.within = Some(all);
            self
        }

        /// What decides while the sidecar is away, instead of the
        /// [connection's choice](crate::RemoteConfig::limits_on_unavailable). Nothing
        /// to limits in this process.
        #[must_use = "it returns the handle that it has changed"]
        pub fn on_unavailable(mut self, away: crate::WithoutSidecar) -> Self {
            self.options.away = Some(away);
            self
        }
    };
}

pub(crate) use deciding;

/// One limit, of every tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limit {
    backend: Backend,
    charge: Charge,
    options: Options,
}

impl Limit {
    pub(crate) fn new(backend: Backend, name: Option<LimitName>) -> Self {
        Self {
            backend,
            charge: Charge::of(name, 1),
            options: Options::default(),
        }
    }

    /// Its name; empty is the tenant's own.
    #[must_use]
    pub fn name(&self) -> &str {
        self.charge.limit()
    }

    /// Whose tokens within the limit, such as a user or an address: at most 1 024
    /// bytes. A limit without buckets by key does not look at it. Default nobody's: no
    /// key's bucket is charged, only the limit's over all.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.charge.key = key.into();
        self
    }

    /// Tokens that a call spends. Default 1. 0 asks and spends nothing.
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        self.charge.cost = cost;
        self
    }

    deciding!();

    fn asked(&self, tenant: &str) -> Result<Asked, Error> {
        Asked::new(tenant, std::slice::from_ref(&self.charge), self.options)
    }

    /// Spends, or says when to come back.
    ///
    /// # Errors
    /// [`Error::BadField`] for the tenant or the key; [`Error::Rejected`] where the
    /// tenant or the limit is not known; [`Error::Shed`] where the sidecar takes no
    /// more. A sidecar that is away is no error: see
    /// [`WithoutSidecar`](crate::WithoutSidecar).
    pub async fn acquire(&self, tenant: &str) -> Result<Decision, Error> {
        self.backend.acquire(self.asked(tenant)?).await
    }

    /// What [`acquire`](Self::acquire) would answer without waiting. Spends nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self, tenant: &str) -> Result<Decision, Error> {
        self.backend.peek_limits(self.asked(tenant)?).await
    }

    /// Holds `cost` tokens for at most `hold`, up to 10 minutes, until the real cost is
    /// known.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn reserve(
        &self,
        tenant: &str,
        cost: u64,
        hold: Duration,
    ) -> Result<Reserved, Error> {
        let asked = self.clone().cost(cost).asked(tenant)?;
        self.backend.reserve(asked.holding(hold)).await
    }

    /// The same limit, decided in this process from tokens that the sidecar granted
    /// ahead: nanoseconds instead of a round trip, for what may be spent by many
    /// processes at once. See [`GrantedLimit`].
    #[must_use]
    pub fn granted(self) -> GrantedLimit {
        GrantedLimit::new(self.backend, self.charge, self.options)
    }
}
