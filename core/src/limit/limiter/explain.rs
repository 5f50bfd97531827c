//! What an operator sees of the limits.

use super::{Buckets, Limiter};
use crate::limit::call::{CallError, Charge, Decider, Standing};
use crate::limit::levels::LevelId;

/// One bucket that a charge would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Which.
    pub bucket: Decider,
    /// Where it stands.
    pub standing: Standing,
    /// Whether it denies; else it only counts.
    pub firm: bool,
    /// It is a key's that has no bucket of its own, for want of room: this one is shared
    /// by all such keys.
    pub shared: bool,
}

/// What the limits hold at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Tenants that are known.
    pub tenants: usize,
    /// Keys that are told apart, beyond the first 64 of each limit.
    pub keys: usize,
    /// How many may be.
    pub max_keys: usize,
    /// Tenants whose retries or reservations are remembered.
    pub ledgers: usize,
    /// Reservations that are held.
    pub reservations: usize,
    /// Calls that are remembered for their retries.
    pub remembered: usize,
}

impl Limiter {
    /// The buckets that one charge would come to, narrowest first. Spends nothing and
    /// makes no bucket of a key.
    ///
    /// # Errors
    /// As [`Limiter::acquire`].
    pub fn levels(&self, tenant: &str, charge: Charge<'_>) -> Result<Vec<Level>, CallError> {
        let now = self.now();
        let mut entry = self.directory.resolve(tenant)?;
        for _ in 0..super::CHANGES {
            let plan = self.plan(&entry, &[charge])?;
            if let Some(buckets) = Buckets::of(&entry, &plan, &self.room) {
                let profile = entry.profile();
                let levels = buckets.levels(&entry, &plan, || self.wall());
                let seen = levels
                    .standings(now)
                    .map(|(id, standing, firm, shared)| Level {
                        bucket: Decider {
                            limit: id.limit().map(|place| profile.limits[place].name.clone()),
                            keyed: matches!(id, LevelId::Key(..)),
                        },
                        standing,
                        firm,
                        shared,
                    });
                return Ok(seen.collect());
            }
            entry = self.directory.current(&entry)?;
        }
        Ok(Vec::new())
    }

    /// What is held now. Visits every ledger.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (reservations, remembered) = self.ledgers.held();
        Figures {
            tenants: self.directory.len(),
            keys: self.room.taken(),
            max_keys: self.room.slots(),
            ledgers: self.ledgers.len(),
            reservations,
            remembered,
        }
    }
}
