//! The buckets that one call charges, found and kept for as long as it does.

use std::sync::Arc;
use std::time::SystemTime;

use crate::limit::keys::KeyTable;
use crate::limit::levels::{Bucket, LevelId, Levels, MAX_CHARGES};
use crate::limit::plan::Plan;
use crate::limit::room::Room;
use crate::tenant::{Entry, Named, OnLimit};

/// Whether a limit denies. The wall clock is only asked when a date is set.
fn is_firm(
    on_limit: OnLimit,
    shadow: bool,
    enforce_from: Option<SystemTime>,
    wall: impl FnOnce() -> SystemTime,
) -> bool {
    on_limit == OnLimit::Deny && !shadow && enforce_from.is_none_or(|from| from <= wall())
}

/// The buckets of the named limits that a call charges, kept while it does.
pub(super) struct Buckets([Option<Limit>; MAX_CHARGES]);

struct Limit {
    place: usize,
    named: Arc<Named>,
    keys: Option<Arc<KeyTable>>,
}

impl Buckets {
    /// `None` when the entry has a successor.
    pub(super) fn of(entry: &Entry, plan: &Plan, room: &Arc<Room>) -> Option<Self> {
        let mut limits = [const { None::<Limit> }; MAX_CHARGES];
        let mut taken = 0;
        for place in plan.limits() {
            if limits.iter().flatten().any(|limit| limit.place == place) {
                continue;
            }
            let named = entry.named(place, Arc::clone).ok()?;
            let quota = &entry.profile().limits[place];
            let keys = match &quota.per_key {
                Some(per_key) => Some(named.keys(per_key, quota.max_keys, room).ok()?),
                None => None,
            };
            limits[taken] = Some(Limit { place, named, keys });
            taken += 1;
        }
        // A call that charges no word must see the seal as well.
        entry.request.read().ok()?;
        Some(Self(limits))
    }

    pub(super) fn levels<'a>(
        &'a self,
        entry: &'a Entry,
        plan: &Plan,
        wall: impl Fn() -> SystemTime,
    ) -> Levels<'a> {
        let profile = entry.profile();
        let mut levels = Levels::new();
        for (id, cost) in plan.levels(profile).iter() {
            let named = id.limit().map(|place| &profile.limits[place]);
            let firm = match named {
                Some(limit) => is_firm(limit.on_limit, limit.shadow, limit.enforce_from, &wall),
                None => is_firm(
                    profile.on_limit,
                    profile.shadow,
                    profile.enforce_from,
                    &wall,
                ),
            };
            if let Some(bucket) = self.bucket(entry, *id) {
                levels.add(*id, bucket, *cost, firm);
            }
        }
        levels
    }

    /// None for a level that limits nothing; the plan has left those out.
    fn bucket<'a>(&'a self, entry: &'a Entry, id: LevelId) -> Option<Bucket<'a>> {
        let limit = |place| self.0.iter().flatten().find(|limit| limit.place == place);
        match id {
            LevelId::Key(place, tag) => {
                let table = limit(place)?.keys.as_deref()?;
                Some(Bucket::Key { table, tag })
            }
            LevelId::Total(place) => {
                let named = &limit(place)?.named;
                Some(Bucket::Word {
                    word: &named.total,
                    quota: entry.profile().limits[place].total.as_ref()?,
                    dues: &named.dues,
                })
            }
            LevelId::Own => Some(Bucket::Word {
                word: &entry.request,
                quota: entry.profile().request.as_ref()?,
                dues: &entry.dues,
            }),
        }
    }
}
