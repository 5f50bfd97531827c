//! What decides while the sidecar is away.
//!
//! It is away when it cannot be reached, does not answer in time, or the connection to
//! it broke under a call twice. The call that finds it so is decided here, and so is
//! each one after it, at once, while it is known to be away; the first call that
//! reaches it again is decided by the sidecar, and what was spent here is forgotten.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millpond_core::limit::Quota;

use super::charges::{Asked, Charge};
use super::decision::{Decision, UNAVAILABLE_FOR};
use super::share::{Denied, LocalShares};
use crate::LimitReason;

/// What decides while the sidecar is away. Such decisions say
/// [`without_sidecar`](Decision::without_sidecar).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutSidecar {
    /// Every call goes on. The default: a limit keeps tenants from each other's way,
    /// and a program that stopped whenever its sidecar did would serve nobody.
    #[default]
    Open,
    /// No call goes on: [`LimitReason::Unavailable`]. For limits that keep somebody
    /// out, such as attempts to log in.
    Closed,
    /// Each bucket that is charged (a tenant's, a limit's, or a key's of it) is one of
    /// this quota in this process. It starts empty each time the sidecar goes away:
    /// what the sidecar's held is not given out again. Choose the limit divided by
    /// the processes that share it. At most 65 536 buckets are kept, about 3 MiB; one
    /// that is forgotten for want of room starts empty.
    LocalShare(Quota),
}

/// One sidecar's absence.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    away: AtomicBool,
    shares: LocalShares,
}

/// What was spent here for a reservation.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) quota: Quota,
    pub(crate) charges: Vec<Charge>,
}

impl Absence {
    /// The sidecar has answered.
    pub(crate) fn ended(&self) {
        // Relaxed: a share that is forgotten a call later is forgotten.
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            self.shares.forget();
        }
    }

    /// Decides a call in the sidecar's stead, and waits for its turn.
    pub(crate) async fn decide(&self, asked: &Asked, chosen: WithoutSidecar) -> Decision {
        self.away.store(true, Ordering::Relaxed);
        let decision = match chosen {
            WithoutSidecar::Open => Decision::of(LimitReason::Ok),
            WithoutSidecar::Closed => closed(),
            WithoutSidecar::LocalShare(quota) => {
                let tenant = asked.tenant.as_str();
                let patience = asked.patience();
                match self.shares.spend(tenant, &asked.charges, &quota, patience) {
                    Ok(wait) => {
                        tokio::time::sleep(wait).await;
                        Decision {
                            waited: wait,
                            ..Decision::of(LimitReason::Ok)
                        }
                    }
                    Err(denied) => denial(denied),
                }
            }
        };
        Decision {
            without_sidecar: true,
            ..decision
        }
    }

    /// The same without spending.
    pub(crate) fn peek(&self, asked: &Asked, chosen: WithoutSidecar) -> Decision {
        let decision = match chosen {
            WithoutSidecar::Open => Decision::of(LimitReason::Ok),
            WithoutSidecar::Closed => closed(),
            WithoutSidecar::LocalShare(quota) => {
                let tenant = asked.tenant.as_str();
                match self.shares.peek(tenant, &asked.charges, &quota) {
                    Ok(()) => Decision::of(LimitReason::Ok),
                    Err(denied) => denial(denied),
                }
            }
        };
        Decision {
            without_sidecar: true,
            ..decision
        }
    }

    /// Settles what was spent here to the real costs; none of it is charged again
    /// where the share was forgotten meanwhile.
    pub(crate) fn settle(&self, tenant: &str, spent: &Spent, real: &[u64]) {
        self.shares
            .settle(tenant, &spent.charges, &spent.quota, real);
    }
}

fn closed() -> Decision {
    Decision {
        retry_after: UNAVAILABLE_FOR,
        ..Decision::of(LimitReason::Unavailable)
    }
}

fn denial(denied: Denied) -> Decision {
    match denied {
        Denied::Later(after) => Decision {
            retry_after: after.max(Duration::from_nanos(1)),
            ..Decision::of(LimitReason::OverLimit)
        },
        Denied::Never => Decision::of(LimitReason::Never),
    }
}
