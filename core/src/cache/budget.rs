//! What a tenant's loads cost it: one token of its origin budget for each lease that
//! is granted, however many wait for it. Hits, followers and private loads cost none.
//!
//! The budget is a bucket of the tenant's entry in a [`Directory`]. A cache without a
//! directory limits no loads.
//!
//! A lease is granted under a stripe's lock, and a directory may not be asked there:
//! it has a lock of its own, under which it tells the cache of changes. So the entry
//! is found before ([`Budget::payer`]), and only its word is touched under the stripe.
//! When that turns out to be sealed, because the tenant's rates changed that moment,
//! the caller lets go of the stripe and begins again.
//!
//! A load that is handed on to a waiter is paid for too, into debt if need be: it was
//! promised already. One lease that dies is one such load. What was paid for a load
//! that is given up does not come back. In a cache that observes nothing is paid: its
//! callers load anyway.
//!
//! Cost: on a hit, nothing. On a load, a lock of the tenant's own that is held to clone
//! a reference, and one compare-and-swap.

use std::sync::Arc;
use std::time::Duration;

use super::name::TenantId;
use crate::limit::Ticks;
use crate::limit::word::Refused;
use crate::sync::Mutex;
use crate::tenant::{Directory, Entry};

/// One tenant's.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Option<Arc<Entry>>>);

/// Who pays for a load: nobody, without a directory or for tenants that it refuses.
#[derive(Debug)]
pub(super) struct Payer(Option<(Arc<Directory>, Arc<Entry>)>);

/// Why a load was not paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpaid {
    /// The budget is spent: the time until it is not.
    Spent(Duration),
    /// The tenant's rates are changing: find the payer again.
    Changed,
}

/// How long those stay away whose loads can never be paid for: a cost of one is above
/// no burst, so nobody.
const NEVER: Duration = Duration::from_secs(60);

impl Budget {
    /// Who pays for a tenant's loads. Not under a stripe's lock.
    pub(super) fn payer(&self, directory: Option<&Arc<Directory>>, tenant: &TenantId) -> Payer {
        let Some(directory) = directory else {
            return Payer(None);
        };
        let known = self.0.lock().clone();
        let entry = match known {
            Some(entry) if entry.is_current() => Some(entry),
            Some(entry) => directory.current(&entry).ok(),
            None => directory.resolve(tenant.as_str()).ok(),
        };
        self.0.lock().clone_from(&entry);
        Payer(entry.map(|entry| (Arc::clone(directory), entry)))
    }
}

impl Payer {
    /// Of loads that cost nothing.
    pub(super) const fn nobody() -> Self {
        Self(None)
    }

    /// Pays for one load, or says why not. Takes no lock.
    pub(super) fn pay(&self) -> Result<(), Unpaid> {
        let Some((directory, entry)) = &self.0 else {
            return Ok(());
        };
        let Some(quota) = &entry.profile().origin else {
            return entry.origin.read().map(|_| ()).map_err(|_| Unpaid::Changed);
        };
        let now = directory.coarse_now();
        // Nobody waits for it and nothing is refunded, so the dues of the tenant's own bucket
        // do: of them the lock alone is touched, by a charge that finds the word sealed.
        match entry.origin.charge(quota, now, 1, Ticks::ZERO, &entry.dues) {
            Ok(_) => Ok(()),
            Err(Refused::Later { after }) => {
                let lag = directory.clock().lag();
                Err(Unpaid::Spent(after.to_duration() + lag))
            }
            Err(Refused::Never) => Err(Unpaid::Spent(NEVER)),
            Err(Refused::Sealed) => Err(Unpaid::Changed),
        }
    }

    /// Pays for a load that was promised, into debt if need be. Not under a stripe's
    /// lock.
    pub(super) fn owe(&self) {
        let Some((directory, entry)) = &self.0 else {
            return;
        };
        let mut entry = Arc::clone(entry);
        loop {
            let paid = match &entry.profile().origin {
                Some(quota) => entry.origin.debit(quota, directory.coarse_now(), 1),
                None => entry.origin.read().map(|_| ()),
            };
            if paid.is_ok() {
                return;
            }
            match directory.current(&entry) {
                Ok(current) => entry = current,
                Err(_) => return,
            }
        }
    }
}
