//! Settling loads: what a fill is worth, and who is told.
//!
//! Every write of a key happens under its stripe's lock: the record of the load,
//! the entry and the waiters change in one step. The eviction policy and the
//! waiters are told after unlocking, in `write`.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::LoadError;
use super::entry::{Body, Entry};
use super::expiry::{Deadlines, Phase, backoff};
use super::fill::flight::{Flight, Load};
use super::fill::lease::{Fill, Filled, Grant};
use super::fill::stripe::State;
use super::key::Key;
use super::policy::Times;
use super::pond::Pond;
use super::recorder::{Ring, What, Why};
use super::scope::Scope;
use super::stats::Count;
use super::tags::Tag;
use super::write::{Aftermath, ToTell};
use crate::clock::Time;
use crate::fence::Token;
use crate::planted::{Bug, planted};
use crate::sync::Ordering;
use crate::version::Version;

impl Pond {
    /// Settles a lease by its identity, as it comes back over a unary call.
    pub fn fill(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &[u8],
        grant: Grant,
        fill: Fill,
    ) -> Filled {
        if grant.boot != self.boot {
            self.counters.one(Count::Superseded);
            let key = self.key(scope, key).to_key();
            let mut state = self.stripes.of(&key.borrow()).state.lock();
            let what = What::Superseded(Why::OtherBoot);
            let now = self.clock.precise();
            state.ring.record(&key, now, what, Version::NONE);
            return Filled::Superseded;
        }
        self.fill_key(&self.key(scope, key).to_key(), grant.token, fill)
    }

    pub(super) fn fill_key(self: &Arc<Self>, key: &Key, token: Token, fill: Fill) -> Filled {
        // Tags are named before the stripe is locked; their barriers are read
        // under it.
        let tags = self.resolve_tags(key, &fill);
        let brings_value = matches!(fill, Fill::Found { .. } | Fill::NotModified { .. });
        let _late = self.l1.defer_drops();
        let mut after = Aftermath::default();
        let filled = {
            let stripe = self.stripes.of(&key.borrow());
            let mut state = stripe.state.lock();
            let filled = self.settle_locked(&mut state, key, token, fill, tags, &mut after);
            Self::tidy(&mut state, key);
            filled
        };
        let failed = matches!(after.outcome, Some(ToTell::Failed(_)));
        match filled {
            Filled::Stored(_) => self.counters.one(Count::Stored),
            Filled::TooLarge { .. } => self.counters.one(Count::TooLarge),
            Filled::Superseded if brings_value => self.counters.one(Count::Superseded),
            Filled::Superseded => {}
            Filled::Noted if failed => self.counters.one(Count::Failed),
            Filled::Noted => self.counters.one(Count::GivenUp),
            Filled::NeedValue => {}
        }
        self.after(key, after);
        filled
    }

    fn resolve_tags(&self, key: &Key, fill: &Fill) -> Box<[Arc<Tag>]> {
        let Fill::Found { tags, .. } = fill else {
            return Box::default();
        };
        if tags.is_empty() {
            return Box::default();
        }
        let state = self.stripes.of(&key.borrow()).state.lock();
        let scope = state
            .flights
            .get(key)
            .map(|flight| Arc::clone(&flight.scope));
        drop(state);
        scope.map_or_else(Box::default, |scope| {
            scope.tenant.tags.resolve(scope.id, tags)
        })
    }

    fn settle_locked(
        self: &Arc<Self>,
        state: &mut State,
        key: &Key,
        token: Token,
        fill: Fill,
        tags: Box<[Arc<Tag>]>,
        after: &mut Aftermath,
    ) -> Filled {
        let now = self.clock.precise();
        let brings_value = matches!(fill, Fill::Found { .. } | Fill::NotModified { .. });
        let stored = match fill {
            Fill::NotModified { .. } => What::Confirmed,
            _ => What::Stored,
        };
        let unrecorded = |ring: &mut Ring| {
            if brings_value {
                ring.record(key, now, What::Superseded(Why::Unrecorded), Version::NONE);
            }
            Filled::Superseded
        };
        let Some(flight) = state.flights.get_mut(key) else {
            return unrecorded(&mut state.ring);
        };
        let fill = match fill {
            Fill::NotModified { times } => match self.confirm(flight, key, token, times) {
                Some(fill) => fill,
                None if flight.load(token).is_some() => return Filled::NeedValue,
                None => return unrecorded(&mut state.ring),
            },
            fill => (fill, tags),
        };
        let Some(settled) = flight.settle(token) else {
            return unrecorded(&mut state.ring);
        };
        self.loads_ended(1);
        let (load, was_leader) = (settled.load, settled.was_leader);
        self.loads_took.record(now.since(load.began_at));
        match fill {
            (
                Fill::Found {
                    body, times, etag, ..
                },
                tags,
            ) => {
                let scope = Arc::clone(&flight.scope);
                let entry = self.entry(&scope, &load, now, body, times, tags, etag);
                let entry = match self.admissible(state, key, &load, now, entry) {
                    Ok(entry) => entry,
                    Err(why) => {
                        let what = What::Superseded(why);
                        state.ring.record(key, now, what, load.began);
                        after.promote = was_leader;
                        return Filled::Superseded;
                    }
                };
                self.store(state, key, entry, load.softened, now, stored, after)
            }
            (Fill::Failed(error), _) => {
                if was_leader {
                    self.failed(flight, key, error, now, after);
                }
                state.ring.record(key, now, What::Failed, load.began);
                if planted(Bug::ErrorRemembered) {
                    flight.begin(load);
                }
                Filled::Noted
            }
            (Fill::GivenUp | Fill::NotModified { .. }, _) => {
                if planted(Bug::CancelAsError) {
                    self.failed(flight, key, LoadError::new("cancelled", None), now, after);
                    return Filled::Noted;
                }
                if was_leader {
                    self.l1.with(&key.borrow(), |node| node.refresh_given_up());
                    after.promote = !planted(Bug::HandoverForgotten);
                }
                state.ring.record(key, now, What::GivenUp, load.began);
                Filled::Noted
            }
        }
    }

    /// Turns "not modified" into the value it confirms: only the very entry whose
    /// etag the load was given.
    fn confirm(
        &self,
        flight: &Flight,
        key: &Key,
        token: Token,
        times: Times,
    ) -> Option<(Fill, Box<[Arc<Tag>]>)> {
        let base = flight.load(token)?.base?;
        let held = self
            .l1
            .get(&key.borrow())
            .filter(|node| self.usable(node))?;
        if held.entry.version != base {
            return None;
        }
        let Entry {
            body, tags, etag, ..
        } = &held.entry;
        let fill = Fill::Found {
            body: body.clone(),
            times,
            tags: Vec::new(),
            etag: etag.get().clone(),
        };
        Some((fill, tags.clone()))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an entry, named at the one call"
    )]
    fn entry(
        &self,
        scope: &Arc<Scope>,
        load: &Load,
        now: Time,
        body: Body,
        times: Times,
        tags: Box<[Arc<Tag>]>,
        etag: Bytes,
    ) -> Entry {
        let deadlines = match body {
            Body::Value(_) => {
                Deadlines::for_value(now, &scope.policy(), times, self.entropy.unit())
            }
            Body::Absent => Deadlines::for_absence(now, &scope.policy(), times),
        };
        let deadlines = if load.softened {
            deadlines.made_stale()
        } else {
            deadlines
        };
        let began = if planted(Bug::BeginAtFill) {
            self.versions.next(&self.clock)
        } else {
            load.began
        };
        Entry {
            scope: Arc::clone(scope),
            body,
            began,
            version: self.versions.next(&self.clock),
            stored_at: now,
            deadlines,
            load_time: now.since(load.began_at).into(),
            tags,
            etag: etag.into(),
        }
    }

    /// The entry if it may be stored (C2), with its deadlines inside the settle
    /// times that cover it (C14).
    fn admissible(
        &self,
        state: &State,
        key: &Key,
        load: &Load,
        now: Time,
        entry: Entry,
    ) -> Result<Entry, Why> {
        if now >= load.ends {
            return Err(Why::TooSlow);
        }
        if planted(Bug::DeadlineDiscards) && now >= load.deadline {
            return Err(Why::TooSlow);
        }
        if Self::covered(&entry) {
            return Err(Why::Covered);
        }
        // A later load's value, or a `Set`. Their records void this load's; this
        // is the same rule asked of the entry itself.
        let later = self.l1.with(&key.borrow(), |held| {
            held.entry.began > load.began && held.entry.phase(now) != Phase::Gone
        });
        if later == Some(true) && !planted(Bug::LateLoadWins) {
            return Err(Why::Later);
        }
        self.observe(load, &entry);
        let end = self.settle_end(state, key, &entry, load.began_at);
        if end <= now {
            return Err(Why::Settling); // began while replicas lagged: worth nothing
        }
        let deadlines = entry.deadlines.capped(end);
        Ok(Entry { deadlines, ..entry })
    }

    /// Whether a barrier covers the entry.
    pub(super) fn covered(entry: &Entry) -> bool {
        let hard = entry
            .tags
            .iter()
            .map(|tag| tag.barrier.hard())
            .max()
            .unwrap_or_default();
        entry.began <= hard.max(entry.scope.floor())
    }

    /// The earliest end of a settle time inside which the load began.
    pub(super) fn settle_end(
        &self,
        state: &State,
        key: &Key,
        entry: &Entry,
        began_at: Time,
    ) -> Time {
        if planted(Bug::SettleIgnored) {
            return Time::FAR;
        }
        let scope = &entry.scope;
        let covering = [
            scope.barrier.settle_until(),
            scope.tenant.barrier.settle_until(),
        ];
        let tags = entry.tags.iter().map(|tag| tag.barrier.settle_until());
        let of_key = state.settling.get(key).map(|settling| settling.end);
        covering
            .into_iter()
            .chain(tags)
            .chain(of_key)
            .filter(|end| began_at < *end)
            .min()
            // A reader's clock may lag: end it early rather than late.
            .map_or(Time::FAR, |end| end.before(self.clock.lag()))
    }

    fn observe(&self, load: &Load, entry: &Entry) {
        if let Some(observed) = &load.observed
            && observed.entry.phase(self.clock.now()) <= Phase::Stale
        {
            let same = observed.entry.body == entry.body;
            let (total, count) = if same {
                (Count::Match, &entry.scope.rules.matches)
            } else {
                (Count::Mismatch, &entry.scope.rules.mismatches)
            };
            self.counters.one(total);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn failed(
        &self,
        flight: &mut Flight,
        key: &Key,
        error: LoadError,
        now: Time,
        after: &mut Aftermath,
    ) {
        if planted(Bug::ErrorDropsStale) {
            after.residue = self.l1.remove(&key.borrow());
        }
        self.l1.with(&key.borrow(), |node| {
            let failures = node.failures().saturating_add(1);
            let wait = backoff(failures, error.retry_after, self.entropy.unit());
            let wait = if planted(Bug::NoBackoff) {
                std::time::Duration::ZERO
            } else {
                wait
            };
            node.refresh_failed(now.after(wait));
        });
        after.waiters = flight.take_waiters();
        after.outcome = Some(ToTell::Failed(error));
    }

    /// Extends a lease: more time alone for a slow loader. Returns when it now
    /// ends, or `None` when it is not the key's lease any more.
    #[must_use]
    pub fn renew(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        key: &[u8],
        grant: Grant,
        lease: Option<std::time::Duration>,
    ) -> Option<Time> {
        if grant.boot != self.boot {
            return None;
        }
        let key = self.key(scope, key).to_key();
        let now = self.clock.precise();
        let mut state = self.stripes.of(&key.borrow()).state.lock();
        let flight = state.flights.get_mut(&key)?;
        if !flight.is_latest(grant.token) {
            return None;
        }
        let floor = flight.scope.floor();
        let load = flight.load_mut(grant.token)?;
        let end = load.ends;
        if load.began <= floor || now >= end {
            return None;
        }
        load.deadline = now
            .after(Self::lease_time(&scope.policy(), lease))
            .min(end)
            .max(load.deadline);
        let deadline = load.deadline;
        // Under the lock, or it could undo the back-off of a failure.
        self.l1.with(&key.borrow(), |node| {
            if !node.refresh_due(now) && node.backing_off(now).is_none() {
                node.refreshing_until(deadline);
            }
        });
        drop(state);
        Some(deadline)
    }
}
