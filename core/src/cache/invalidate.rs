//! Invalidation: of keys at their stripes, of everything else by a barrier.
//!
//! After an invalidation returns, no read sees what it covers: the entry is gone
//! from L1 or below its barrier, loads that began before are void, and what was
//! handed to a waiter is checked when it is taken. A key's version is drawn under
//! its stripe's lock, a barrier's before it is published; a load that begins after
//! that reads what the caller wrote before invalidating, and stays valid.

use std::sync::Arc;

use super::barrier::Invalidation;
use super::entry::Entry;
use super::fill::stripe::{MAX_SETTLING, Settling, State};
use super::key::Key;
use super::name::TenantId;
use super::pond::Pond;
use super::recorder::What;
use super::scope::Scope;
use super::stats::Count;
use super::write::Aftermath;
use crate::planted::{Bug, planted};
use crate::version::Version;

/// What an invalidation covers, within one cache.
#[derive(Debug)]
pub enum Target<'a, T> {
    /// These keys.
    Keys(&'a [T]),
    /// Whatever carries one of these tags.
    Tags(&'a [T]),
    /// The whole cache.
    Cache,
}

// By hand: a derive would ask the same of `T`, which is only referred to.
impl<T> Clone for Target<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Target<'_, T> {}

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
        if !how.settle.is_zero() {
            scope.keep_until(self.clock.precise().after(how.settle));
        }
        match target {
            Target::Keys(keys) => {
                let mut version = self.versions.next(&self.clock);
                for key in keys {
                    version = self.invalidate_key(scope, key.as_ref(), how);
                }
                version
            }
            Target::Tags(tags) => {
                let mut version = self.versions.next(&self.clock);
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
        self.scopes
            .raise_tenant(tenant, &self.versions, &self.clock, how)
    }

    /// Invalidates one key; returns the version.
    pub(super) fn invalidate_key(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &[u8],
        how: Invalidation,
    ) -> Version {
        let _late = self.l1.defer_drops();
        let key = self.key(scope, key).to_key();
        let mut after = Aftermath::default();
        let early = planted(Bug::VersionEarly).then(|| self.next_version());
        let version = {
            let stripe = self.stripes.of(&key.borrow());
            let mut state = stripe.state.lock();
            // Under the lock: a fill that came before has the smaller version, and
            // a waiter that was handed its value sees that the key moved since.
            let version = early.unwrap_or_else(|| self.next_version());
            let what = if how.soft {
                What::Softened
            } else {
                What::Invalidated
            };
            state.ring.record(&key, self.clock.precise(), what, version);
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
            version
        };
        self.after(&key, after);
        version
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
        let held = self
            .l1
            .get(&key.borrow())
            .filter(|node| node.entry.began < version);
        if let Some(node) = held {
            let deadlines = node.entry.deadlines.made_stale();
            let (softened, residue) = self.l1.insert(
                key,
                Entry {
                    deadlines,
                    ..node.entry.clone()
                },
            );
            softened.inherit(&node);
            after.residue = residue;
        }
        if let Some(flight) = state.flights.get_mut(key) {
            flight.soften_before(version);
        }
    }

    fn settle_key(&self, state: &mut State, scope: &Arc<Scope>, key: &Key, how: Invalidation) {
        let now = self.clock.precise();
        let end = now.after(how.settle);
        if state.settling.len() >= MAX_SETTLING {
            state.settling.retain(|_, settling| settling.matters(now));
        }
        if state.settling.len() >= MAX_SETTLING {
            scope.barrier.settle_by(end); // wider than asked, never narrower
            return;
        }
        let settling = state.settling.entry(key.clone());
        let settling = settling.or_insert_with(|| Settling {
            end,
            scope: Arc::clone(scope),
        });
        settling.end = settling.end.max(end);
    }
}
