//! One key's loads and waiters: the table's logic without its lock.

use std::sync::Arc;
use std::time::Duration;

use super::waiter::Cell;
use crate::cache::entry::Node;
use crate::cache::explain::Loading;
use crate::cache::scope::Scope;
use crate::clock::Time;
use crate::fence::Token;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicUsize, Ordering};
use crate::version::Version;

/// Loads of one key at once. They pile up when leases expire faster than loads end;
/// beyond it readers wait for one of these rather than begin another: the oldest
/// is the nearest to its end, and none loses its right to store.
const MAX_LOADS: usize = 16;

/// Callers that may load at once in observe mode, for one key.
pub(crate) const MAX_OBSERVERS: usize = 64;

/// Waiter lists shorter than this are not searched for the departed.
const COMPACT_FROM: usize = 64;

/// A load that was begun and may still be stored.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) token: Token,
    pub(crate) began: Version,
    pub(crate) began_at: Time,
    /// When its lease ends.
    pub(crate) deadline: Time,
    /// When its right to be stored ends: the `max_load` under which it began.
    pub(crate) ends: Time,
    /// A soft invalidation came after it began: its value is stale at birth.
    pub(crate) softened: bool,
    /// The version of the entry it revalidates.
    pub(crate) base: Option<Version>,
    /// In observe mode: what would have been served.
    pub(crate) observed: Option<Arc<Node>>,
    /// Whether its lease is exclusive (all are but the observers').
    pub(crate) exclusive: bool,
}

/// The loads and waiters of one key.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) scope: Arc<Scope>,
    loads: Vec<Load>,
    waiters: Vec<Arc<Cell>>,
    /// How many of `waiters` stopped waiting by themselves.
    departed: Arc<AtomicUsize>,
}

/// What became of a load's record.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) load: Load,
    /// Whether it held the flight's latest lease: its fate is the waiters' fate.
    pub(crate) was_leader: bool,
}

impl Flight {
    pub(crate) fn new(scope: Arc<Scope>) -> Self {
        Self {
            scope,
            loads: Vec::with_capacity(1),
            waiters: Vec::new(),
            departed: Arc::default(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.loads.is_empty() && self.waiters.iter().all(|waiter| waiter.is_gone())
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.len()
    }

    /// Those who still wait, about: one may be leaving at this moment.
    pub(crate) fn waiters(&self) -> usize {
        self.waiters
            .len()
            .saturating_sub(self.departed.load(Ordering::Relaxed))
    }

    /// Where this flight's waiters count themselves out.
    pub(crate) fn departed(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.departed)
    }

    /// Until when others may not load: the end of the one unexpired lease or, when
    /// as many loads as there may be are under way, the end of the first.
    pub(crate) fn led_until(&self, now: Time) -> Option<Time> {
        if planted(Bug::TwoLeaders) {
            return None;
        }
        let mut loads = self
            .loads
            .iter()
            .filter(|load| load.exclusive && self.counts(load, now));
        let first = loads.next()?;
        let (others, last) = loads.fold((0, first), |(count, _), load| (count + 1, load));
        if now < last.deadline {
            return Some(last.deadline);
        }
        (others + 1 >= MAX_LOADS && !planted(Bug::OldestForgotten)).then_some(first.ends)
    }

    /// Whether a load could still be stored, as far as its flight knows.
    fn counts(&self, load: &Load, now: Time) -> bool {
        load.began > self.scope.floor() && now < load.ends
    }

    /// Adds a load; returns how many records of loads that are worth nothing any
    /// more it removed.
    pub(crate) fn begin(&mut self, load: Load) -> usize {
        let now = load.began_at;
        let mut removed = 0;
        if self.loads.len() >= MAX_LOADS {
            let floor = self.scope.floor();
            removed = self.loads.len();
            self.loads
                .retain(|held| held.began > floor && now < held.ends);
            removed -= self.loads.len();
            if planted(Bug::OldestForgotten) && self.loads.len() >= MAX_LOADS {
                self.loads.remove(0);
                removed += 1;
            }
        }
        self.loads.push(load);
        removed
    }

    pub(crate) fn load(&self, token: Token) -> Option<&Load> {
        self.loads.iter().find(|load| load.token == token)
    }

    pub(crate) fn load_mut(&mut self, token: Token) -> Option<&mut Load> {
        self.loads.iter_mut().find(|load| load.token == token)
    }

    /// Whether `token` is the flight's latest exclusive load.
    pub(crate) fn is_latest(&self, token: Token) -> bool {
        self.loads
            .iter()
            .rfind(|load| load.exclusive)
            .is_some_and(|load| load.token == token)
    }

    /// Takes the record of `token` out.
    pub(crate) fn settle(&mut self, token: Token) -> Option<Settled> {
        let at = if planted(Bug::SettleAnyToken) {
            self.loads.len().checked_sub(1)?
        } else {
            self.loads.iter().position(|load| load.token == token)?
        };
        let was_leader = self.is_latest(self.loads[at].token);
        Some(Settled {
            load: self.loads.remove(at),
            was_leader,
        })
    }

    /// The latest load, for people.
    pub(crate) fn explain(&self, now: Time) -> Option<Loading> {
        let latest = self.loads.last()?;
        Some(Loading {
            began: now.since(latest.began_at),
            exclusive: self
                .led_until(now)
                .map_or(Duration::ZERO, |until| until.since(now)),
            waiters: self.waiters(),
            loads: self.loads.len(),
            refresh: latest.base.is_some(),
            counts: self.counts(latest, now),
        })
    }

    /// Removes loads that began before `version`; returns how many.
    pub(crate) fn void_before(&mut self, version: Version) -> usize {
        let before = self.loads.len();
        self.loads.retain(|load| load.began > version);
        before - self.loads.len()
    }

    /// Marks loads that began before `version`: their values are stale at birth.
    pub(crate) fn soften_before(&mut self, version: Version) {
        for load in &mut self.loads {
            load.softened |= load.began < version;
        }
    }

    /// Removes loads that can never be stored any more; returns how many.
    pub(crate) fn drop_ended(&mut self, now: Time) -> usize {
        let before = self.loads.len();
        self.loads.retain(|load| now < load.ends);
        before - self.loads.len()
    }

    /// Adds a waiter.
    pub(crate) fn wait(&mut self, cell: Arc<Cell>) {
        // Once half of them are gone they are searched for: a constant a waiter.
        if self.waiters.len() >= COMPACT_FROM && self.waiters() < self.waiters.len() / 2 {
            let before = self.waiters.len();
            self.waiters.retain(|waiter| !waiter.is_gone());
            self.forget_departed(before - self.waiters.len());
        }
        self.waiters.push(cell);
    }

    fn forget_departed(&self, gone: usize) {
        self.departed.fetch_sub(gone, Ordering::Relaxed);
    }

    /// All waiters, to be told the same thing.
    pub(crate) fn take_waiters(&mut self) -> Vec<Arc<Cell>> {
        if planted(Bug::WakeOne) {
            return self.waiters.pop().into_iter().collect();
        }
        // Those who leave from now on count themselves out of no list.
        self.departed = Arc::default();
        std::mem::take(&mut self.waiters)
    }

    /// The waiter that has waited longest and still waits.
    pub(crate) fn next_waiter(&mut self) -> Option<Arc<Cell>> {
        let Some(at) = self.waiters.iter().position(|waiter| !waiter.is_gone()) else {
            self.waiters.clear();
            self.departed = Arc::default();
            return None;
        };
        // The one that is taken out counts itself out of the list if it leaves
        // before it is handed something: at worst one too many until the next load.
        self.forget_departed(at);
        self.waiters.drain(..=at).next_back()
    }

    /// Puts a waiter back that could not be promoted.
    pub(crate) fn wait_on(&mut self, cell: Arc<Cell>) {
        self.waiters.insert(0, cell);
    }
}
