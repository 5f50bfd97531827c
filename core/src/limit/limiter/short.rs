//! The common call, one of the tenant's own bucket: one look-up, the coarse clock, one
//! compare-and-swap, one count; nothing is allocated and nothing counted by reference.

use std::time::Duration;

use super::Limiter;
use crate::limit::call::{CallError, Charge, Decider, Decision, Standing, Verdict};
use crate::limit::meter::Said;
use crate::limit::quota::Ticks;
use crate::limit::word::Refused;
use crate::tenant::{Entry, OnLimit};

/// By a limit that is enforced.
const ALLOWED: Said = Said::Allowed { would_deny: false };

/// What there is to say of the tenant's own bucket.
pub(super) struct Short {
    verdict: Verdict,
    standing: Option<Standing>,
    retry_after: Duration,
}

impl From<Short> for Decision {
    #[inline]
    fn from(short: Short) -> Self {
        Self {
            decided_by: short.standing.map(|_| Decider {
                limit: None,
                keyed: false,
            }),
            standing: short.standing,
            retry_after: short.retry_after,
            ..Self::of(short.verdict)
        }
    }
}

impl Limiter {
    /// Spends one token of the tenant's own bucket, or says when to come back. The
    /// short way of [`Self::acquire`].
    ///
    /// # Errors
    /// When the tenant is not known.
    #[inline]
    pub fn acquire_own(&self, tenant: &str, cost: u64) -> Result<Decision, CallError> {
        let now = self.now();
        // Written where it is kept: what closures return is copied at every turn.
        let mut decided = None;
        self.directory
            .with(tenant, |entry| decided = self.own(entry, now, cost))?;
        match decided {
            Some(short) => Ok(short.into()),
            None => self.slowly(tenant, cost, now),
        }
    }

    /// Decides on the tenant's own bucket alone; `None` when it takes more than that.
    #[inline]
    pub(super) fn own(&self, entry: &Entry, now: Ticks, cost: u64) -> Option<Short> {
        let profile = entry.profile();
        let enforced = profile.on_limit == OnLimit::Deny && !profile.shadow;
        if !entry.access().limit || !enforced || profile.enforce_from.is_some() {
            return None;
        }
        let Some(quota) = &profile.request else {
            entry.request.read().ok()?;
            self.count_own(entry, cost, ALLOWED);
            return Some(Short {
                verdict: Verdict::Allowed,
                standing: None,
                retry_after: Duration::ZERO,
            });
        };
        let dues = &entry.dues;
        let charged = entry.request.charge(quota, now, cost, Ticks::ZERO, dues);
        let (verdict, tat, retry_after, said) = match charged {
            Ok(charged) => (Verdict::Allowed, charged.tat, Duration::ZERO, ALLOWED),
            Err(Refused::Later { after }) => {
                let tat = entry.request.read().ok()?;
                let retry_after = self.retry_after(after);
                (Verdict::OverLimit, tat, retry_after, Said::OverLimit)
            }
            Err(Refused::Never) => {
                let tat = entry.request.read().ok()?;
                (Verdict::Never, tat, Duration::ZERO, Said::Never)
            }
            Err(Refused::Sealed) => return None,
        };
        self.count_own(entry, cost, said);
        Some(Short {
            verdict,
            standing: Some(Standing::of(tat, now, quota)),
            retry_after,
        })
    }

    #[cold]
    fn slowly(&self, tenant: &str, cost: u64, now: Ticks) -> Result<Decision, CallError> {
        let mut entry = self.directory.resolve(tenant)?;
        let own = Charge {
            limit: "",
            key: &[],
            cost,
        };
        let (decision, _) = self.decide(&mut entry, &[own], now, Ticks::ZERO, false)?;
        Ok(decision)
    }
}
