//! Several limits asked at once, of one tenant or more, each with its own answer: what
//! a rate limit service is asked by a proxy.
//!
//! ```text
//!   asks ──► tenants' entries ──► buckets, each once ──► all peeked ──► all charged
//!                                  its costs added up      │ one denies   │ a lost race
//!                                                          ▼              ▼
//!                                                    nothing spent    undone
//! ```
//!
//! All or none, as everywhere here: a screening that is refused has spent nothing, in
//! the buckets of no tenant. Two kinds of asks stand aside. One that is only counted
//! (*shadow*) never refuses. One that may *overdraw* is charged whatever comes of the
//! others, into debt if need be: it tells of what has happened already.
//!
//! An ask is over its limit when one of its buckets, at the costs of all asks that
//! come to it, is. A cost of 0 asks whether a token is there, and spends none.
//!
//! Cost: a few short lists a screening, and each bucket as in a call.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{Buckets, CHANGES, Limiter};
use crate::limit::call::{CallError, Charge, Standing, Verdict};
use crate::limit::keys::{KeyTable, Tag};
use crate::limit::levels::{Bucket, LevelId};
use crate::limit::meter::Said;
use crate::limit::plan::Plan;
use crate::limit::quota::Ticks;
use crate::limit::word::Refused;
use crate::tenant::Entry;

mod ask;
mod spend;

pub use ask::{Answer, Ask, Bound, MAX_ASKS, Of, Screened, TooManyAsks};
use spend::Spending;

/// What stops an ask before any bucket is looked at.
type Stopped = Result<Verdict, CallError>;

/// One tenant, and what is asked of its profile.
struct Party<'a> {
    name: &'a str,
    entry: Arc<Entry>,
    charges: Vec<Charge<'a>>,
    plan: Option<Plan>,
}

/// Where an ask goes.
enum Way {
    Stopped(Stopped),
    /// To a limit of a party's profile: its place, none for the tenant's own, and key.
    Profile(usize, Option<usize>, Option<Tag>),
    /// To a key of a table.
    Table(usize, Tag),
}

/// A bucket that is to be charged.
struct Touched<'a> {
    whose: Whose,
    bucket: Bucket<'a>,
    cost: u64,
    firm: bool,
    overdraw: bool,
    said: Result<Ticks, Refused>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Party(usize, LevelId),
    Table(usize, Tag),
}

impl Limiter {
    /// Asks several limits, and spends on all or none.
    ///
    /// # Errors
    /// When they are too many.
    pub fn screen(&self, asks: &[Ask<'_>]) -> Result<Screened, TooManyAsks> {
        if asks.len() > MAX_ASKS {
            return Err(TooManyAsks(asks.len()));
        }
        let now = self.now();
        for _ in 0..CHANGES {
            if let Some(screened) = self.try_screen(asks, now) {
                return Ok(screened);
            }
        }
        let unavailable = || Answer::stopped(Ok(Verdict::Unavailable));
        Ok(Screened {
            allowed: false,
            answers: asks.iter().map(|_| unavailable()).collect(),
        })
    }

    /// `None` when a bucket has a successor: to be looked at again.
    fn try_screen(&self, asks: &[Ask<'_>], now: Ticks) -> Option<Screened> {
        let keys: Vec<_> = asks.iter().map(|ask| self.short(ask.key)).collect();
        let mut parties = Vec::new();
        let mut tables = Vec::new();
        let mut ways: Vec<_> = asks
            .iter()
            .zip(&keys)
            .map(|(ask, key)| self.way(ask, key, &mut parties, &mut tables, now))
            .collect();
        self.plan_all(&mut parties, &mut ways);

        let mut buckets = Vec::with_capacity(parties.len());
        for party in &parties {
            buckets.push(match &party.plan {
                Some(plan) => Some(Buckets::of(&party.entry, plan, &self.room)?),
                None => None,
            });
        }
        let mut touched = Vec::with_capacity(asks.len());
        for (ask, way) in asks.iter().zip(&ways) {
            if let Way::Table(table, tag) = way {
                add_key(&mut touched, &tables, *table, *tag, ask);
            }
        }
        for (at, (party, buckets)) in parties.iter().zip(&buckets).enumerate() {
            let (Some(plan), Some(buckets)) = (&party.plan, buckets) else {
                continue;
            };
            let levels = buckets.levels(&party.entry, plan, || self.wall());
            touched.extend(levels.iter().map(|level| Touched {
                whose: Whose::Party(at, level.id),
                bucket: level.bucket,
                cost: level.cost,
                firm: level.firm,
                overdraw: false,
                said: Ok(Ticks::ZERO),
            }));
        }

        let mut denied = ways.iter().any(|way| matches!(way, Way::Stopped(_)));
        for level in &mut touched {
            level.said = level.bucket.peek(now, level.cost.max(1), Ticks::ZERO);
            denied |= level.firm && level.said.is_err();
            if level.said == Err(Refused::Sealed) {
                return None;
            }
        }
        if !denied {
            match self.spend(&parties, &tables, &mut touched, now) {
                Spending::Spent => {}
                Spending::Lost => denied = true,
                Spending::Sealed => return None,
            }
        }
        self.count_parties(&parties, &touched, denied, now);
        for (ask, way) in asks.iter().zip(&ways) {
            if let Way::Table(_, tag) = way
                && ask.overdraw
            {
                self.overdraw(ask, *tag, now);
            }
        }
        let answer = |(ask, way): (&Ask<'_>, &Way)| match way {
            Way::Stopped(stopped) => Answer::stopped(stopped.clone()),
            way => {
                let apart = |place| {
                    let Way::Profile(party, ..) = way else {
                        return true;
                    };
                    let place: Option<usize> = place;
                    place.is_some_and(|at| parties[*party].entry.profile().limits[at].apart)
                };
                let mine = touched
                    .iter()
                    .filter(|level| way.comes_to(level.whose, apart));
                self.answer_of(ask, mine, &parties, now)
            }
        };
        Some(Screened {
            allowed: !denied,
            answers: asks.iter().zip(&ways).map(answer).collect(),
        })
    }

    fn count_parties(
        &self,
        parties: &[Party<'_>],
        touched: &[Touched<'_>],
        denied: bool,
        now: Ticks,
    ) {
        for (at, party) in parties.iter().enumerate() {
            let Some(plan) = &party.plan else { continue };
            self.count(&party.entry, plan, now, |place| {
                let mine = touched.iter().filter(|level| {
                    matches!(level.whose, Whose::Party(whose, id)
                        if whose == at && id.limit() == place)
                });
                let (mut said, mut would_deny) = (None, false);
                for level in mine {
                    match (level.said, level.firm) {
                        (Ok(_), _) => {}
                        (Err(_), false) => would_deny = true,
                        (Err(Refused::Never), true) => said = Some(Said::Never),
                        (Err(_), true) => said = said.or(Some(Said::OverLimit)),
                    }
                }
                match said {
                    Some(said) => said,
                    None if denied => Said::Elsewhere,
                    None => Said::Allowed { would_deny },
                }
            });
        }
    }

    /// A key as a charge may have it.
    fn short<'a>(&self, key: &'a [u8]) -> Cow<'a, [u8]> {
        if key.len() <= Charge::MAX_KEY {
            return Cow::Borrowed(key);
        }
        let digest = self.seeds.each_ref().map(|seed| seed.hash_one(key));
        Cow::Owned(digest.map(u64::to_be_bytes).concat())
    }

    fn way<'a>(
        &self,
        ask: &Ask<'a>,
        key: &'a [u8],
        parties: &mut Vec<Party<'a>>,
        tables: &mut Vec<Arc<KeyTable>>,
        now: Ticks,
    ) -> Way {
        let known = parties.iter().position(|party| party.name == ask.tenant);
        let at = match known {
            Some(at) => at,
            None => match self.directory.resolve(ask.tenant) {
                Ok(entry) => {
                    parties.push(Party {
                        name: ask.tenant,
                        entry,
                        charges: Vec::new(),
                        plan: None,
                    });
                    parties.len() - 1
                }
                Err(error) => return Way::Stopped(Err(error.into())),
            },
        };
        let entry = Arc::clone(&parties[at].entry);
        if !entry.access().limit {
            return Way::Stopped(Ok(Verdict::NotServed(entry.state())));
        }
        let table = match ask.of {
            Of::Blocked => return Way::Stopped(Ok(Verdict::Never)),
            Of::Limit(limit) => {
                let charge = Charge {
                    limit,
                    key,
                    cost: ask.cost,
                };
                if let Err(error) = self.plan(&entry, &[charge]) {
                    return Way::Stopped(Err(error));
                }
                parties[at].charges.push(charge);
                let place = entry.profile().limit(limit).map(|(place, _)| place);
                return Way::Profile(at, place, (!key.is_empty()).then(|| self.tag(key)));
            }
            Of::Rule { .. } | Of::Own { .. } => self.table(&entry, ask, now),
        };
        let Some(table) = table else {
            return Way::Stopped(Ok(Verdict::Unavailable));
        };
        // Strangers may share a table.
        let tag = Tag(self.seeds[0].hash_one((ask.tenant, key)));
        let held = tables.iter().position(|held| Arc::ptr_eq(held, &table));
        let at = held.unwrap_or_else(|| {
            tables.push(table);
            tables.len() - 1
        });
        Way::Table(at, tag)
    }

    fn table(&self, entry: &Entry, ask: &Ask<'_>, now: Ticks) -> Option<Arc<KeyTable>> {
        let (tables, room) = (&self.tables, &self.room);
        match ask.of {
            Of::Limit(_) | Of::Blocked => None,
            Of::Rule { path, quota } => tables.of_rule(entry, path, quota, now, room),
            Of::Own { domain, quota } => tables.of_own(entry, domain, quota, now, room),
        }
    }

    /// What is asked of each profile together. Too much of one stops its asks.
    fn plan_all(&self, parties: &mut [Party<'_>], ways: &mut [Way]) {
        for (at, party) in parties.iter_mut().enumerate() {
            if party.charges.is_empty() {
                continue;
            }
            match self.plan(&party.entry, &party.charges) {
                Ok(plan) => party.plan = Some(plan),
                Err(error) => {
                    for way in &mut *ways {
                        if matches!(way, Way::Profile(whose, ..) if *whose == at) {
                            *way = Way::Stopped(Err(error.clone()));
                        }
                    }
                }
            }
        }
    }

    fn answer_of<'a>(
        &self,
        ask: &Ask<'_>,
        mine: impl Iterator<Item = &'a Touched<'a>>,
        parties: &[Party<'_>],
        now: Ticks,
    ) -> Answer {
        let mut verdict = Verdict::Allowed;
        let mut after = Ticks::ZERO;
        // By what it says (a refusal, a refusal that does not count, neither), then by
        // the tokens left.
        let mut worst: Option<((u8, Ticks, u64), Bound, Standing)> = None;
        let mut would_deny = false;
        for level in mine {
            let Some(standing) = level.bucket.standing(now) else {
                continue;
            };
            let (rank, this) = match (level.said, level.firm) {
                (Err(Refused::Never), true) => {
                    verdict = Verdict::Never;
                    (0, Ticks::ZERO)
                }
                (Err(Refused::Later { after: this }), true) => {
                    if verdict == Verdict::Allowed {
                        verdict = Verdict::OverLimit;
                    }
                    after = after.max(this);
                    (1, this)
                }
                (Err(_), _) => {
                    would_deny = true;
                    (2, Ticks::ZERO)
                }
                (Ok(_), _) => (3, Ticks::ZERO),
            };
            // The longest wait first.
            let order = (rank, Ticks::END.minus(this), standing.remaining);
            if worst.as_ref().is_none_or(|(held, ..)| order < *held) {
                worst = Some((order, level.of(parties), standing));
            }
        }
        let later = verdict == Verdict::OverLimit;
        debug_assert!(!matches!(ask.of, Of::Limit(_)) || !ask.overdraw);
        Answer {
            verdict: Ok(verdict),
            would_deny: would_deny && verdict == Verdict::Allowed,
            standing: worst.map(|(_, of, standing)| (of, standing)),
            retry_after: if later {
                self.retry_after(after)
            } else {
                Duration::ZERO
            },
        }
    }
}

/// Adds an ask's key to what is charged, or its cost to what is there.
fn add_key<'a>(
    touched: &mut Vec<Touched<'a>>,
    tables: &'a [Arc<KeyTable>],
    table: usize,
    tag: Tag,
    ask: &Ask<'_>,
) {
    let whose = Whose::Table(table, tag);
    if let Some(level) = touched.iter_mut().find(|level| level.whose == whose) {
        level.cost = level.cost.saturating_add(ask.cost);
        level.firm |= !ask.shadow;
        return;
    }
    touched.push(Touched {
        whose,
        bucket: Bucket::Key {
            table: &tables[table],
            tag,
        },
        cost: ask.cost,
        firm: !ask.shadow,
        overdraw: ask.overdraw,
        said: Ok(Ticks::ZERO),
    });
}

impl Way {
    /// Whether it leads to this bucket. `apart` says of a limit's place whether it
    /// leaves the tenant's own bucket alone.
    fn comes_to(&self, whose: Whose, apart: impl Fn(Option<usize>) -> bool) -> bool {
        match (self, whose) {
            (Self::Table(table, tag), Whose::Table(at, key)) => *table == at && *tag == key,
            (Self::Profile(party, place, tag), Whose::Party(at, id)) => {
                *party == at
                    && match id {
                        LevelId::Key(at, key) => *place == Some(at) && *tag == Some(key),
                        LevelId::Total(at) => *place == Some(at),
                        LevelId::Own => !apart(*place),
                    }
            }
            _ => false,
        }
    }
}

impl Touched<'_> {
    fn of(&self, parties: &[Party<'_>]) -> Bound {
        match self.whose {
            Whose::Table(..) => Bound::Quota,
            Whose::Party(party, id) => match id.limit() {
                None => Bound::Own,
                Some(place) => {
                    Bound::Limit(parties[party].entry.profile().limits[place].name.clone())
                }
            },
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
