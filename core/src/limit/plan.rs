//! Which buckets a call's charges come to, and what each is to be charged.
//!
//! Names become places in the tenant's profile, keys become tags. Levels follow from
//! these, the profile and the costs, the same way when a call is decided and when a
//! reservation is settled to its real costs: keys first, then limits, then the
//! tenant's own.
//!
//! The tenant's own bucket counts calls, not what they cost in every unit: it is
//! charged by its own charge, or by the largest cost of the limits that are not
//! `apart`, whichever is more.

use super::call::{CallError, Charge, UnknownLimits};
use super::keys::Tag;
use super::levels::{LevelId, MAX_CHARGES, MAX_LEVELS, Row};
use crate::cache::BadField;
use crate::tenant::{LimitName, Profile};

/// One charge, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// The limit's place in the profile; none is the tenant's own.
    limit: Option<usize>,
    /// None when nobody in particular is meant.
    tag: Option<Tag>,
    pub(crate) cost: u64,
}

/// The charges of one call, resolved against one profile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan(Row<Planned, MAX_CHARGES>);

impl Plan {
    /// # Errors
    /// When there are too many charges, a key is too long, or a limit is not known.
    pub(crate) fn of(
        profile: &Profile,
        charges: &[Charge<'_>],
        unknown: UnknownLimits,
        tag: impl Fn(&[u8]) -> Tag,
    ) -> Result<Self, CallError> {
        let mut planned = Row::new();
        if charges.is_empty() || charges.len() > MAX_CHARGES {
            return Err(CallError::Charges {
                count: charges.len(),
            });
        }
        for charge in charges {
            if charge.key.len() > Charge::MAX_KEY {
                return Err(CallError::Field(BadField::TooLong {
                    field: "charges.key",
                    limit: Charge::MAX_KEY,
                    size: charge.key.len(),
                    unit: "bytes",
                }));
            }
            let limit = match charge.limit {
                "" => None,
                name => match (profile.limit(name), unknown) {
                    (Some((place, _)), _) => Some(place),
                    (None, UnknownLimits::Refuse) => return Err(CallError::unknown(name)),
                    (None, UnknownLimits::Own) => {
                        LimitName::check(name).map_err(CallError::Field)?;
                        None
                    }
                },
            };
            planned.push(Planned {
                limit,
                tag: (!charge.key.is_empty()).then(|| tag(charge.key)),
                cost: charge.cost,
            });
        }
        Ok(Self(planned))
    }

    /// The same charges at other costs. `None` when there are not as many.
    pub(crate) fn at(&self, costs: &[u64]) -> Option<Self> {
        if costs.len() != self.0.len() {
            return None;
        }
        let mut other = *self;
        for (planned, cost) in other.0.iter_mut().zip(costs) {
            planned.cost = *cost;
        }
        Some(other)
    }

    /// Charges.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The limits that are charged, by place.
    pub(crate) fn limits(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|planned| planned.limit)
    }

    /// What each limit is charged that the call is about, with or without a quota: by
    /// place, none is the tenant's own.
    pub(crate) fn costs(&self, profile: &Profile) -> Row<(Option<usize>, u64), MAX_LEVELS> {
        let mut costs: Row<(Option<usize>, u64), MAX_LEVELS> = Row::new();
        for planned in self.0.iter() {
            let Some(place) = planned.limit else { continue };
            let same = |held: &&mut (Option<usize>, u64)| held.0 == Some(place);
            if let Some((_, sum)) = costs.iter_mut().find(same) {
                *sum = sum.saturating_add(planned.cost);
            } else {
                costs.push((Some(place), planned.cost));
            }
        }
        if let Some(cost) = self.own(profile) {
            costs.push((None, cost));
        }
        costs
    }

    /// What the tenant's own bucket is charged, if it has one.
    fn own(&self, profile: &Profile) -> Option<u64> {
        let own = self.0.iter().filter(|planned| planned.limit.is_none());
        let own = own.map(|planned| planned.cost).reduce(u64::saturating_add);
        let others = self.0.iter().filter(|planned| {
            let limit = planned.limit.map(|place| &profile.limits[place]);
            limit.is_some_and(|limit| !limit.apart)
        });
        own.max(others.map(|planned| planned.cost).max())
    }

    /// What each level is charged, narrowest first. A level that limits nothing in
    /// this profile is left out.
    pub(crate) fn levels(&self, profile: &Profile) -> Row<(LevelId, u64), MAX_LEVELS> {
        let mut levels = Row::new();
        let mut add = |id: LevelId, cost: u64| {
            let same = |level: &&mut (LevelId, u64)| level.0 == id;
            if let Some((_, sum)) = levels.iter_mut().find(same) {
                *sum = cost.saturating_add(*sum);
            } else {
                levels.push((id, cost));
            }
        };
        let named = || {
            self.0.iter().filter_map(|planned| {
                let place = planned.limit?;
                Some((planned, place, &profile.limits[place]))
            })
        };
        for (planned, place, limit) in named() {
            if let (Some(tag), Some(_)) = (planned.tag, limit.per_key) {
                add(LevelId::Key(place, tag), planned.cost);
            }
        }
        for (planned, place, limit) in named() {
            if limit.total.is_some() {
                add(LevelId::Total(place), planned.cost);
            }
        }
        if let (Some(cost), Some(_)) = (self.own(profile), profile.request) {
            add(LevelId::Own, cost);
        }
        levels
    }
}
