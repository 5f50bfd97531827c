//! Which share a tenant has: made when it is taken into use, or when its allowance
//! changes, and dropped when nothing is held by it.
//!
//! Allowances change one at a time, tenants come and go under the scope table's lock.

use std::sync::Arc;

use super::allowance::Allowance;
use super::{COMMON, Overflow, Own, Place, Share, Shares, UNCAPPED, backlog};
use crate::cache::name::TenantId;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Ordering};

/// How often a policy is asked to make room after its budget was lowered, before
/// the rest is left to those who write.
const SETTLE_ROUNDS: usize = 4;

impl Shares {
    /// Gives the common share another budget. Its tickets are weighed anew; if it
    /// is the smaller one, it has made room when this returns.
    pub(super) fn resize_common(&self, budget: u64) {
        if budget == self.common.budget() || planted(Bug::ReserveNotTaken) {
            return;
        }
        self.common.resize(budget);
        let mut held = Vec::new();
        self.index.for_each(|node| {
            if node.ticket.share.as_ref().is_none_or(|share| share.lent) {
                held.push(Arc::clone(&node.ticket));
            }
        });
        for ticket in held {
            // Evicted meanwhile, it stays out; see `Policy::admit`.
            if !ticket.is_dead() {
                self.common.admit(&ticket);
            }
        }
        for _ in 0..SETTLE_ROUNDS {
            self.common.settle();
            if self.index.common_bytes() <= budget.saturating_add(backlog(budget)) {
                break;
            }
        }
    }

    /// The place of a tenant that is just taken into use.
    pub(in crate::cache) fn place(&self, tenant: &TenantId) -> Place {
        let (own, cap) = self.make(tenant, COMMON);
        Place::new(own, cap)
    }

    /// Gives a tenant in use the place that its allowance says; returns the one it
    /// had. Its entries are still where they were.
    pub(in crate::cache) fn replace(&self, tenant: &TenantId, place: &Place) -> u64 {
        let (own, cap) = self.make(tenant, place.own());
        place.cap.store(cap, Ordering::Relaxed);
        place.own.swap(own, Ordering::Relaxed)
    }

    fn make(&self, tenant: &TenantId, instead: u64) -> (u64, u64) {
        let mut table = self.table.lock();
        let allowance = table.allowance(tenant);
        let ignored = |allowance: &Allowance| allowance.cap.is_some() && planted(Bug::CapIgnored);
        let Some(allowance) = allowance.filter(|allowance| !ignored(allowance)) else {
            table.left(instead);
            return (COMMON, UNCAPPED);
        };
        match table.enter(allowance, instead) {
            None => (COMMON, allowance.cap.unwrap_or(UNCAPPED)),
            Some(number) => {
                let own = self.own_share(tenant.clone(), number, allowance);
                self.own.insert(number, Arc::new(own));
                self.owned.fetch_add(1, Ordering::Relaxed);
                (number, UNCAPPED)
            }
        }
    }

    fn own_share(&self, tenant: TenantId, own: u64, allowance: Allowance) -> Own {
        let mut policies = Vec::with_capacity(2);
        let mut share = |budget: u64, lent: bool, overflow: Overflow| {
            let policy = Arc::new(Self::policy(&self.index, budget));
            let share = Arc::new(Share {
                own,
                policy: Arc::downgrade(&policy),
                budget,
                lent,
                overflow,
                bytes: AtomicU64::new(0),
            });
            policies.push(policy);
            share
        };
        let Allowance { cap, reserve } = allowance;
        let beyond = cap.map(|cap| cap.saturating_sub(reserve));
        let share = match (reserve, beyond) {
            (0, Some(cap)) => share(cap, true, Overflow::Nowhere),
            (_, None) => share(reserve, planted(Bug::ReserveEvicted), Overflow::Common),
            (_, Some(0)) => share(reserve, false, Overflow::Nowhere),
            (_, Some(beyond)) => {
                let lent = share(beyond, true, Overflow::Nowhere);
                share(reserve, false, Overflow::Lent(lent))
            }
        };
        Own {
            tenant,
            share,
            policies,
        }
    }

    /// Drops a place's policies. Nothing may be held by them.
    pub(super) fn drop_own(&self, own: u64) {
        if own != COMMON && self.own.remove(&own).is_some() {
            self.owned.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A tenant goes out of use: nothing of it is held.
    pub(in crate::cache) fn forget(&self, place: &Place) {
        self.table.lock().left(place.own());
        self.drop_own(place.own());
    }
}
