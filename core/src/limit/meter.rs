//! How much is asked of a tenant's limits: counted where it is decided, read elsewhere.
//!
//! A *meter* counts the calls of one tenant's limit and never forgets. There may be
//! several of one limit: a handle has its own, and a change that races with the first
//! call makes a second one. What is told is the sum over all of a name
//! ([`Meters`]), so no change of tier, removal or return loses a count or counts twice.
//!
//! ```text
//!   call ──► meter of the entry, handed on to its successor ─┐
//!   call ──► meter of a handle ──────────────────────────────┴─► Meters::collect: what is
//!                                    new since it looked last, to the window that is open
//! ```
//!
//! The most common calls, of one token, and denials for now are counted without a
//! read-modify-write by whoever *owns* the meter: the thread that made it, or the handle
//! it is of. Everybody else, and every other call, adds atomically.
//!
//! Invariants: `mine` is written by the owner alone; a count only rises.
//!
//! Cost: under a nanosecond for the owner, an atomic addition for others; about 150 bytes
//! for each limit of a tenant that was ever called, 100 more in [`Meters`].

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
// std's even under loom, as in `histogram`: statistics order nothing.
use std::sync::atomic::{AtomicBool, AtomicU64};

use once_cell::race::OnceBox;

use super::quota::Ticks;
use super::shadow::{Advice, Demand};
use crate::cache::TenantId;
use crate::planted::{Bug, planted};
use crate::sync::{Mutex, Ordering};
use crate::tenant::LimitName;

mod meters;
mod series;

pub(crate) use meters::{Meters, Observers};
pub use series::{Metered, Of as MeteredOf, Recent};

/// More tokens of one call are counted as so many: no sum comes round.
const MOST_A_CALL: u64 = 1 << 32;

/// What became of calls that asked for tokens of one limit. A call that asked for none,
/// of a tenant that is not served, or repeated for its answer, is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Allowed, those of `would_deny` included.
    pub allowed: u64,
    /// Allowed, though this limit, which is not enforced, would have denied them.
    pub would_deny: u64,
    /// Denied by this limit, for now.
    pub over_limit: u64,
    /// Denied by this limit, because they asked for more than it ever holds.
    pub never: u64,
    /// Denied by another limit that they charged as well.
    pub elsewhere: u64,
    /// Tokens of the calls allowed, as they were charged: what went back later included,
    /// and a call whose turn did not come. A cost above 2³² counts as that.
    pub tokens: u64,
}

impl Counts {
    /// All calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.allowed + self.denied() + self.elsewhere
    }

    /// Those that this limit denied.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.over_limit + self.never
    }

    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            allowed: of(self.allowed, other.allowed),
            would_deny: of(self.would_deny, other.would_deny),
            over_limit: of(self.over_limit, other.over_limit),
            never: of(self.never, other.never),
            elsewhere: of(self.elsewhere, other.elsewhere),
            tokens: of(self.tokens, other.tokens),
        }
    }
}

// Tokens of a few absurd costs may wrap: sums and differences stay true to each other.
impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, u64::wrapping_add)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.each(other, u64::wrapping_sub)
    }
}

/// What became of one call, as one of the limits it charged sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Allowed { would_deny: bool },
    OverLimit,
    Never,
    Elsewhere,
}

/// The counts of one tenant's limit, or a part of them.
pub(crate) struct Meter {
    tenant: TenantId,
    /// `None` is the tenant's own.
    limit: Option<LimitName>,
    owner: u64,
    mine: Mine,
    /// Calls of one token.
    ones: AtomicU64,
    /// Calls of more.
    others: AtomicU64,
    /// Theirs.
    tokens: AtomicU64,
    would_deny: AtomicU64,
    over_limit: AtomicU64,
    never: AtomicU64,
    elsewhere: AtomicU64,
    /// Whether there is a `demand`.
    observed: AtomicBool,
    /// Kept while the limit is in shadow.
    demand: Mutex<Option<Box<Demand>>>,
}

/// Written by the owner alone.
#[derive(Default)]
struct Mine {
    ones: AtomicU64,
    over_limit: AtomicU64,
}

/// No thread's number: the owner is a handle.
const A_HANDLE: u64 = 0;

/// Which thread this is, from 1; no other one is ever of the same number.
#[inline]
fn this_thread() -> u64 {
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    #[cold]
    fn next() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Relaxed: nothing but the number.
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(next());
        }
        number.get()
    })
}

/// Adds 1 to what nobody else writes.
#[inline]
fn raise(count: &AtomicU64) {
    // Relaxed, as all counts here; two steps, because this is the only writer.
    let seen = count.load(Ordering::Relaxed);
    count.store(seen.wrapping_add(1), Ordering::Relaxed);
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Meter {
    fn new(tenant: TenantId, limit: Option<LimitName>, owner: u64) -> Self {
        Self {
            tenant,
            limit,
            owner,
            mine: Mine::default(),
            ones: AtomicU64::new(0),
            others: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            would_deny: AtomicU64::new(0),
            over_limit: AtomicU64::new(0),
            never: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            observed: AtomicBool::new(false),
            demand: Mutex::new(None),
        }
    }

    #[inline]
    fn is_mine(&self) -> bool {
        self.owner == this_thread()
    }

    /// Counts a call for `cost` tokens.
    #[inline]
    pub(crate) fn count(&self, cost: u64, said: Said) {
        match said {
            Said::Allowed { would_deny: false } if cost == 1 && self.is_mine() => {
                raise(&self.mine.ones);
            }
            Said::OverLimit if cost > 0 && self.is_mine() => raise(&self.mine.over_limit),
            said => self.add(cost, said),
        }
    }

    /// Counts a call of the handle that owns it, which it has to itself.
    #[inline]
    fn count_handle(&self, cost: u64, said: Said) {
        debug_assert_eq!(self.owner, A_HANDLE, "of a handle");
        match said {
            Said::Allowed { would_deny: false } if cost == 1 => raise(&self.mine.ones),
            Said::OverLimit if cost > 0 => raise(&self.mine.over_limit),
            said => self.add(cost, said),
        }
    }

    fn add(&self, cost: u64, said: Said) {
        match (cost, said) {
            (0, _) => {}
            (cost, Said::Allowed { would_deny }) => {
                if cost == 1 {
                    add(&self.ones, 1);
                } else {
                    add(&self.others, 1);
                    add(&self.tokens, cost.min(MOST_A_CALL));
                }
                if would_deny {
                    add(&self.would_deny, 1);
                }
            }
            (_, Said::OverLimit) => add(&self.over_limit, 1),
            (_, Said::Never) => add(&self.never, 1),
            (_, Said::Elsewhere) => add(&self.elsewhere, 1),
        }
    }

    /// All that it ever counted. Calls that are counted meanwhile may be there in part.
    fn read(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let ones = of(&self.mine.ones) + of(&self.ones);
        Counts {
            allowed: ones + of(&self.others),
            would_deny: of(&self.would_deny),
            over_limit: of(&self.mine.over_limit) + of(&self.over_limit),
            never: of(&self.never),
            elsewhere: of(&self.elsewhere),
            tokens: ones.wrapping_add(of(&self.tokens)),
        }
    }

    /// Has the demand of a limit in shadow observed, as long as there is room for it.
    pub(crate) fn observe(&self, now: Ticks, cost: u64, observers: &Observers) {
        let mut demand = self.demand.lock();
        if demand.is_none() && observers.enter() {
            *demand = Some(Box::new(Demand::from(now)));
            self.observed.store(true, Ordering::Relaxed);
        }
        if let Some(demand) = &mut *demand {
            demand.record(now, cost);
        }
    }

    /// What was observed, and what follows from it.
    pub(crate) fn advice(&self, now: Ticks) -> Option<Advice> {
        self.demand.lock().as_mut().map(|demand| demand.advice(now))
    }

    /// Ends an observation that nobody has added to for as long, or any.
    fn end_observation(&self, if_idle: Option<Ticks>, observers: &Observers) {
        if !self.observed.load(Ordering::Relaxed) {
            return;
        }
        let mut demand = self.demand.lock();
        let ends = |demand: &Demand| if_idle.is_none_or(|before| demand.last() < before);
        if demand.as_deref().is_some_and(ends) {
            *demand = None;
            self.observed.store(false, Ordering::Relaxed);
            observers.leave();
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("tenant", &self.tenant)
            .field("limit", &self.limit)
            .field("counts", &self.read())
            .finish_non_exhaustive()
    }
}

/// Where a bucket has its meter, from its first call on. One pointer: most tenants have
/// none, and there are many.
#[derive(Debug, Default)]
pub(crate) struct Place(OnceBox<Arc<Meter>>);

impl Place {
    #[inline]
    pub(crate) fn get(&self) -> Option<&Arc<Meter>> {
        self.0.get()
    }

    /// The meter, made by its first use.
    pub(crate) fn get_or_make(
        &self,
        meters: &Meters,
        tenant: &TenantId,
        limit: Option<&LimitName>,
    ) -> &Arc<Meter> {
        // No closure under the lock of the place: whoever loses asks for the winner's.
        if self.get().is_none() {
            let meter = Meter::new(tenant.clone(), limit.cloned(), this_thread());
            let meter = Arc::new(meter);
            if self.0.set(Box::new(Arc::clone(&meter))).is_ok() {
                meters.add(meter);
            }
        }
        self.get().expect("it is set, by this thread or another")
    }

    /// The successor's.
    pub(crate) fn handed_on(&self) -> Self {
        let next = Self::default();
        next.take_over(self);
        next
    }

    /// Goes on with what `old` counts on, unless it has a meter already.
    pub(crate) fn take_over(&self, old: &Self) {
        if let Some(meter) = old.get()
            && !planted(Bug::MeterForgotten)
        {
            let _has_one = self.0.set(Box::new(Arc::clone(meter)));
        }
    }
}

/// What a handle counts on: first its tenant's meter, and its own once it is worth one.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    calls: u32,
    own: Option<Arc<Meter>>,
}

impl Tally {
    /// Calls that a handle counts on its tenant's meter: so one that is made for a few
    /// calls costs nothing.
    const WORTH_ONE: u32 = 1_024;

    /// Counts a call of the tenant's own bucket, or says that it is the tenant's meter
    /// that is to count it.
    #[inline]
    pub(crate) fn count(&mut self, cost: u64, said: Said) -> bool {
        let Some(own) = &self.own else { return false };
        own.count_handle(cost, said);
        true
    }

    /// After a call that the tenant's meter has counted.
    pub(crate) fn counted_there(&mut self, meters: &Meters, tenant: &TenantId) {
        self.calls += 1;
        if self.calls == Self::WORTH_ONE {
            let own = Arc::new(Meter::new(tenant.clone(), None, A_HANDLE));
            meters.add(Arc::clone(&own));
            self.own = Some(own);
        }
    }
}

impl Clone for Tally {
    /// Another handle's.
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
