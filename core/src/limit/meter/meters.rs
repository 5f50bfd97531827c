//! Every meter, and what they counted: by tenant and limit for those that count most.
//!
//! *Collecting* reads all meters and adds what is new to the window that is open: when
//! the sweeper finds that one is over, and before anybody is told. Who calls meets none
//! of this: a new meter is put in a queue, which is all that is shared.
//!
//! ```text
//!              among those with most heat               not any more, or purged
//!   in `other` ─────────────────────────► told apart ──────────────────────────┐
//!       ▲            ▲                                                          ▼
//!       │            └──────────────────────────────────────────────────── told still
//!       └────────────────── after an hour: no more ─────────────────────────────┘
//! ```
//!
//! A tenant's *heat* is its tokens and denials, those of an hour ago weighing e times
//! less. Whoever is to be replaced must be exceeded by a tenth, so two that are alike do
//! not take turns. One that is not told apart any more keeps what was told in its name
//! for an hour, as it stood: counters do not go back, nor is anything told twice. Its
//! windows become those of `other` at once.
//!
//! Invariants: the totals of all that is told, of `other` and of those gone are what was
//! counted, exactly; so are the windows of an hour. At most [`STILL_TOLD`] times as many
//! tenants are told as are told apart.
//!
//! Cost: a few nanoseconds a meter each 10 s; a kilobyte to 28 KiB for each limit of a
//! tenant that is told apart.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::series::{Metered, Of, Recent, Series, Window};
use super::{Counts, Meter};
use crate::cache::TenantId;
use crate::limit::quota::Ticks;
use crate::limit::shadow::Demand;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicUsize, Mutex, Ordering, Queue};

/// What remains of a tenant's heat after a window.
const COOLING: f64 = 1.0 - 1.0 / Window::AN_HOUR as f64;
/// A newcomer must have so much more.
const EXCEEDS: f64 = 1.1;
/// Tenants told for each that is told apart.
const STILL_TOLD: usize = 4;
/// The name under which those that are not told apart are told: a tenant of that name
/// is one of them.
const OTHER: &str = "other";

/// Every meter of a process.
#[derive(Debug)]
pub(crate) struct Meters {
    new: Queue<Arc<Meter>>,
    collected: Mutex<Collected>,
    pub(super) observers: Observers,
}

/// How many limits in shadow may be observed at once.
#[derive(Debug)]
pub(crate) struct Observers(AtomicUsize);

impl Observers {
    /// At 4 KiB each.
    const MOST: usize = 1_024;

    pub(super) fn enter(&self) -> bool {
        // Relaxed: a bound, not an order.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < Self::MOST).then_some(taken + 1)
            })
            .is_ok()
    }

    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Collected {
    /// Tenants that are told apart at once.
    most: usize,
    open: Window,
    known: Vec<Known>,
    told: HashMap<TenantId, Told, ahash::RandomState>,
    other: [Series; 2],
    /// Of those that are told no more.
    gone: Counts,
}

/// A meter, and what was taken from it.
#[derive(Debug)]
struct Known {
    meter: Arc<Meter>,
    taken: Counts,
    heat: f64,
    heated: Window,
    /// Nobody is told in whose name it counts.
    anonymous: bool,
    /// Nobody counts on it any more.
    done: bool,
}

#[derive(Debug)]
struct Told {
    heat: f64,
    limits: BTreeMap<Of, Series>,
    /// Since when it is not told apart any more.
    left: Option<Window>,
}

/// Tokens of a call that count: one of an absurd cost is not the busiest for a day.
const TOKENS_A_CALL: f64 = 1e4;

fn heat(counts: &Counts) -> f64 {
    let most = counts.allowed as f64 * TOKENS_A_CALL;
    (counts.tokens as f64).min(most) + (counts.denied() as f64)
}

fn cooled(heat: f64, windows: u64) -> f64 {
    heat * COOLING.powi(i32::try_from(windows).unwrap_or(i32::MAX))
}

impl Known {
    fn of(meter: Arc<Meter>, open: Window) -> Self {
        Self {
            anonymous: meter.tenant.as_str() == OTHER,
            meter,
            taken: Counts::default(),
            heat: 0.0,
            heated: open,
            done: false,
        }
    }

    fn take(&mut self, open: Window) -> Option<Counts> {
        // Acquire, within: whoever let go of it last has counted before.
        self.done = Arc::get_mut(&mut self.meter).is_some();
        if self.done && planted(Bug::MeterDropped) {
            return None;
        }
        let all = self.meter.read();
        let new = all - self.taken;
        if new == Counts::default() {
            return None;
        }
        self.taken = all;
        let windows = open.since(self.heated);
        self.heat = cooled(self.heat, windows) + heat(&new);
        self.heated = open;
        Some(new)
    }

    fn of_limit(&self) -> Of {
        self.meter.limit.clone().map_or(Of::Own, Of::Limit)
    }
}

impl Meters {
    /// None, of which at most so many tenants are told apart.
    pub(crate) fn none(most: usize) -> Self {
        Self {
            new: Queue::new(),
            collected: Mutex::new(Collected {
                most,
                open: Window::default(),
                known: Vec::new(),
                told: HashMap::default(),
                other: Default::default(),
                gone: Counts::default(),
            }),
            observers: Observers(AtomicUsize::new(0)),
        }
    }

    pub(crate) fn observers(&self) -> &Observers {
        &self.observers
    }

    pub(super) fn add(&self, meter: Arc<Meter>) {
        self.new.push(meter);
    }

    /// Collects if a window is over. To be called about every second.
    pub(crate) fn roll(&self, now: Ticks) {
        let mut collected = self.collected.lock();
        if Window::at(now) > collected.open {
            self.collect(&mut collected, now);
            let idle = now.minus(Ticks::of(Demand::KEPT_IDLE));
            for known in &collected.known {
                known.meter.end_observation(Some(idle), &self.observers);
            }
        }
    }

    fn collect(&self, collected: &mut Collected, now: Ticks) {
        self.meet(collected);
        collected.collect();
        collected.turn_to(Window::at(now));
        collected.known.retain(|known| {
            if known.done {
                known.meter.end_observation(None, &self.observers);
            }
            !known.done
        });
    }

    fn meet(&self, collected: &mut Collected) {
        while let Some(meter) = self.new.pop() {
            let open = collected.open;
            collected.known.push(Known::of(meter, open));
        }
    }

    /// All that is told.
    pub(crate) fn told(&self, now: Ticks) -> Vec<Metered> {
        let mut collected = self.collected.lock();
        self.collect(&mut collected, now);
        let mut all: Vec<_> = collected
            .told
            .iter()
            .flat_map(|(tenant, told)| {
                told.limits.iter().map(|(limit, series)| Metered {
                    tenant: Some(tenant.clone()),
                    limit: limit.clone(),
                    total: series.total,
                })
            })
            .collect();
        all.sort_by(|a, b| (&a.tenant, &a.limit).cmp(&(&b.tenant, &b.limit)));
        for (limit, series) in [Of::Own, Of::Named].into_iter().zip(&collected.other) {
            all.push(Metered {
                tenant: None,
                limit,
                total: series.total,
            });
        }
        all
    }

    /// What was counted lately of one limit. `None` when its tenant is not told apart.
    pub(crate) fn recent(&self, tenant: &TenantId, limit: &Of, now: Ticks) -> Option<Recent> {
        let mut collected = self.collected.lock();
        self.collect(&mut collected, now);
        let told = collected.told.get(tenant)?;
        if told.left.is_some() {
            return None;
        }
        let series = told.limits.get(limit);
        Some(series.map_or_else(Recent::default, |series| series.recent(collected.open)))
    }

    /// Tells nothing in this tenant's name of what was counted until now.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        let mut collected = self.collected.lock();
        self.meet(&mut collected);
        for known in &mut collected.known {
            known.anonymous |= known.meter.tenant == *tenant;
        }
        if let Some(told) = collected.told.remove(tenant) {
            collected.bury(told);
        }
    }

    #[cfg(all(test, not(millpond_loom)))]
    pub(super) fn sums(&self, now: Ticks) -> [Counts; 2] {
        let mut collected = self.collected.lock();
        self.collect(&mut collected, now);
        let open = collected.open;
        let told = collected.told.values();
        let all = told.flat_map(|told| told.limits.values());
        let all = all.chain(&collected.other);
        let (mut total, mut hour) = (collected.gone, Counts::default());
        for series in all {
            total += series.total;
            hour += series.recent(open).hour;
        }
        [total, hour]
    }

    #[cfg(all(test, not(millpond_loom)))]
    pub(super) fn known(&self) -> usize {
        self.collected.lock().known.len()
    }
}

impl Collected {
    /// Adds what is new to the window that is open.
    fn collect(&mut self) {
        let open = self.open;
        let mut new = Vec::new();
        let mut heats: HashMap<TenantId, f64, ahash::RandomState> = HashMap::default();
        for known in &mut self.known {
            let Some(counts) = known.take(open) else {
                continue;
            };
            let name = (!known.anonymous).then(|| known.meter.tenant.clone());
            if let Some(tenant) = &name {
                match self.told.get_mut(tenant) {
                    Some(told) if told.left.is_none() => told.heat += heat(&counts),
                    _ => *heats.entry(tenant.clone()).or_default() += known.heat,
                }
            }
            new.push((name, known.of_limit(), counts));
        }
        self.choose(heats);
        for (tenant, limit, counts) in new {
            let told = tenant.and_then(|tenant| self.told.get_mut(&tenant));
            match told.filter(|told| told.left.is_none()) {
                Some(told) => told.limits.entry(limit).or_default().add(open, counts),
                None => self.other[usize::from(limit != Of::Own)].add(open, counts),
            }
        }
    }

    /// Who of these is told apart from now on.
    fn choose(&mut self, heats: HashMap<TenantId, f64, ahash::RandomState>) {
        let mut newcomers: Vec<_> = heats.into_iter().collect();
        newcomers.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (tenant, heat) in newcomers.into_iter().take(self.most) {
            let known = self.told.contains_key(&tenant);
            if !known && self.told.len() >= self.most * STILL_TOLD {
                continue;
            }
            let apart = self.told.iter().filter(|(_, told)| told.left.is_none());
            if apart.clone().count() >= self.most {
                let coolest = apart.min_by(|a, b| a.1.heat.total_cmp(&b.1.heat));
                let Some((coolest, held)) = coolest.map(|(name, told)| (name.clone(), told.heat))
                else {
                    return;
                };
                if heat <= held * EXCEEDS {
                    return;
                }
                self.leave(&coolest);
            }
            let told = self.told.entry(tenant).or_insert_with(|| Told {
                heat: 0.0,
                limits: BTreeMap::new(),
                left: None,
            });
            (told.heat, told.left) = (heat, None);
        }
    }

    /// It is not told apart any more.
    fn leave(&mut self, tenant: &TenantId) {
        if let Some(told) = self.told.get_mut(tenant) {
            told.left = Some(self.open);
            for (limit, series) in &mut told.limits {
                self.other[usize::from(*limit != Of::Own)].fold(series);
            }
        }
    }

    fn bury(&mut self, mut told: Told) {
        for (limit, series) in &mut told.limits {
            self.gone += series.total;
            self.other[usize::from(*limit != Of::Own)].fold(series);
        }
    }

    fn turn_to(&mut self, window: Window) {
        let passed = window.since(self.open);
        if passed == 0 {
            return;
        }
        self.open = window;
        let over = |told: &Told| {
            told.left
                .is_some_and(|left| window.since(left) >= Window::AN_HOUR)
        };
        let gone: Vec<_> = self.told.extract_if(|_, told| over(told)).collect();
        for (_, told) in gone {
            self.bury(told);
        }
        for told in self.told.values_mut() {
            told.heat = cooled(told.heat, passed);
            for series in told.limits.values_mut() {
                series.forget_old(window);
            }
        }
        for series in &mut self.other {
            series.forget_old(window);
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_an_absurd_cost_is_no_busier_than_its_share() {
        let counts = |allowed, tokens| Counts {
            allowed,
            tokens,
            ..Counts::default()
        };
        assert!(heat(&counts(1, u64::MAX)) < heat(&counts(12_000, 12_000)));
        assert!(heat(&counts(2, 40)) < heat(&counts(1, 60)));
    }
}
