//! Reads and loads by cache.
//!
//! A declared cache is counted in a slot of its own, all others together in one. The
//! slot is a number that each scope has a copy of, so a count costs no look at a name
//! and no second addition.
//!
//! A name keeps its slot for the life of the pond: a cache that is declared again
//! goes on where it was. Once [`MAX_CACHES_COUNTED`] names had one, further ones are
//! counted with the others.
//!
//! Cost: 512 bytes a line for the first slots, and 7.5 KiB a line for the rest, which
//! is there once more than 15 names were declared; 32 and 480 KiB over all lines.

use std::collections::HashMap;
// std's even under loom: statistics order nothing.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::name::CacheName;

/// Names that are counted by themselves at most.
pub const MAX_CACHES_COUNTED: usize = 255;

/// What all others together are called. A cache of this name is counted with them.
pub const OTHER_CACHES: &str = "other";

/// Slots that are always there, the others' among them.
const FIRST: usize = 16;
const REST: usize = 1 + MAX_CACHES_COUNTED - FIRST;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) enum Of {
    /// A read answered fresh.
    Hit,
    /// A read answered stale.
    Stale,
    /// A read that found nothing usable.
    Miss,
    /// A load begun.
    Load,
}

const KINDS: usize = 4;

type Counts = [AtomicU64; KINDS];

const fn zeros() -> Counts {
    [const { AtomicU64::new(0) }; KINDS]
}

/// What was read and loaded of one cache, or of several, since the pond was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Reads answered fresh from L1.
    pub hits: u64,
    /// Reads answered stale, for whatever reason.
    pub stale: u64,
    /// Reads that found nothing usable.
    pub misses: u64,
    /// Leases granted: to lead, to refresh, to a waiter whose leader was gone, and
    /// those of caches that observe.
    pub loads: u64,
}

impl CacheCounts {
    fn add(&mut self, counts: &Counts) {
        let [hits, stale, misses, loads] = counts.each_ref().map(|count| {
            // Relaxed: a count, which orders nothing.
            count.load(Ordering::Relaxed)
        });
        self.hits += hits;
        self.stale += stale;
        self.misses += misses;
        self.loads += loads;
    }
}

/// Where a cache is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Slot(u32);

impl Slot {
    /// Of all caches that have none of their own.
    pub(in crate::cache) const OTHERS: Self = Self(0);

    pub(in crate::cache) fn to_word(self) -> u32 {
        self.0
    }

    pub(in crate::cache) fn of_word(word: u32) -> Self {
        Self(word)
    }
}

/// Which name has which slot.
#[derive(Debug, Default)]
pub(in crate::cache) struct Slots(HashMap<CacheName, Slot>);

impl Slots {
    /// The slot of a name, which is its own as far as there are any.
    pub(in crate::cache) fn of(&mut self, name: &CacheName) -> Slot {
        if name.as_str() == OTHER_CACHES {
            return Slot::OTHERS;
        }
        if let Some(slot) = self.0.get(name) {
            return *slot;
        }
        let next = self.0.len() + 1;
        match u32::try_from(next) {
            Ok(number) if next <= MAX_CACHES_COUNTED => {
                self.0.insert(name.clone(), Slot(number));
                Slot(number)
            }
            _ => Slot::OTHERS,
        }
    }
}

/// The counts of one line, by slot.
#[derive(Debug)]
pub(super) struct ByCache {
    first: [Counts; FIRST],
    rest: OnceLock<Box<[Counts]>>,
}

impl ByCache {
    pub(super) fn new() -> Self {
        Self {
            first: [const { zeros() }; FIRST],
            rest: OnceLock::new(),
        }
    }

    #[inline]
    fn counts(&self, slot: Slot) -> &Counts {
        let at = slot.0 as usize;
        match self.first.get(at) {
            Some(counts) => counts,
            None => self.in_rest(at),
        }
    }

    fn in_rest(&self, at: usize) -> &Counts {
        let rest = self.rest.get().and_then(|rest| rest.get(at - FIRST));
        rest.unwrap_or(&self.first[0])
    }

    #[inline]
    pub(super) fn counter(&self, slot: Slot, of: Of) -> &AtomicU64 {
        &self.counts(slot)[of as usize]
    }

    pub(super) fn make_room(&self, slots: &Slots) {
        if slots.0.len() >= FIRST {
            self.rest
                .get_or_init(|| (0..REST).map(|_| zeros()).collect());
        }
    }

    pub(super) fn add_to(&self, slot: Slot, sum: &mut CacheCounts) {
        sum.add(self.counts(slot));
    }

    pub(super) fn add_all_to(&self, sum: &mut CacheCounts) {
        let rest = self.rest.get().into_iter().flatten();
        self.first
            .iter()
            .chain(rest)
            .for_each(|counts| sum.add(counts));
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn names(count: usize) -> impl Iterator<Item = CacheName> {
        (0..count).map(|number| CacheName::parse(&format!("c{number:03}")).expect("a name"))
    }

    #[test]
    fn as_many_names_as_may_have_a_slot_of_their_own_and_keep_it() {
        let mut slots = Slots::default();
        let mut taken: Vec<Slot> = names(MAX_CACHES_COUNTED)
            .map(|name| slots.of(&name))
            .collect();
        for name in names(MAX_CACHES_COUNTED + 10).skip(MAX_CACHES_COUNTED) {
            assert_eq!(slots.of(&name), Slot::OTHERS);
        }
        for (name, slot) in names(MAX_CACHES_COUNTED).zip(&taken) {
            assert_eq!(slots.of(&name), *slot);
        }
        taken.sort_unstable_by_key(|slot| slot.0);
        taken.dedup();
        assert_eq!(taken.len(), MAX_CACHES_COUNTED);
        assert!(!taken.contains(&Slot::OTHERS));
        let other = CacheName::parse(OTHER_CACHES).unwrap();
        assert_eq!(Slots::default().of(&other), Slot::OTHERS);
    }

    #[test]
    fn each_slot_counts_by_itself_and_without_room_with_the_others() {
        let mut slots = Slots::default();
        let all: Vec<Slot> = names(MAX_CACHES_COUNTED)
            .map(|name| slots.of(&name))
            .collect();
        let counts = ByCache::new();
        let of = |slot| {
            let mut counted = CacheCounts::default();
            counts.add_to(slot, &mut counted);
            counted.hits
        };
        let hit = |slot| {
            counts
                .counter(slot, Of::Hit)
                .fetch_add(1, Ordering::Relaxed);
        };
        all.iter().for_each(|slot| hit(*slot));
        assert_eq!(of(Slot::OTHERS), (MAX_CACHES_COUNTED - FIRST + 1) as u64);
        counts.make_room(&slots);
        all.iter().for_each(|slot| hit(*slot));
        let of_each: Vec<u64> = all.iter().map(|slot| of(*slot)).collect();
        let (first, rest) = of_each.split_at(FIRST - 1);
        assert!(first.iter().all(|hits| *hits == 2), "{first:?}");
        assert!(rest.iter().all(|hits| *hits == 1), "{rest:?}");
        let mut sum = CacheCounts::default();
        counts.add_all_to(&mut sum);
        assert_eq!(sum.hits, 2 * MAX_CACHES_COUNTED as u64);
    }
}
