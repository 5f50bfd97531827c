//! Tokens held until the real cost is known.
//!
//! A reservation is settled once: by committing, by releasing, or by being dropped,
//! which releases. One whose hold has ended gave its tokens back; committing it then
//! charges all of the cost.

use std::sync::Arc;

use millpond_core::cache::TenantId;
use millpond_core::fence::{GiveBack, Held, Token};
use millpond_core::limit::{Limiter, SettleError, Settlement};

use super::away::Spent;
use super::decision::Decision;
use crate::error::Error;
use crate::remote::{HeldTokens, Remote};

/// What became of a call that reserves.
#[derive(Debug)]
#[must_use = "dropping a reservation releases it"]
pub enum Reserved {
    /// Its tokens are held.
    Held(Reservation),
    /// They are not.
    Denied(Decision),
}

impl Reserved {
    /// The reservation, if there is one.
    #[must_use]
    pub fn held(self) -> Option<Reservation> {
        match self {
            Self::Held(reservation) => Some(reservation),
            Self::Denied(_) => None,
        }
    }
}

/// Tokens held until the real cost is known. Dropping it releases them.
#[derive(Debug)]
#[must_use = "dropping a reservation releases it"]
pub struct Reservation {
    decision: Decision,
    charges: usize,
    held: Held<Right>,
}

/// Where they are held.
#[derive(Debug)]
pub(crate) enum Right {
    Embedded {
        limiter: Arc<Limiter>,
        tenant: TenantId,
        token: Token,
    },
    Remote(Box<HeldTokens>),
    /// The sidecar was away.
    Share {
        remote: Arc<Remote>,
        tenant: TenantId,
        spent: Spent,
    },
    /// The sidecar was away, and nothing was spent.
    Nothing,
}

impl GiveBack for Right {
    fn give_back(&mut self) {
        match self {
            Self::Embedded {
                limiter,
                tenant,
                token,
            } => {
                let _settled = limiter.release(tenant, *token);
            }
            Self::Remote(held) => held.release_behind(),
            Self::Share {
                remote,
                tenant,
                spent,
            } => {
                let none = vec![0; spent.charges.len()];
                remote.absence.settle(tenant.as_str(), spent, &none);
            }
            Self::Nothing => {}
        }
    }
}

impl Reservation {
    pub(crate) fn new(decision: Decision, charges: usize, right: Right) -> Self {
        Self {
            decision,
            charges,
            held: Held::new(right),
        }
    }

    /// What was answered when it was reserved.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Settles it to the real cost, which may be more than was held: the bucket is then
    /// left in debt.
    ///
    /// # Errors
    /// [`Error::Rejected`] when it holds several charges; it is released then.
    /// [`Error::Unavailable`] when the sidecar is away: it is then committed in the
    /// background as soon as the sidecar is back, if that is within the hold.
    pub async fn commit(self, real: u64) -> Result<Settlement, Error> {
        self.commit_each(&[real]).await
    }

    /// Settles it to the real cost of each of its charges, in the order they were
    /// reserved.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); [`Error::Rejected`] when there is not one cost for
    /// each.
    pub async fn commit_each(self, real: &[u64]) -> Result<Settlement, Error> {
        if real.len() != self.charges {
            let mismatch = SettleError {
                costs: real.len(),
                charges: self.charges,
            };
            return Err(rejected(&mismatch));
        }
        match self.held.release() {
            Right::Embedded {
                limiter,
                tenant,
                token,
            } => {
                let settled = limiter.commit(&tenant, token, real);
                settled.map_err(|mismatch| rejected(&mismatch))
            }
            Right::Remote(held) => held.commit(real.to_vec()).await,
            Right::Share {
                remote,
                tenant,
                spent,
            } => {
                remote.absence.settle(tenant.as_str(), &spent, real);
                Ok(Settlement::Done)
            }
            Right::Nothing => Ok(Settlement::Done),
        }
    }

    /// Gives its tokens back, as far as refill has not. Dropping it does the same and
    /// says nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] as [`commit`](Self::commit).
    pub async fn release(self) -> Result<Settlement, Error> {
        match self.held.release() {
            Right::Embedded {
                limiter,
                tenant,
                token,
            } => Ok(limiter.release(&tenant, token)),
            Right::Remote(held) => held.release().await,
            mut right @ (Right::Share { .. } | Right::Nothing) => {
                right.give_back();
                Ok(Settlement::Done)
            }
        }
    }
}

fn rejected(mismatch: &SettleError) -> Error {
    Error::Rejected {
        message: mismatch.to_string(),
    }
}
