//! What one call spends, from several buckets, all or none.
//!
//! A charge of a limit has levels: the key's bucket, the limit's for the tenant, the
//! tenant's own. A call may have several charges. All its levels are looked at first,
//! and a call that one of them denies has written nothing. Then they are charged in
//! the order they were added, narrowest first, so that the bucket which most callers
//! share is touched last. A level that denies now, because another call came between,
//! ends the call: what was charged is handed back to be undone.
//!
//! Invariant: charging only ever raises a bucket's `tat`. So between a charge and its
//! undoing others may be refused what they could have had; nobody is admitted who
//! could not have been.
//!
//! A level that is not *firm* (shadowed, not enforced yet, or of a limit that admits
//! and meters) never denies: it is charged if it can be and says so if not.
//!
//! Cost: no allocation; each bucket is read once, if there are several, and written once.

use super::call::Standing;
use super::gcra::Receipt;
use super::keys::{KeyReceipt, KeyTable, Tag};
use super::quota::{Quota, Ticks};
use super::word::{Dues, Refused, Word};

/// Charges in one call.
pub const MAX_CHARGES: usize = 8;

/// Levels they can have: a key's and a limit's each, and the tenant's own.
pub(crate) const MAX_LEVELS: usize = 2 * MAX_CHARGES + 1;

/// Which of a tenant's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LevelId {
    /// A key of the limit that stands at this place of the tenant's profile.
    Key(usize, Tag),
    /// All of that limit.
    Total(usize),
    /// The tenant's own.
    Own,
}

impl LevelId {
    /// The limit's place in the profile; none for the tenant's own.
    pub(crate) fn limit(self) -> Option<usize> {
        match self {
            Self::Key(limit, _) | Self::Total(limit) => Some(limit),
            Self::Own => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bucket<'a> {
    Word {
        word: &'a Word,
        quota: &'a Quota,
        dues: &'a Dues,
    },
    Key {
        table: &'a KeyTable,
        tag: Tag,
    },
}

impl Bucket<'_> {
    pub(crate) fn standing(&self, now: Ticks) -> Option<Standing> {
        match self {
            Self::Word { word, quota, .. } => {
                let tat = word.read().ok()?;
                Some(Standing::of(tat, now, quota))
            }
            Self::Key { table, tag } => Some(table.standing(*tag, now)),
        }
    }

    pub(crate) fn peek(&self, now: Ticks, cost: u64, patience: Ticks) -> Result<Ticks, Refused> {
        match self {
            Self::Word { word, quota, .. } => word.peek(quota, now, cost, patience),
            Self::Key { table, tag } => table.peek(*tag, now, cost, patience),
        }
    }

    pub(crate) fn charge(
        &self,
        now: Ticks,
        cost: u64,
        patience: Ticks,
    ) -> Result<(Ticks, PaidReceipt), Refused> {
        match self {
            Self::Word { word, quota, dues } => word
                .charge(quota, now, cost, patience, dues)
                .map(|charged| (charged.wait, PaidReceipt::Word(charged.receipt))),
            Self::Key { table, tag } => table
                .charge(*tag, now, cost, patience)
                .map(|(wait, receipt)| (wait, PaidReceipt::Key(receipt))),
        }
    }
}

/// One of a call's levels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) id: LevelId,
    pub(crate) bucket: Bucket<'a>,
    pub(crate) cost: u64,
    pub(crate) firm: bool,
}

/// What a level was charged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paid {
    pub(crate) id: LevelId,
    pub(crate) receipt: PaidReceipt,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PaidReceipt {
    Word(Receipt),
    Key(KeyReceipt),
}

impl PaidReceipt {
    /// When its tokens may be spent, as its bucket counts time.
    pub(crate) fn turn(&self) -> Ticks {
        match self {
            Self::Word(receipt) => receipt.at,
            Self::Key(charged) => charged.receipt.at,
        }
    }

    /// Tokens.
    pub(crate) fn cost(&self) -> u64 {
        match self {
            Self::Word(receipt) => receipt.cost,
            Self::Key(charged) => charged.receipt.cost,
        }
    }

    /// `tokens` of it were handed back, `back` of their time by a refund.
    pub(crate) fn less(&mut self, tokens: u64, back: Ticks) {
        match self {
            Self::Word(receipt) => receipt.less(tokens, back),
            Self::Key(charged) => charged.receipt.less(tokens, back),
        }
    }
}

/// What was charged, in a row.
pub(crate) type Payments = Row<Paid, MAX_LEVELS>;

/// A short list on the stack, of `N` at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<T, const N: usize> {
    items: [Option<T>; N],
    len: usize,
}

impl<T: Copy, const N: usize> Row<T, N> {
    pub(crate) fn new() -> Self {
        Self {
            items: [None; N],
            len: 0,
        }
    }

    /// # Panics
    /// When there are more than one call can have.
    pub(crate) fn push(&mut self, item: T) {
        self.items[self.len] = Some(item);
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items[..self.len].iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items[..self.len].iter_mut().flatten()
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted {
        /// How long until its turn.
        wait: Ticks,
        /// The first level that would have denied if it were firm.
        lenient: Option<LevelId>,
    },
    Later {
        after: Ticks,
        /// The level that takes longest.
        by: LevelId,
    },
    Never {
        by: LevelId,
    },
    /// A bucket has a successor: look again.
    Sealed,
}

/// The levels of one call.
#[derive(Debug)]
pub(crate) struct Levels<'a>(Row<Level<'a>, MAX_LEVELS>);

impl<'a> Levels<'a> {
    pub(crate) fn new() -> Self {
        Self(Row::new())
    }

    /// Adds a level: each bucket once.
    pub(crate) fn add(&mut self, id: LevelId, bucket: Bucket<'a>, cost: u64, firm: bool) {
        self.0.push(Level {
            id,
            bucket,
            cost,
            firm,
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Level<'a>> {
        self.0.iter()
    }

    /// What [`Self::charge`] would come to. Writes nothing.
    pub(crate) fn peek(&self, now: Ticks, patience: Ticks) -> Outcome {
        let mut outcome = Outcome::Admitted {
            wait: Ticks::ZERO,
            lenient: None,
        };
        for level in self.0.iter() {
            let said = level.peek(now, patience);
            outcome = outcome.and(said, level);
        }
        outcome
    }

    /// Where one of them stands; without a choice the one with the fewest tokens left.
    pub(crate) fn standing(&self, id: Option<LevelId>, now: Ticks) -> Option<(LevelId, Standing)> {
        let chosen = self
            .0
            .iter()
            .filter(|level| id.is_none_or(|id| level.id == id));
        let standings = chosen.filter_map(|level| Some((level.id, level.standing(now)?)));
        standings.min_by_key(|(_, standing)| standing.remaining)
    }

    /// Where each stands, whether it is firm, and whether it is shared for want of room.
    pub(crate) fn standings(
        &self,
        now: Ticks,
    ) -> impl Iterator<Item = (LevelId, Standing, bool, bool)> {
        self.0.iter().filter_map(move |level| {
            let shared = match level.bucket {
                Bucket::Key { table, tag } => table.shares(tag, now),
                Bucket::Word { .. } => false,
            };
            Some((level.id, level.standing(now)?, level.firm, shared))
        })
    }

    /// Spends on every level, or says why not. Then `paid` is what must be undone.
    pub(crate) fn charge(&self, now: Ticks, patience: Ticks, paid: &mut Payments) -> Outcome {
        // One bucket needs no look: a charge that it denies writes nothing.
        if self.0.len() > 1 {
            let looked = self.peek(now, patience);
            if !matches!(looked, Outcome::Admitted { .. }) {
                return looked;
            }
        }
        let mut outcome = Outcome::Admitted {
            wait: Ticks::ZERO,
            lenient: None,
        };
        // Firm ones first: a call that is denied leaves no trace in what it only meters.
        for firm in [true, false] {
            for level in self.0.iter().filter(|level| level.firm == firm) {
                let said = level.charge(now, patience).map(|(wait, receipt)| {
                    paid.push(Paid {
                        id: level.id,
                        receipt,
                    });
                    wait
                });
                outcome = outcome.and(said, level);
                if !matches!(outcome, Outcome::Admitted { .. }) {
                    return outcome;
                }
            }
        }
        outcome
    }
}

impl Level<'_> {
    fn standing(&self, now: Ticks) -> Option<Standing> {
        self.bucket.standing(now)
    }

    /// Nobody waits for what is only metered.
    fn patience(&self, patience: Ticks) -> Ticks {
        if self.firm { patience } else { Ticks::ZERO }
    }

    fn peek(&self, now: Ticks, patience: Ticks) -> Result<Ticks, Refused> {
        self.bucket.peek(now, self.cost, self.patience(patience))
    }

    fn charge(&self, now: Ticks, patience: Ticks) -> Result<(Ticks, PaidReceipt), Refused> {
        self.bucket.charge(now, self.cost, self.patience(patience))
    }
}

impl Outcome {
    /// This, and what the next level says: never before later, the longest of waits.
    fn and(self, said: Result<Ticks, Refused>, level: &Level<'_>) -> Self {
        let by = level.id;
        match (self, said) {
            (Self::Sealed, _) | (_, Err(Refused::Sealed)) => Self::Sealed,
            (Self::Admitted { wait, lenient }, Err(_)) if !level.firm => Self::Admitted {
                wait,
                lenient: lenient.or(Some(by)),
            },
            (_, Err(_)) if !level.firm => self,
            (Self::Never { .. }, _) => self,
            (_, Err(Refused::Never)) => Self::Never { by },
            (Self::Later { after, .. }, Err(Refused::Later { after: this })) if this <= after => {
                self
            }
            (_, Err(Refused::Later { after })) => Self::Later { after, by },
            (Self::Admitted { wait, lenient }, Ok(this)) => Self::Admitted {
                wait: wait.max(this),
                lenient,
            },
            (Self::Later { .. }, Ok(_)) => self,
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
