//! What a read comes to.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, LoadBy, LoadError, Lookup, Reason, Want};
use super::begin::{Denied, Plan};
use super::budget::{Payer, Unpaid};
use super::entry::Node;
use super::expiry::{Phase, refresh_early};
use super::fill::flight::{Flight, MAX_OBSERVERS};
use super::fill::waiter::Waiter;
use super::key::{Key, KeyRef};
use super::local::Local;
use super::policy::Mode;
use super::pond::Pond;
use super::recorder::What;
use super::scope::Scope;
use super::stats::{Count, Of};
use crate::clock::Time;

/// How long a caller that was shed should stay away.
const SHED_RETRY: Duration = Duration::from_secs(1);

/// Changes of a tenant's rates that one read lives through.
const CHANGES: usize = 16;

impl Pond {
    /// Reads a key. Never blocks, beyond the stripe's lock on a miss.
    ///
    /// The key must have passed [`check_key`](super::check_key).
    #[inline]
    pub fn get(self: &Arc<Self>, scope: &Arc<Scope>, key: &[u8], want: Want) -> Lookup {
        if scope.mode() != Mode::On {
            return self.get_switched(scope, key, want);
        }
        let key = self.key(scope, key);
        let now = self.clock.now();
        let seen = Local::with(|local| {
            self.l1.read(local, &key, |node| {
                let phase = node.entry.phase_in(scope, now);
                if phase <= Phase::Stale {
                    self.l1.used(node);
                }
                (phase, Arc::clone(node))
            })
        });
        match seen {
            Some((Phase::Fresh, node)) => self.fresh(scope, &key, want, node, now),
            Some((Phase::Stale, node)) if !want.fresh_only => {
                self.stale(scope, &key, want, node, now)
            }
            Some((Phase::OnError, node)) if !want.fresh_only && node.backing_off(now).is_some() => {
                self.stale_on_error(scope, node, now)
            }
            seen => {
                if seen.is_none() {
                    self.l1.missed(&key, &scope.tenant.place);
                }
                self.miss(scope, &key, want)
            }
        }
    }

    #[inline]
    fn fresh(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &KeyRef<'_>,
        want: Want,
        node: Arc<Node>,
        now: Time,
    ) -> Lookup {
        self.counters.of(scope, Of::Hit);
        let beta = scope.early_refresh();
        let early = beta > 0.0
            && want.load == LoadBy::Caller
            && refresh_early(
                now,
                node.entry.deadlines.fresh_until(),
                node.entry.load_time(),
                beta,
                || self.entropy.unit(),
            );
        if early {
            let lease = self.refresh(scope, key, want, &node, now);
            return Lookup::Answer(Answer {
                lease: lease.ok(),
                ..Answer::fresh(node)
            });
        }
        Lookup::Answer(Answer::fresh(node))
    }

    fn stale(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &KeyRef<'_>,
        want: Want,
        node: Arc<Node>,
        now: Time,
    ) -> Lookup {
        self.counters.of(scope, Of::Stale);
        let lease = match want.load {
            LoadBy::Caller => self.refresh(scope, key, want, &node, now),
            LoadBy::Nobody => Err(None),
        };
        if let Err(Some(retry_after)) = lease {
            self.counters.one(Count::StaleOverBudget);
            return Lookup::Answer(Answer {
                retry_after: Some(retry_after),
                ..Answer::stale(node, Reason::OverBudget)
            });
        }
        let lease = lease.ok();
        let retry_after = node.backing_off(now);
        let reason = if node.failures() > 0 {
            self.counters.one(Count::StaleFailed);
            Reason::LoadFailed
        } else {
            Reason::Revalidating
        };
        Lookup::Answer(Answer {
            lease,
            retry_after,
            ..Answer::stale(node, reason)
        })
    }

    fn stale_on_error(&self, scope: &Scope, node: Arc<Node>, now: Time) -> Lookup {
        self.counters.of(scope, Of::Stale);
        self.counters.one(Count::StaleFailed);
        let retry_after = node.backing_off(now);
        Lookup::Answer(Answer {
            retry_after,
            ..Answer::stale(node, Reason::LoadFailed)
        })
    }

    /// The lease to refresh `node`, if it is this caller's turn. Else the time until the
    /// tenant's budget allows one, if that is why there is none.
    fn refresh(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &KeyRef<'_>,
        want: Want,
        node: &Arc<Node>,
        now: Time,
    ) -> Result<super::Lease, Option<Duration>> {
        if !node.refresh_due(now) {
            return Err(None); // under way, or backing off: no lock for the many
        }
        let key = key.to_key();
        let payer = self.payer(scope);
        let mut state = self.stripes.of(&key.borrow()).state.lock();
        // Somebody may have been faster to the lock, or have replaced the node.
        let current = self.l1.with(&key.borrow(), |held| Arc::ptr_eq(held, node));
        let led = state
            .flights
            .get(&key)
            .is_some_and(|flight| flight.led_until(self.clock.precise()).is_some());
        // Gone from the index it was evicted, and is read from a thread's front.
        if current == Some(false) || led || !node.refresh_due(now) {
            return Err(None);
        }
        let plan = Plan {
            scope,
            key: &key,
            want: &want,
            base: Some(node),
            observed: None,
            exclusive: true,
            what: What::Refreshing,
            payer: &payer,
        };
        match self.begin(&mut state, plan) {
            Ok(lease) => {
                self.counters.one(Count::Refresh);
                self.counters.of(scope, Of::Load);
                Ok(lease)
            }
            Err(Denied::Unpaid(Unpaid::Spent(retry_after))) => {
                drop(state);
                self.counters.one(Count::OverBudget);
                Err(Some(retry_after))
            }
            // What is held is answered; the next caller tries again.
            Err(Denied::Full | Denied::Unpaid(Unpaid::Changed)) => Err(None),
        }
    }

    /// Nothing to answer at once: lead, follow, or be told why not.
    fn miss(self: &Arc<Self>, scope: &Arc<Scope>, key: &KeyRef<'_>, want: Want) -> Lookup {
        if want.load == LoadBy::Nobody {
            self.counters.of(scope, Of::Miss);
            return Lookup::Answer(Answer::refused(Reason::NotHeld));
        }
        let key = key.to_key();
        let mut want = want;
        for _ in 0..CHANGES {
            match self.lead_or_follow(scope, &key, want) {
                Ok(lookup) => return lookup,
                Err(again) => want = again,
            }
        }
        // A tenant whose rates change so often is not served worse for it.
        self.shed(&key, &want)
    }

    /// One attempt of a read that found nothing; the read again when the tenant's rates
    /// changed meanwhile.
    fn lead_or_follow(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &Key,
        want: Want,
    ) -> Result<Lookup, Want> {
        let payer = self.payer(scope);
        let stripe = self.stripes.of(&key.borrow());
        let mut state = stripe.state.lock();
        let now = self.clock.precise();
        // A fill may have landed between the look and the lock.
        let held = self.l1.get(&key.borrow());
        if let Some(node) = &held
            && node.entry.phase(now) == Phase::Fresh
        {
            let node = Arc::clone(node);
            drop(state);
            self.counters.of(scope, Of::Hit);
            return Ok(Lookup::Answer(Answer::fresh(node)));
        }
        let flight = state.flights.get_mut(key);
        if let Some(flight) = flight
            && let Some(until) = flight.led_until(now)
        {
            if flight.waiters() >= self.max_waiters {
                drop(state);
                self.counters.of(scope, Of::Miss);
                return Ok(self.shed(key, &want));
            }
            let departed = flight.departed();
            let waiter = Waiter::new(
                Arc::clone(self),
                Arc::clone(scope),
                key.clone(),
                want,
                until,
                departed,
            );
            flight.wait(Arc::clone(waiter.cell()));
            drop(state);
            self.counters.of(scope, Of::Miss);
            self.counters.one(Count::Coalesced);
            return Ok(Lookup::Follow(waiter));
        }
        let base = held.as_deref().filter(|node| self.usable(node));
        let plan = Plan {
            scope,
            key,
            want: &want,
            base,
            observed: None,
            exclusive: true,
            what: What::Leased,
            payer: &payer,
        };
        let lease = self.begin(&mut state, plan);
        if lease.is_err() {
            Self::tidy(&mut state, key);
        }
        drop(state);
        if let Err(Denied::Unpaid(Unpaid::Changed)) = lease {
            return Err(want);
        }
        self.counters.of(scope, Of::Miss);
        Ok(match lease {
            Ok(lease) => {
                self.counters.one(Count::Lead);
                self.counters.of(scope, Of::Load);
                Lookup::Answer(Answer::lead(lease))
            }
            Err(Denied::Unpaid(Unpaid::Spent(after))) => self.over_budget(key, &want, after),
            Err(Denied::Full | Denied::Unpaid(Unpaid::Changed)) => self.shed(key, &want),
        })
    }

    /// Refused: the tenant has loaded as much as it may.
    fn over_budget(&self, key: &Key, want: &Want, retry_after: Duration) -> Lookup {
        self.counters.one(Count::OverBudget);
        let because = Count::StaleOverBudget;
        let base = self.last_resort(key, want, because).unwrap_or_default();
        Lookup::Answer(Answer {
            reason: Some(Reason::OverBudget),
            retry_after: Some(retry_after),
            ..base
        })
    }

    /// Refused: what is stale answers, if anything does.
    fn shed(&self, key: &Key, want: &Want) -> Lookup {
        self.counters.one(Count::Shed);
        let because = Count::StaleShed;
        let base = self.last_resort(key, want, because).unwrap_or_default();
        let retry_after = Some(SHED_RETRY);
        Lookup::Answer(Answer {
            reason: Some(Reason::Shed),
            retry_after,
            ..base
        })
    }

    /// A read of a cache that observes or is switched off.
    #[cold]
    fn get_switched(self: &Arc<Self>, scope: &Arc<Scope>, key: &[u8], want: Want) -> Lookup {
        if scope.mode() == Mode::Bypass || want.load == LoadBy::Nobody {
            return Lookup::Answer(Answer::refused(Reason::Bypass));
        }
        let key = self.key(scope, key).to_key();
        let mut state = self.stripes.of(&key.borrow()).state.lock();
        let observers = state.flights.get(&key).map_or(0, Flight::loads);
        if observers >= MAX_OBSERVERS {
            return Lookup::Answer(Answer::refused(Reason::Bypass));
        }
        let observed = self
            .l1
            .get(&key.borrow())
            .filter(|node| node.entry.phase(self.clock.now()) <= Phase::Stale);
        let found = if observed.is_some() {
            Of::Hit
        } else {
            Of::Miss
        };
        self.counters.of(scope, found);
        let plan = Plan {
            scope,
            key: &key,
            want: &want,
            base: None,
            observed,
            exclusive: false,
            what: What::Observing,
            payer: &Payer::nobody(),
        };
        let lease = self.begin(&mut state, plan);
        if lease.is_err() {
            Self::tidy(&mut state, &key);
        }
        drop(state);
        let Ok(lease) = lease else {
            return Lookup::Answer(Answer::refused(Reason::Bypass));
        };
        self.counters.of(scope, Of::Load);
        Lookup::Answer(Answer::lead(lease))
    }

    /// Whether a node may still be served in some way.
    pub(super) fn usable(&self, node: &Node) -> bool {
        node.entry.phase(self.clock.now()) != Phase::Gone
    }

    /// Removes the key's flight if it has become idle.
    pub(super) fn tidy(state: &mut super::fill::stripe::State, key: &Key) {
        if state.flights.get(key).is_some_and(Flight::is_idle) {
            state.flights.remove(key);
        }
    }

    /// What is held, when loading did not help.
    fn last_resort(&self, key: &Key, want: &Want, because: Count) -> Option<Answer> {
        let now = self.clock.now();
        let node = self.l1.get(&key.borrow())?;
        let answer = match node.entry.phase(now) {
            Phase::Gone => return None,
            Phase::Fresh => {
                self.counters.of(&node.entry.scope, Of::Hit);
                Answer::fresh(node)
            }
            _ if want.fresh_only => return None,
            _ => {
                self.counters.of(&node.entry.scope, Of::Stale);
                self.counters.one(because);
                Answer::stale(node, Reason::LoadFailed)
            }
        };
        Some(answer)
    }

    /// What a waiter is told when the load it waited for failed.
    pub(super) fn answer_failure(&self, key: &Key, want: &Want, error: LoadError) -> Answer {
        let base = self
            .last_resort(key, want, Count::StaleFailed)
            .unwrap_or_else(|| Answer::refused(Reason::LoadFailed));
        Answer {
            retry_after: error.retry_after,
            error: Some(error),
            ..base
        }
    }

    /// What a waiter is told when its patience is at an end.
    pub(super) fn answer_expired(&self, key: &Key, want: &Want) -> Answer {
        self.last_resort(key, want, Count::StaleFailed)
            .unwrap_or_else(|| Answer::refused(Reason::WaitExpired))
    }
}
