//! Who may load: granting leases, and handing them on.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::Want;
use super::budget::{Payer, Unpaid};
use super::entry::Node;
use super::expiry::Phase;
use super::fill::flight::{Flight, Load};
use super::fill::lease::{FillRight, Lease};
use super::fill::stripe::State;
use super::fill::waiter::{Cell, Outcome, TakeOver};
use super::key::Key;
use super::pond::Pond;
use super::recorder::What;
use super::scope::Scope;
use super::stats::{Count, Of};
use crate::clock::Time;
use crate::sync::Ordering;

/// A load about to begin.
pub(super) struct Plan<'a> {
    pub(super) scope: &'a Arc<Scope>,
    pub(super) key: &'a Key,
    pub(super) want: &'a Want,
    /// What is held now and may be confirmed by the origin.
    pub(super) base: Option<&'a Node>,
    pub(super) observed: Option<Arc<Node>>,
    pub(super) exclusive: bool,
    /// As the recorder tells it.
    pub(super) what: What,
    pub(super) payer: &'a Payer,
}

/// Why a load does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Too many are unsettled.
    Full,
    /// Nobody paid for it.
    Unpaid(Unpaid),
}

impl Pond {
    /// Records a load that begins now and leases it, once it is paid for. Under the stripe's lock; the lease must not be dropped there.
    pub(super) fn begin(
        self: &Arc<Self>,
        state: &mut State,
        plan: Plan<'_>,
    ) -> Result<Lease, Denied> {
        let now = self.clock.precise();
        let flight = state
            .flights
            .entry(plan.key.clone())
            .or_insert_with(|| Flight::new(Arc::clone(plan.scope)));
        // Count first, so that the bound holds whoever else is counting.
        if self.unsettled.fetch_add(1, Ordering::Relaxed) >= self.max_loads {
            self.loads_ended(1 + flight.drop_ended(now));
            return Err(Denied::Full);
        }
        if let Err(unpaid) = plan.payer.pay() {
            self.loads_ended(1);
            return Err(Denied::Unpaid(unpaid));
        }
        let token = self.tokens.issue();
        // Read after the time: see `Rules::put`.
        let policy = plan.scope.policy();
        let deadline = now.after(Self::lease_time(&policy, plan.want.lease));
        let began = self.versions.next(&self.clock);
        let pushed_out = flight.begin(Load {
            token,
            began,
            began_at: now,
            deadline,
            ends: now.after(policy.max_load),
            softened: false,
            base: plan.base.map(|node| node.entry.version),
            observed: plan.observed,
            exclusive: plan.exclusive,
        });
        self.loads_ended(pushed_out);
        state.ring.record(plan.key, now, plan.what, began);
        if let Some(node) = plan.base {
            node.refreshing_until(deadline);
        }
        Ok(Lease::new(FillRight {
            pond: Arc::clone(self),
            scope: Arc::clone(plan.scope),
            key: plan.key.clone(),
            token,
            deadline,
            exclusive: plan.exclusive,
            etag: plan
                .base
                .map_or_else(Bytes::new, |node| node.entry.etag().clone()),
        }))
    }

    /// Gives the lease of a key whose leader is gone to the next waiter.
    pub(super) fn promote(self: &Arc<Self>, key: &Key) {
        loop {
            let (scope, cell, lease) = {
                let stripe = self.stripes.of(&key.borrow());
                let mut state = stripe.state.lock();
                let Some(flight) = state.flights.get_mut(key) else {
                    return;
                };
                if flight.led_until(self.clock.precise()).is_some() {
                    return; // somebody leads already; the waiters wait for that
                }
                let Some(cell) = flight.next_waiter() else {
                    if flight.is_idle() {
                        state.flights.remove(key);
                    }
                    return;
                };
                let scope = Arc::clone(&flight.scope);
                let want = Want {
                    lease: cell.lease,
                    ..Want::load_until(Time::FAR)
                };
                match self.lead(&mut state, &scope, key, &want) {
                    Some(lease) => (scope, cell, lease),
                    // Full: it waits on, and tries again at its deadline.
                    None => {
                        if let Some(flight) = state.flights.get_mut(key) {
                            flight.wait_on(cell);
                        }
                        return;
                    }
                }
            };
            match cell.offer(Outcome::Lead(lease)) {
                Ok(()) => {
                    self.promoted(&scope);
                    return;
                }
                // It left meanwhile. Take the record back by hand (dropping the
                // lease would come back here, once a departed waiter deep).
                Err(Outcome::Lead(lease)) => {
                    let token = lease.detach().token;
                    let stripe = self.stripes.of(&key.borrow());
                    let mut state = stripe.state.lock();
                    if let Some(flight) = state.flights.get_mut(key)
                        && flight.settle(token).is_some()
                    {
                        self.loads_ended(1);
                        self.l1.with(&key.borrow(), |node| node.refresh_given_up());
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn promoted(&self, scope: &Scope) {
        self.payer(scope).owe();
        self.counters.one(Count::Promoted);
        self.counters.of(scope, Of::Load);
    }

    /// Begins an exclusive load on behalf of a waiter.
    fn lead(
        self: &Arc<Self>,
        state: &mut State,
        scope: &Arc<Scope>,
        key: &Key,
        want: &Want,
    ) -> Option<Lease> {
        let held = self.l1.get(&key.borrow());
        let base = held.as_deref().filter(|node| self.usable(node));
        self.begin(
            state,
            Plan {
                scope,
                key,
                want,
                base,
                observed: None,
                exclusive: true,
                what: What::Promoted,
                // Paid for when it is handed over.
                payer: &Payer::nobody(),
            },
        )
        .ok()
    }

    /// What a waiter finds whose leader's lease has run out.
    pub(super) fn take_over(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &Key,
        want: &Want,
        cell: &Arc<Cell>,
    ) -> TakeOver {
        let stripe = self.stripes.of(&key.borrow());
        let mut state = stripe.state.lock();
        let led = state
            .flights
            .get(key)
            .and_then(|flight| flight.led_until(self.clock.precise()));
        if let Some(until) = led {
            return TakeOver::Follow { until };
        }
        // Under the lock nobody promotes this waiter; it may have been handed
        // something before.
        if let Some(outcome) = cell.leave() {
            return TakeOver::Handed(outcome);
        }
        // Whoever led last may have stored the value and be about to hand it over.
        let held = self.l1.get(&key.borrow());
        if let Some(node) = held.filter(|node| node.entry.phase(self.clock.now()) == Phase::Fresh) {
            return TakeOver::Found(node);
        }
        let lease = self.lead(&mut state, scope, key, want);
        drop(state);
        match lease {
            Some(lease) => {
                self.promoted(scope);
                TakeOver::Lead(lease)
            }
            None => TakeOver::Full,
        }
    }
}
