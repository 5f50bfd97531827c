//! Limits decided in this process, from tokens that the sidecar granted.
//!
//! In an embedded Millpond nothing is granted: the buckets are here, and each decision
//! is theirs.

use std::sync::Arc;

use bytes::Bytes;
use millpond_core::limit::Call;

use super::charges::{Asked, Charge};
use super::decision::Decision;
use super::{Options, deciding};
use crate::embedded::Embedded;
use crate::error::Error;
use crate::millpond::Backend;
use crate::remote::{Remote, Slot};

/// One limit, of every tenant, decided from tokens that the sidecar granted ahead.
/// Cheap to clone.
///
/// The sidecar debits its buckets for what it grants, so all processes together spend
/// no more than burst + rate · time + what was on grant when the time began. More is
/// asked for before it runs out, by how fast it is used, and what is not used for a
/// second is handed back. What a process takes with it when it dies stays spent.
///
/// In exchange a decision knows less: the bucket that decides is the one that was
/// named, `remaining` is as the sidecar said last, and `retry_after` may be too short
/// for a call that costs more than 1.
///
/// At most 4 096 buckets a connection are held at once. An embedded Millpond grants
/// nothing: its own buckets decide.
#[derive(Clone, Debug)]
pub struct GrantedLimit {
    backend: Backend,
    charge: Charge,
    options: Options,
}

impl GrantedLimit {
    pub(crate) fn new(backend: Backend, charge: Charge, options: Options) -> Self {
        Self {
            backend,
            charge,
            options,
        }
    }

    /// Its name; empty is the tenant's own.
    #[must_use]
    pub fn name(&self) -> &str {
        self.charge.limit()
    }

    /// See [`Limit::key`](crate::Limit::key).
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.charge.key = key.into();
        self
    }

    /// See [`Limit::cost`](crate::Limit::cost).
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        self.charge.cost = cost;
        self
    }

    deciding!();

    /// One tenant's bucket, to be kept where it counts.
    ///
    /// # Errors
    /// [`Error::BadField`] for the tenant or the key; [`Error::Shed`] when too many
    /// buckets are in hand.
    pub fn tenant(&self, tenant: &str) -> Result<TenantGrant, Error> {
        let charges = std::slice::from_ref(&self.charge);
        let asked = Asked::new(tenant, charges, self.options)?;
        let place = match &self.backend {
            Backend::Embedded(home) => Place::Embedded(Arc::clone(home)),
            Backend::Remote(remote) => {
                let slot = remote.slot(&asked.tenant, &self.charge)?;
                Place::Remote(Arc::clone(remote), slot)
            }
        };
        Ok(TenantGrant {
            place,
            // What cannot be had at once is never allowed.
            cost: u32::try_from(self.charge.cost).unwrap_or(u32::MAX),
            asked,
        })
    }

    /// See [`TenantGrant::acquire`].
    ///
    /// # Errors
    /// As there, and as [`tenant`](Self::tenant).
    pub async fn acquire(&self, tenant: &str) -> Result<Decision, Error> {
        self.tenant(tenant)?.acquire().await
    }
}

#[derive(Clone, Debug)]
enum Place {
    Embedded(Arc<Embedded>),
    Remote(Arc<Remote>, Arc<Slot>),
}

/// Tokens of one bucket in this process's hands. Cheap to clone: clones spend from the
/// same hand.
#[derive(Clone, Debug)]
pub struct TenantGrant {
    place: Place,
    cost: u32,
    asked: Asked,
}

impl TenantGrant {
    /// Spends what is in hand, without waiting and without allocating. False: there is
    /// too little, and more was asked for unless the sidecar has just said that there
    /// is none; the first call is always false. [`acquire`](Self::acquire) waits for
    /// what is asked for.
    #[inline]
    #[must_use]
    pub fn spend(&self) -> bool {
        match &self.place {
            Place::Remote(_, slot) => slot.spend(self.cost),
            Place::Embedded(home) => self.spend_here(home),
        }
    }

    fn spend_here(&self, home: &Embedded) -> bool {
        let (tenant, charge) = (self.asked.tenant.as_str(), &self.asked.charges[0]);
        let decision = if charge.limit.is_none() {
            home.limiter().acquire_own(tenant, charge.cost)
        } else {
            let call = Call {
                charges: &[charge.core()],
                ..Call::default()
            };
            let acquired = home.limiter().acquire(tenant, &call);
            acquired.map(|acquired| acquired.decision)
        };
        decision.is_ok_and(|decision| decision.is_allowed())
    }

    /// Spends what is in hand, or asks the sidecar once and waits for its answer; when
    /// that is a denial, for as long as the caller is ready to
    /// [`wait`](GrantedLimit::wait).
    ///
    /// # Errors
    /// As [`Limit::acquire`](crate::Limit::acquire).
    pub async fn acquire(&self) -> Result<Decision, Error> {
        match &self.place {
            Place::Embedded(home) => home.acquire(&self.asked).await,
            Place::Remote(remote, slot) => remote.acquire_granted(slot, &self.asked).await,
        }
    }
}
