//! Buckets of named limits, each made by its first use.
//!
//! Whoever adds to [`Named`] adds to what it does at a change, too: `adopt`, `copy`,
//! `is_full`.

use std::sync::Arc;

use crate::limit::keys::KeyTable;
use crate::limit::room::Room;
use crate::limit::word::{Dues, Sealed, Word};
use crate::limit::{Quota, Ticks, meter};
use crate::sync::Once;
use crate::tenant::name::LimitName;
use crate::tenant::profile::Profile;

pub(super) type Place = Once<Option<Arc<Named>>>;

/// The buckets of named limits.
pub(super) struct Limits {
    /// In the order of the profile's limits. `None` is closed.
    pub(super) own: Box<[Place]>,
    /// Spent of limits that the profile has not.
    pub(super) carried: Box<[Carried]>,
}

pub(super) struct Carried {
    pub(super) name: LimitName,
    pub(super) total: Option<Quota>,
    pub(super) place: Place,
}

/// What a tenant has spent of one named limit.
pub(crate) struct Named {
    /// Over all keys: counts while the limit has a `total`.
    pub(crate) total: Word,
    /// For `total`.
    pub(crate) dues: Dues,
    /// For each key: made by the first that is charged. `None` is closed.
    keys: Once<Option<Arc<KeyTable>>>,
    /// Of its calls. Another tenant's copy has its own.
    pub(crate) meter: meter::Place,
}

impl Named {
    pub(super) fn new(total: Word) -> Arc<Self> {
        Arc::new(Self {
            total,
            dues: Dues::new(),
            keys: Once::new(),
            meter: meter::Place::default(),
        })
    }

    /// The buckets of its keys, made by their first use.
    ///
    /// # Errors
    /// When a successor has taken them over before there were any.
    pub(crate) fn keys(
        &self,
        quota: &Quota,
        most: u32,
        room: &Arc<Room>,
    ) -> Result<Arc<KeyTable>, Sealed> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.keys.get_or_init(
            || Some(Arc::new(KeyTable::new(*quota, most, Arc::clone(room)))),
            |table| table.clone().ok_or(Sealed),
        )
    }

    /// The buckets of its keys, if there are any yet.
    pub(crate) fn table(&self) -> Option<Arc<KeyTable>> {
        self.keys.with(Clone::clone).flatten()
    }

    /// Takes over from `old`, once.
    pub(super) fn adopt(&self, old: &Self, now: Ticks, from: Option<&Quota>, to: Option<&Quota>) {
        self.total.adopt(&old.total, now, from, to);
        self.meter.take_over(&old.meter);
        // The table is handed on as it is: whoever still charges it by the old entry
        // charges what the new one sees. Its quota is changed by `Entry::rerate_keys`.
        let table = old.keys.get_or_init(|| None, Clone::clone);
        if let Some(table) = table {
            self.keys.get_or_init(|| Some(table), |_| ());
        }
    }

    /// One that has spent as much.
    pub(super) fn copy(&self) -> Arc<Self> {
        let copy = Self::new(Word::full_at(self.total.last()));
        if let Some(table) = self.table() {
            // Nobody else has the copy yet.
            let _first = copy.keys.set(Some(Arc::new(table.beginning_like())));
        }
        copy
    }

    pub(super) fn is_full(&self, now: Ticks) -> bool {
        let keys = || self.table().is_none_or(|table| table.is_full(now));
        self.total.read().is_ok_and(|tat| tat <= now) && keys()
    }
}

impl Limits {
    pub(super) fn of(
        profile: &Profile,
        carried: Vec<(LimitName, Option<Quota>)>,
    ) -> Option<Box<Self>> {
        if profile.limits.is_empty() && carried.is_empty() {
            return None;
        }
        let carried = carried.into_iter().map(|(name, total)| Carried {
            name,
            total,
            place: Once::new(),
        });
        Some(Box::new(Self {
            own: profile.limits.iter().map(|_| Once::new()).collect(),
            carried: carried.collect(),
        }))
    }
}
