//! One tenant in hand, for a caller that spends for it again and again.
//!
//! A handle keeps the tenant's entry, so that spending is the coarse clock, one load
//! and one compare-and-swap: no look-up by name, and no [`Decision`] made. When the
//! entry has a successor its bucket is sealed: the handle then goes the long way once,
//! by name, and keeps what it finds. Whatever else the short way does not know (a limit
//! that is not enforced, a tenant that is not served) goes the long way too.
//!
//! What it spends and is denied is counted as any other call ([`super::meter`]): by a
//! meter of its own once it has made a thousand, so that handles of one tenant do not
//! get into each other's way.
//!
//! A handle is one caller's: clone it for another thread.

use std::sync::Arc;
use std::time::Duration;

use super::call::{CallError, Decision, Verdict};
use super::limiter::Limiter;
use super::meter::{Said, Tally};
use super::quota::Ticks;
use super::word::Refused;
use crate::tenant::{Entry, OnLimit, State};

/// Spends one tenant's own tokens.
#[derive(Clone, Debug)]
pub struct Handle {
    limiter: Arc<Limiter>,
    entry: Arc<Entry>,
    name: Box<str>,
    tally: Tally,
}

/// Tokens that may not be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why. A tenant that is a stranger now, and refused, is suspended.
    pub verdict: Verdict,
    /// See [`Decision::retry_after`].
    pub retry_after: Duration,
}

impl Limiter {
    /// A tenant in hand.
    ///
    /// # Errors
    /// When its name is not of its form, or it is not known.
    pub fn handle(self: &Arc<Self>, tenant: &str) -> Result<Handle, CallError> {
        Ok(Handle {
            entry: self.directory().resolve(tenant)?,
            limiter: Arc::clone(self),
            name: tenant.into(),
            tally: Tally::default(),
        })
    }
}

impl Handle {
    /// Spends `cost` of the tenant's own tokens.
    ///
    /// # Errors
    /// When they may not be spent now.
    #[inline]
    pub fn try_acquire(&mut self, cost: u64) -> Result<(), Denial> {
        let entry = &*self.entry;
        let profile = entry.profile();
        let enforced =
            profile.on_limit == OnLimit::Deny && !profile.shadow && profile.enforce_from.is_none();
        if enforced
            && entry.access().limit
            && let Some(quota) = &profile.request
        {
            let now = self.limiter.now();
            let dues = &entry.dues;
            match entry.request.charge(quota, now, cost, Ticks::ZERO, dues) {
                Ok(_) => {
                    self.count(cost, Said::Allowed { would_deny: false });
                    return Ok(());
                }
                Err(Refused::Later { after }) => {
                    self.count(cost, Said::OverLimit);
                    return Err(Denial {
                        verdict: Verdict::OverLimit,
                        retry_after: self.limiter.retry_after(after),
                    });
                }
                Err(Refused::Never) => {
                    self.count(cost, Said::Never);
                    return Err(Denial {
                        verdict: Verdict::Never,
                        retry_after: Duration::ZERO,
                    });
                }
                Err(Refused::Sealed) => {}
            }
        }
        self.slowly(cost)
    }

    #[inline]
    fn count(&mut self, cost: u64, said: Said) {
        if !self.tally.count(cost, said) {
            self.limiter.count_own(&self.entry, cost, said);
            let meters = &self.limiter.meters;
            self.tally.counted_there(meters, self.entry.id());
        }
    }

    #[cold]
    fn slowly(&mut self, cost: u64) -> Result<(), Denial> {
        if !self.entry.is_current()
            && let Ok(entry) = self.limiter.directory().resolve(&self.name)
        {
            let same = entry.id() == self.entry.id();
            if !same || entry.incarnation() != self.entry.incarnation() {
                self.tally = Tally::default();
            }
            self.entry = entry;
        }
        match self.limiter.acquire_own(&self.name, cost) {
            Ok(decision) if decision.is_allowed() => Ok(()),
            Ok(Decision {
                verdict,
                retry_after,
                ..
            }) => Err(Denial {
                verdict,
                retry_after,
            }),
            // It had its form when the handle was made.
            Err(_) => Err(Denial {
                verdict: Verdict::NotServed(State::Suspended),
                retry_after: Duration::ZERO,
            }),
        }
    }

    #[cfg(all(test, not(millpond_loom)))]
    pub(super) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
