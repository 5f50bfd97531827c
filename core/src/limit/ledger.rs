//! What is remembered of a tenant's calls beside its buckets: retries and
//! reservations.
//!
//! One ledger a tenant, made by the first call that needs one and forgotten when it
//! is empty, so tenants cannot crowd out or delay each other's. Deciding a call that
//! names itself, and remembering the decision, is one step under its lock; in it
//! nest only those of a key table, of a bucket's queue and of what is observed in shadow,
//! each by itself.
//!
//! There may be so many ledgers before tenants that nobody named get none any more: so
//! whoever makes up tenants leaves those that were named theirs.
//!
//! Forgetting races with a call that has just found the ledger: whoever forgets one
//! retires it under its lock, and who finds it retired looks again.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::call::{Decision, Verdict};
use super::levels::Paid;
use super::plan::Plan;
use super::quota::Ticks;
use super::replay::Replays;
use super::reservation::Reservations;
use crate::cache::TenantId;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicBool, Map, Mutex};
use crate::tenant::Entry;

/// What was spent, and by what reckoning.
#[derive(Debug)]
pub(crate) struct Spent {
    /// The tenant as it was charged.
    pub(crate) entry: Arc<Entry>,
    pub(crate) plan: Plan,
    pub(crate) paid: Box<[Paid]>,
    /// Whether the turn of a call that waited has come.
    pub(crate) came: AtomicBool,
}

/// A call that was allowed, as its retry finds it.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    pub(crate) decision: Decision,
    pub(crate) spent: Arc<Spent>,
}

/// What is remembered of one tenant's calls.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) replays: Replays<Allowed>,
    pub(crate) reservations: Reservations<Arc<Spent>>,
    retired: bool,
}

/// Every tenant's.
pub(crate) struct Ledgers {
    by_tenant: Map<TenantId, Arc<Mutex<Ledger>>, ahash::RandomState>,
    most: usize,
}

/// There are as many ledgers as there may be of tenants that nobody named, and none of
/// them is empty.
#[derive(Debug)]
pub(crate) struct TooMany;

impl From<TooMany> for Decision {
    fn from(_: TooMany) -> Self {
        Self::of(Verdict::Unavailable)
    }
}

impl Ledgers {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            by_tenant: Map::with_hasher(ahash::RandomState::new()),
            most,
        }
    }

    /// Runs `work` on a tenant's ledger, which its first use makes: of one that is named
    /// in any case.
    pub(crate) fn open<R>(
        &self,
        tenant: &TenantId,
        is_named: bool,
        work: impl FnOnce(&mut Ledger) -> R,
    ) -> Result<R, TooMany> {
        let tenant = &*own(tenant);
        let mut work = Some(work);
        loop {
            let found = self.by_tenant.get(tenant);
            let ledger = match found {
                Some(ledger) => ledger,
                None if !is_named && self.by_tenant.len() >= self.most => return Err(TooMany),
                None => self.by_tenant.get_or_insert_with(tenant.clone(), || {
                    Arc::new(Mutex::new(Ledger {
                        replays: Replays::new(),
                        reservations: Reservations::new(),
                        retired: false,
                    }))
                }),
            };
            let mut ledger = ledger.lock();
            if (!ledger.retired || planted(Bug::RetiredUsed))
                && let Some(work) = work.take()
            {
                return Ok(work(&mut ledger));
            }
        }
    }

    /// Runs `work` on a tenant's ledger if it has one.
    pub(crate) fn look<R>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce(&mut Ledger) -> R,
    ) -> Option<R> {
        let ledger = self.by_tenant.get(&*own(tenant))?;
        let mut ledger = ledger.lock();
        // A retired one was empty.
        (!ledger.retired).then(|| work(&mut ledger))
    }

    /// Ends what time is over for, and hands it to `give_back`. Forgets empty ledgers.
    pub(crate) fn sweep(&self, now: Ticks, mut give_back: impl FnMut(&Spent)) {
        /// So that a ledger is locked for less than a millisecond at a time.
        const AT_ONCE: usize = 1_000;
        let mut all = Vec::new();
        self.by_tenant.for_each_pair(|tenant, ledger| {
            all.push((tenant.clone(), Arc::clone(ledger)));
        });
        for (tenant, shared) in all {
            loop {
                let mut ledger = shared.lock();
                let ended = ledger.reservations.end(now, AT_ONCE);
                ledger.replays.forget_old(now);
                if ledger.reservations.is_empty() && ledger.replays.is_empty() {
                    ledger.retired = true;
                    self.by_tenant
                        .remove_if(&tenant, |held| Arc::ptr_eq(held, &shared));
                }
                drop(ledger);
                for spent in &ended {
                    give_back(spent);
                }
                if ended.len() < AT_ONCE {
                    break;
                }
            }
        }
    }

    /// Forgets all of a tenant's: its reservations are void, its retries spend again.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        if let Some(ledger) = self.by_tenant.get(tenant) {
            ledger.lock().retired = true;
            self.by_tenant
                .remove_if(tenant, |held| Arc::ptr_eq(held, &ledger));
        }
    }

    /// Tenants that have one.
    pub(crate) fn len(&self) -> usize {
        self.by_tenant.len()
    }

    /// Reservations held and calls remembered, over all tenants.
    pub(crate) fn held(&self) -> (usize, usize) {
        let mut held = (0, 0);
        self.by_tenant.for_each(|ledger| {
            let ledger = ledger.lock();
            held.0 += ledger.reservations.held();
            held.1 += ledger.replays.len();
        });
        held
    }
}

/// Whose ledger a tenant's is.
fn own(tenant: &TenantId) -> Cow<'_, TenantId> {
    if planted(Bug::LedgerWithoutTenant)
        && let Ok(everybody) = TenantId::parse("everybody")
    {
        return Cow::Owned(everybody);
    }
    Cow::Borrowed(tenant)
}

impl fmt::Debug for Ledgers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledgers")
            .field("len", &self.len())
            .field("most", &self.most)
            .finish()
    }
}
