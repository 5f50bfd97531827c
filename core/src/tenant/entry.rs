//! One tenant as the request path sees it: read through one pointer, without a lock.
//!
//! An entry never changes, but for the words of its buckets. A change of tier, of a
//! setting or of the state makes a *successor*, in this order:
//!
//! ```text
//!   1. new entry, its words pending    2. old.successor = new
//!   3. new.adopt(old): each old word is sealed, each new one takes over what was
//!      spent                           4. the directory's map leads to the new one
//! ```
//!
//! Whoever holds the old entry finds the successor before it can meet a seal, and
//! does step 3 itself before it uses it ([`Entry::adopt`]; all but the first do
//! nothing). So nobody waits for a writer that was stopped half-way, and nobody has
//! an entry whose words are still pending.
//!
//! Buckets of named limits are made by their first use. Before the successor takes
//! over, each place that is still empty is *closed*: nothing can be spent afterwards
//! that the successor would not know of. What was spent of a limit that the new
//! profile has not is carried along until it has come back, so that a change there
//! and back is no refill either.
//!
//! A successor is held weakly: a caller that keeps an old entry keeps no chain.
//! If it is gone already, its own successor is in the map, complete.
//!
//! Cost: 136 bytes a tenant without named limits, plus its place in the map; 48 for
//! each named limit, and 40 more once it is used.

use std::fmt;
use std::sync::{Arc, Weak};

use super::lifecycle::{Access, State};
use super::name::LimitName;
use super::number::Numbers;
use super::profile::Profile;
use crate::cache::TenantId;
use crate::limit::keys::KeyTable;
use crate::limit::word::{Dues, Sealed, Word};
use crate::limit::{Quota, Ticks, meter};
use crate::planted::{Bug, planted};
use crate::sync::Once;

mod limits;

pub(crate) use limits::Named;
use limits::{Limits, Place};

/// One tenant, as it is until its successor takes over.
pub struct Entry {
    id: TenantId,
    /// One purged every second begins anew for 136 years.
    incarnation: u32,
    profile: Arc<Profile>,
    /// The tenant's own bucket: counts while the profile has a `request` quota.
    pub(crate) request: Word,
    /// Its loads: counts while the profile has an `origin` quota.
    pub(crate) origin: Word,
    /// For `request`.
    pub(crate) dues: Dues,
    /// Of the tenant's own bucket.
    pub(crate) meter: meter::Place,
    limits: Option<Box<Limits>>,
    successor: Once<Successor>,
    numbers: Arc<Numbers>,
    number: u32,
    /// How often its rates were changed, counted from the first entry.
    rerated: u32,
    state: State,
    source: Source,
}

/// How the directory came to know a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The configuration names it.
    Configured,
    /// An operator put it.
    Operator,
    /// It came, and nobody had named it.
    Stranger,
    /// No tenant: what many have that have nothing of their own.
    Shared,
}

/// What comes after an entry.
#[derive(Clone)]
enum Successor {
    Entry(Weak<Entry>),
    /// Nothing: what holds for its name now, the directory says.
    Gone,
}

/// Where to go on from an entry.
#[derive(Debug)]
pub(super) enum Next {
    /// It is in force.
    Here,
    /// This one took over from it.
    Entry(Arc<Entry>),
    /// The map knows.
    ByName,
}

impl Entry {
    /// A tenant that has spent nothing, or as much as `like`.
    pub(super) fn first(
        id: TenantId,
        incarnation: u64,
        state: State,
        source: Source,
        profile: Arc<Profile>,
        numbers: &Arc<Numbers>,
        like: Option<&Self>,
    ) -> Arc<Self> {
        let spent = |word: fn(&Self) -> &Word| {
            like.map_or_else(Word::full, |like| Word::full_at(word(like).last()))
        };
        let entry = Self {
            request: spent(|like| &like.request),
            origin: spent(|like| &like.origin),
            dues: Dues::new(),
            meter: meter::Place::default(),
            limits: Limits::of(&profile, Vec::new()),
            id,
            incarnation: u32::try_from(incarnation).unwrap_or(u32::MAX),
            profile,
            successor: Once::new(),
            numbers: Arc::clone(numbers),
            number: numbers.take(),
            rerated: 0,
            state,
            source,
        };
        if let Some(like) = like {
            like.each_place(|name, _, place| {
                let named = place.with(Clone::clone).flatten();
                if let (Some(named), Some((_, mine))) = (named, entry.place(name)) {
                    // Nobody else has this entry yet.
                    let _first = mine.set(Some(named.copy()));
                }
            });
        }
        Arc::new(entry)
    }

    /// What comes after `old`; to be published by [`Entry::give_way`].
    pub(super) fn after(
        old: &Self,
        state: State,
        source: Source,
        profile: Arc<Profile>,
        now: Ticks,
    ) -> Arc<Self> {
        let refills = planted(Bug::ChangeRefills);
        let word = || {
            if refills {
                Word::full()
            } else {
                Word::pending()
            }
        };
        let mut carried = Vec::new();
        old.each_place(|name, total, place| {
            let goes_on = profile.limit(name.as_str()).is_some();
            // An empty place may yet be used, of a limit that `old` has.
            let may_be_used = old.profile.limit(name.as_str()).is_some();
            let spent = place.with(|named| named.as_ref().is_some_and(|named| !named.is_full(now)));
            if !goes_on && spent.unwrap_or(may_be_used) {
                carried.push((name.clone(), total.copied()));
            }
        });
        let same_rates = Arc::ptr_eq(&old.profile, &profile);
        Arc::new(Self {
            rerated: old.rerated.wrapping_add(u32::from(!same_rates)),
            id: old.id.clone(),
            incarnation: old.incarnation,
            dues: Dues::new(),
            meter: old.meter.handed_on(),
            limits: Limits::of(&profile, carried),
            profile,
            request: word(),
            origin: word(),
            successor: Once::new(),
            numbers: Arc::clone(&old.numbers),
            number: old.numbers.hold(old.number),
            state,
            source,
        })
    }

    /// Steps 2 and 3 of a change; the caller sees to it that there is one at a time.
    pub(super) fn give_way(&self, new: &Arc<Self>, now: Ticks) {
        let first = self.successor.set(Successor::Entry(Arc::downgrade(new)));
        debug_assert!(
            first.is_ok(),
            "changes take turns, and begin at the last one"
        );
        new.adopt(self, now);
        new.rerate_keys(now);
    }

    /// Puts the quotas of this profile in force for the keys of its limits. Only the
    /// change itself does this: a caller that was held up in [`Self::adopt`] would
    /// bring back what a later change has replaced.
    fn rerate_keys(&self, now: Ticks) {
        let Some(limits) = &self.limits else { return };
        for (limit, place) in self.profile.limits.iter().zip(&limits.own) {
            let table = place.with(|named| named.as_ref().and_then(|named| named.table()));
            if let (Some(table), Some(quota)) = (table.flatten(), &limit.per_key) {
                let most = usize::try_from(limit.max_keys).unwrap_or(usize::MAX);
                table.rerate(now, quota, most);
            }
        }
    }

    /// Ends it without a successor: its callers ask the directory again.
    pub(super) fn end(&self) {
        let first = self.successor.set(Successor::Gone);
        debug_assert!(
            first.is_ok(),
            "changes take turns, and begin at the last one"
        );
        self.close();
    }

    /// Seals what is there, and closes what is not.
    fn close(&self) {
        self.request.seal();
        self.origin.seal();
        self.each_place(|_, _, place| {
            place.get_or_init(
                || None,
                |named| {
                    if let Some(named) = named {
                        named.total.seal();
                    }
                },
            );
        });
    }

    /// Takes over from `old` what it has spent, once; whoever does it again does
    /// nothing. Another incarnation takes over nothing.
    pub(super) fn adopt(&self, old: &Self, now: Ticks) {
        if self.incarnation != old.incarnation {
            return old.close();
        }
        let (from, to) = (&old.profile, &self.profile);
        let (was, is) = (from.request.as_ref(), to.request.as_ref());
        self.request.adopt(&old.request, now, was, is);
        let (was, is) = (from.origin.as_ref(), to.origin.as_ref());
        self.origin.adopt(&old.origin, now, was, is);
        old.each_place(|name, was, place| {
            let read = |named: &Option<Arc<Named>>| named.clone();
            let named = if planted(Bug::NamedUnclosed) {
                place.with(read).flatten()
            } else {
                place.get_or_init(|| None, read)
            };
            let Some(named) = named else { return };
            match self.place(name) {
                Some((is, mine)) => mine.get_or_init(
                    || Some(Named::new(Word::pending())),
                    |mine| {
                        if let Some(mine) = mine {
                            mine.adopt(&named, now, was, is);
                        }
                    },
                ),
                None => {
                    named.total.seal();
                }
            }
        });
    }

    /// Where to go on from here. What it leads to has taken over.
    pub(super) fn next(&self, now: impl FnOnce() -> Ticks) -> Next {
        match self.successor.with(Clone::clone) {
            None => Next::Here,
            Some(Successor::Gone) => Next::ByName,
            Some(Successor::Entry(next)) => match next.upgrade() {
                Some(next) => {
                    next.adopt(self, now());
                    Next::Entry(next)
                }
                None => Next::ByName,
            },
        }
    }

    /// Whether nothing has taken over from it. Cost: one load.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.successor.with(|_| ()).is_none()
    }

    /// Whether all its buckets are full: then forgetting it gives nothing back.
    pub(super) fn is_full(&self, now: Ticks) -> bool {
        let full = |word: &Word| word.read().is_ok_and(|tat| tat <= now);
        let mut all = full(&self.request) && full(&self.origin);
        self.each_place(|_, _, place| {
            all &= place
                .with(|named| named.as_ref().is_none_or(|named| named.is_full(now)))
                .unwrap_or(true);
        });
        all || planted(Bug::SpentForgotten)
    }

    /// Whether it was full when it ended.
    pub(super) fn ended_full(&self, now: Ticks) -> bool {
        let mut all = self.request.last() <= now && self.origin.last() <= now;
        self.each_place(|_, _, place| {
            let spent = place.with(|named| {
                let named = named.as_ref();
                named.is_some_and(|named| named.total.last() > now)
            });
            all &= !spent.unwrap_or(false);
        });
        all || planted(Bug::SpentForgotten)
    }

    /// Runs `read` on the bucket of the profile's limit at `index`, which its first
    /// use makes.
    ///
    /// # Errors
    /// When a successor has taken over.
    #[inline]
    pub(crate) fn named<R>(
        &self,
        index: usize,
        read: impl FnOnce(&Arc<Named>) -> R,
    ) -> Result<R, Sealed> {
        let place = self
            .limits
            .as_ref()
            .and_then(|limits| limits.own.get(index));
        place.ok_or(Sealed)?.get_or_init(
            || Some(Named::new(Word::full())),
            |named| named.as_ref().map(read).ok_or(Sealed),
        )
    }

    /// The buckets by key, of every limit that has some.
    pub(crate) fn each_table(&self, visit: impl Fn(&KeyTable)) {
        self.each_place(|_, _, place| {
            let table = place.with(|named| named.as_ref().and_then(|named| named.table()));
            if let Some(table) = table.flatten() {
                visit(&table);
            }
        });
    }

    /// Every place for a named limit's bucket, with what the limit was over all keys.
    fn each_place(&self, mut visit: impl FnMut(&LimitName, Option<&Quota>, &Place)) {
        let Some(limits) = &self.limits else { return };
        for (limit, place) in self.profile.limits.iter().zip(&limits.own) {
            visit(&limit.name, limit.total.as_ref(), place);
        }
        for carried in &limits.carried {
            visit(&carried.name, carried.total.as_ref(), &carried.place);
        }
    }

    fn place(&self, name: &LimitName) -> Option<(Option<&Quota>, &Place)> {
        let limits = self.limits.as_ref()?;
        if let Some((at, limit)) = self.profile.limit(name.as_str()) {
            return Some((limit.total.as_ref(), &limits.own[at]));
        }
        let carried = limits
            .carried
            .iter()
            .find(|carried| carried.name == *name)?;
        Some((carried.total.as_ref(), &carried.place))
    }

    /// The tenant's name; `*` when it is shared by many.
    #[must_use]
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// Which of the tenants in use it is: small, and no other tenant's for as long as
    /// anybody has an entry of this one.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How often its rates were changed: of two entries of a tenant whose counts
    /// differ by one, no rates were in force but theirs.
    pub(crate) fn rerated(&self) -> u32 {
        self.rerated
    }

    /// Which of the lives of a tenant of this name it is, from 1. A purge ends one.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.into()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What its state allows.
    #[inline]
    #[must_use]
    pub fn access(&self) -> Access {
        self.state.access()
    }

    /// How the directory came to know it.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// What it may.
    #[inline]
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.numbers.release(self.number);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("incarnation", &self.incarnation)
            .field("state", &self.state)
            .field("source", &self.source)
            .field("tier", &self.profile.tier)
            .finish_non_exhaustive()
    }
}
