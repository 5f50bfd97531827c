//! Invalidation: of keys at their stripes, of everything else by a barrier.
//!
//! After an invalidation returns, no read sees what it covers: the entry is gone
//! from L1 or below its barrier, loads that began before are void, and what was
//! handed to a waiter is checked when it is taken. Its version is drawn first, so
//! a load that begins while it works has the larger version and stays valid: it
//! reads what the caller wrote before invalidating.

use std::sync::Arc;

use super::barrier::Invalidation;
use super::entry::Entry;
use super::fill::stripe::{MAX_SETTLING, Settling, State};
use super::key::Key;
use super::name::TenantId;
use super::pond::Pond;
use super::scope::Scope;
use super::stats::Count;
use super::write::Aftermath;
use crate::planted::{Bug, planted};
use crate::version::Version;

/// What an invalidation covers, within one cache.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a, T> {
    /// These keys.
    Keys(&'a [T]),
    /// Whatever carries one of these tags.
    Tags(&'a [T]),
    /// The whole cache.
    Cache,
}

impl Pond {
    /// Invalidates part of a cache; returns the invalidation's version. Costs the
    /// same whatever a tag or the cache covers; keys cost one lock each.
    pub fn invalidate<T: AsRef<[u8]>>(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        target: Target<'_, T>,
        how: Invalidation,
    ) -> Version {
        self.counters.one(Count::Invalidate);
        match target {
            Target::Keys(keys) => {
                let version = self.versions.next(&self.clock);
                for key in keys {
                    self.invalidate_at(scope, key.as_ref(), how, version);
                }
                version
            }
            Target::Tags(tags) => {
                let mut version = Version::NONE;
                scope.tenant.tags.raise(scope.id, tags, |barrier| {
                    version = barrier.raise(&self.versions, &self.clock, how);
                });
                version
            }
            Target::Cache => scope.barrier.raise(&self.versions, &self.clock, how),
        }
    }

    /// Invalidates every cache of a tenant.
    pub fn invalidate_tenant(&self, tenant: &TenantId, how: Invalidation) -> Version {
        self.counters.one(Count::Invalidate);
        match self.scopes.tenant(tenant) {
            Some(tenant) => tenant.barrier.raise(&self.versions, &self.clock, how),
            // Nothing of it is held or being loaded.
            None => self.versions.next(&self.clock),
        }
    }

    pub(super) fn invalidate_key(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &[u8],
        how: Invalidation,
    ) {
        let version = self.versions.next(&self.clock);
        self.invalidate_at(scope, key, how, version);
    }

    fn invalidate_at(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &[u8],
        how: Invalidation,
        version: Version,
    ) {
        let key = self.key(scope, key).to_key();
        let mut after = Aftermath::default();
        {
            let stripe = self.stripes.of(&key.borrow());
            let mut state = stripe.state.lock();
            if how.soft {
                self.soften(&mut state, &key, version, &mut after);
            } else {
                stripe.moved(version);
                self.remove(&mut state, &key, version, &mut after);
            }
            if !how.settle.is_zero() {
                self.settle_key(&mut state, scope, &key, how);
            }
            Self::tidy(&mut state, &key);
        }
        self.after(&key, after);
    }

    fn remove(&self, state: &mut State, key: &Key, version: Version, after: &mut Aftermath) {
        let older = self
            .l1
            .with(&key.borrow(), |node| node.entry.began < version);
        if older == Some(true) {
            after.residue = self.l1.remove(&key.borrow());
        }
        if let Some(flight) = state.flights.get_mut(key)
            && !planted(Bug::InvalidateSparesLoads)
        {
            let voided = flight.void_before(version);
            self.loads_ended(voided);
            after.promote = voided > 0;
        }
    }

    fn soften(&self, state: &mut State, key: &Key, version: Version, after: &mut Aftermath) {
        let now = self.clock.precise();
        let held = self
            .l1
            .get(&key.borrow())
            .filter(|node| node.entry.began < version);
        if let Some(node) = held {
            let deadlines = node.entry.deadlines.made_stale(now);
            let (_, residue) = self.l1.insert(
                key,
                Entry {
                    deadlines,
                    ..node.entry.clone()
                },
            );
            after.residue = residue;
        }
        if let Some(flight) = state.flights.get_mut(key) {
            flight.soften_before(version);
        }
    }

    fn settle_key(&self, state: &mut State, scope: &Scope, key: &Key, how: Invalidation) {
        let now = self.clock.precise();
        let end = now.after(how.settle);
        if state.settling.len() >= MAX_SETTLING {
            state
                .settling
                .retain(|_, settling| now < settling.remembered_until);
        }
        if state.settling.len() >= MAX_SETTLING {
            scope.barrier.settle_by(end); // wider than asked, never narrower
            return;
        }
        let settling = Settling {
            end,
            remembered_until: end.after(scope.policy.max_load),
        };
        let held = state.settling.entry(key.clone()).or_insert(settling);
        if held.end < end {
            *held = settling;
        }
    }
}
