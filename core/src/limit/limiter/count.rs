//! What was decided, told to the meters of the limits it was about.
//!
//! A call counts once for each limit that it charged: as denied for the one that denied
//! it, and as denied elsewhere for the others; in a screening several may deny. The
//! tenant's own is one of them whether or not it has a quota.

use super::Limiter;
use crate::cache::TenantId;
use crate::limit::levels::{LevelId, Outcome};
use crate::limit::meter::{Meter, Metered, MeteredOf, Recent, Said};
use crate::limit::plan::Plan;
use crate::limit::quota::Ticks;
use crate::limit::shadow::Advice;
use crate::tenant::Entry;

impl Limiter {
    /// Counts a call of the tenant's own bucket.
    #[inline]
    pub(in crate::limit) fn count_own(&self, entry: &Entry, cost: u64, said: Said) {
        match entry.meter.get() {
            Some(meter) => meter.count(cost, said),
            None => self.count_first(entry, cost, said),
        }
    }

    #[cold]
    fn count_first(&self, entry: &Entry, cost: u64, said: Said) {
        self.own_meter(entry, |meter| meter.count(cost, said));
    }

    fn own_meter<R>(&self, entry: &Entry, read: impl FnOnce(&Meter) -> R) -> R {
        read(entry.meter.get_or_make(&self.meters, entry.id(), None))
    }

    /// Counts a call that was decided by its levels.
    pub(super) fn count_outcome(&self, entry: &Entry, plan: &Plan, outcome: &Outcome, now: Ticks) {
        let is = |by: LevelId, place| by.limit() == place;
        self.count(entry, plan, now, |place| match *outcome {
            Outcome::Admitted { lenient, .. } => Said::Allowed {
                would_deny: lenient.is_some_and(|by| is(by, place)),
            },
            Outcome::Later { by, .. } if is(by, place) => Said::OverLimit,
            Outcome::Never { by } if is(by, place) => Said::Never,
            _ => Said::Elsewhere,
        });
    }

    /// Counts a call on every limit that it charged; `said` is asked for each, by place.
    pub(super) fn count(
        &self,
        entry: &Entry,
        plan: &Plan,
        now: Ticks,
        said: impl Fn(Option<usize>) -> Said,
    ) {
        let profile = entry.profile();
        for (place, cost) in plan.costs(profile).iter() {
            if *cost == 0 {
                continue;
            }
            let said = said(*place);
            let count = |meter: &Meter, shadow: bool| {
                meter.count(*cost, said);
                if shadow && matches!(said, Said::Allowed { .. }) {
                    meter.observe(now, *cost, self.meters.observers());
                }
            };
            match *place {
                None => self.own_meter(entry, |meter| count(meter, profile.shadow)),
                Some(at) => {
                    let limit = &profile.limits[at];
                    // The call has charged it by this entry: there is a place for it.
                    let _counted = entry.named(at, |named| {
                        let name = Some(&limit.name);
                        let meter = named.meter.get_or_make(&self.meters, entry.id(), name);
                        count(meter, limit.shadow);
                    });
                }
            }
        }
    }

    /// What was counted, by tenant and limit for those that count most; what all others
    /// counted comes last. What a tenant leaves behind when it is told apart no more is
    /// told for another hour.
    #[must_use]
    pub fn metered(&self) -> Vec<Metered> {
        self.meters.told(self.now())
    }

    /// What was counted lately of a tenant's limit; the empty name is its own. `None` when
    /// the tenant is not among those that are told apart.
    #[must_use]
    pub fn recent(&self, tenant: &TenantId, limit: &str) -> Option<Recent> {
        let of = match limit {
            "" => MeteredOf::Own,
            name => MeteredOf::Limit(crate::tenant::LimitName::parse(name).ok()?),
        };
        self.meters.recent(tenant, &of, self.now())
    }

    /// What was observed of a limit in shadow. `None` when it was not called in shadow, or
    /// too many others were.
    #[must_use]
    pub fn advice(&self, tenant: &str, limit: &str) -> Option<Advice> {
        let now = self.now();
        let entry = self.directory.resolve(tenant).ok()?;
        if limit.is_empty() {
            return entry.meter.get()?.advice(now);
        }
        let (at, _) = entry.profile().limit(limit)?;
        let advice = entry.named(at, |named| named.meter.get()?.advice(now));
        advice.ok().flatten()
    }
}
