//! The flight recorder: what last happened to keys, in memory of a fixed size.
//!
//! An operator asks why a key is served, or is not. What is held says what is so;
//! the recorder says how it came to be: who was granted the load, what came of it,
//! what was invalidated, what went for room. It keeps hashes and no key: a dump of
//! it names nobody, and only who knows a key finds its events.
//!
//! - A stripe's [`Ring`] is written where the stripe's lock is held anyway, so it
//!   costs no synchronisation: about 3 ns an event. Hits write nothing.
//! - An eviction happens under no lock of ours. It goes to [`Evictions`], a table of
//!   two words a slot without order between them: the first is the hash xor the
//!   second, so a reader that sees half of a write finds a hash that nobody has.
//!   (Hyatt, Mann: "A lock-less transposition table implementation", ICGA 2002.)
//! - Invalidations of tags, caches and tenants visit no key; their barriers say when
//!   they were, and the explanation reads them there.
//!
//! Rings are shared: a key that is busy pushes the events of its stripe's others
//! out. Cost: 256 stripes of 48 events of 32 bytes, each made on its first event,
//! and 64 KiB of evictions: at most 448 KiB.

// std's atomics even under loom: the recorder orders nothing.
use std::sync::atomic::{AtomicU64, Ordering};

use super::key::{Key, ScopeId};
use crate::clock::Time;
use crate::version::Version;

/// Events a stripe remembers.
pub(crate) const RING: usize = 48;

/// Evictions remembered, each in the slot that its key's hash chooses.
const EVICTIONS: usize = 4_096;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A load was granted, because nothing usable was held.
    Leased,
    /// A load was granted to refresh what is still answered.
    Refreshing,
    /// A load was granted in a cache that observes.
    Observing,
    /// A load was granted to one that waited: who loaded before gave up, died, was
    /// invalidated, or took longer than its lease.
    Promoted,
    /// A load's value was stored.
    Stored,
    /// The origin confirmed what was held.
    Confirmed,
    /// It was taken over from the second level.
    Adopted,
    /// A caller set it.
    Set,
    /// A load's value was not stored.
    Superseded(Why),
    /// A value was larger than the policy allows: handed on, and not stored.
    TooLarge,
    /// A load failed.
    Failed,
    /// A load was given up.
    GivenUp,
    /// It was invalidated by its key.
    Invalidated,
    /// It was made stale by its key.
    Softened,
    /// Its time was over, and it was removed.
    Expired,
    /// A barrier above it had made it unservable, and it was removed.
    Buried,
    /// It was removed for room.
    Evicted,
}

/// Why a load's value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// There is no record of the load: its key was invalidated or set after it
    /// began, a later load was stored, `max_load` passed, or it was settled before.
    Unrecorded,
    /// It took longer than `max_load`.
    TooSlow,
    /// A tag, the cache or the tenant was invalidated after it began.
    Covered,
    /// A later load's value, or a value that was set, is held.
    Later,
    /// It began inside a settle time and ended after it.
    Settling,
    /// Its lease is of another process.
    OtherBoot,
}

/// Something that happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by [`Clock::precise`](crate::clock::Clock::precise).
    pub at: Time,
    /// What.
    pub what: What,
    /// The version it was done under: of a load, the one at which it began.
    /// [`Version::NONE`] where there is none.
    pub version: Version,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    hash: u64,
    at: Time,
    version: Version,
    /// The low half of the scope's number; the hash holds all of it already.
    scope: u32,
    what: What,
}

fn low(scope: ScopeId) -> u32 {
    u32::try_from(scope.0 & u64::from(u32::MAX)).unwrap_or(0)
}

/// The last events of one stripe. Lives under the stripe's lock.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    records: Vec<Record>,
    /// Where the oldest stands once the ring is full.
    oldest: usize,
}

impl Ring {
    pub(crate) fn record(&mut self, key: &Key, at: Time, what: What, version: Version) {
        let record = Record {
            hash: key.hash_bits(),
            scope: low(key.scope()),
            at,
            version,
            what,
        };
        if self.records.len() < RING {
            if self.records.capacity() == 0 {
                self.records.reserve_exact(RING);
            }
            self.records.push(record);
            return;
        }
        self.records[self.oldest] = record;
        self.oldest = (self.oldest + 1) % RING;
    }

    /// The events of a key, newest first.
    pub(crate) fn of(&self, key: &Key) -> Vec<Event> {
        let (newest, older) = self.records.split_at(self.oldest);
        let by_age = newest.iter().rev().chain(older.iter().rev());
        by_age
            .filter(|record| record.hash == key.hash_bits() && record.scope == low(key.scope()))
            .map(|record| Event {
                at: record.at,
                what: record.what,
                version: record.version,
            })
            .collect()
    }
}

/// The last evictions.
#[derive(Debug)]
pub(crate) struct Evictions(Box<[Slot]>);

#[derive(Debug)]
struct Slot {
    /// The hash xor the time.
    mixed: AtomicU64,
    /// When; 0 is never.
    at: AtomicU64,
}

impl Evictions {
    pub(crate) fn new() -> Self {
        let slot = || Slot {
            mixed: AtomicU64::new(0),
            at: AtomicU64::new(0),
        };
        Self((0..EVICTIONS).map(|_| slot()).collect())
    }

    fn slot(&self, hash: u64) -> &Slot {
        &self.0[usize::try_from(hash >> 20).unwrap_or(0) % self.0.len()]
    }

    pub(crate) fn record(&self, key: &Key, at: Time) {
        let (hash, at) = (key.hash_bits(), at.as_nanos());
        let slot = self.slot(hash);
        // Relaxed: whoever sees one word without the other finds no such hash.
        slot.mixed.store(hash ^ at, Ordering::Relaxed);
        slot.at.store(at, Ordering::Relaxed);
    }

    /// When the key was evicted, if that is still known.
    pub(crate) fn of(&self, key: &Key) -> Option<Time> {
        let slot = self.slot(key.hash_bits());
        let at = slot.at.load(Ordering::Relaxed);
        let hash = slot.mixed.load(Ordering::Relaxed) ^ at;
        (at != 0 && hash == key.hash_bits()).then(|| Time::from_nanos(at))
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;
    use crate::cache::key::KeyHasher;

    #[test]
    fn a_ring_keeps_the_last_events_and_tells_them_newest_first() {
        let hasher = KeyHasher::random();
        let ours = hasher.key(ScopeId(1), b"k").to_key();
        let theirs = hasher.key(ScopeId(2), b"k").to_key();
        let mut ring = Ring::default();
        for at in 0..200 {
            let key = if at % 2 == 0 { &ours } else { &theirs };
            ring.record(key, Time::from_nanos(at), What::Leased, Version::NONE);
        }
        let at: Vec<u64> = ring.of(&ours).iter().map(|it| it.at.as_nanos()).collect();
        let last: Vec<u64> = (152..200).rev().filter(|at| at % 2 == 0).collect();
        assert_eq!(at, last);
        assert_eq!(ring.records.capacity(), RING);
    }

    #[test]
    fn the_recorder_stays_within_its_memory() {
        let rings = 256 * RING * size_of::<Record>();
        let evictions = EVICTIONS * size_of::<Slot>();
        assert!(rings + evictions <= 448 << 10, "{rings} and {evictions}");
    }

    #[test]
    fn half_an_eviction_is_nobodys() {
        let hasher = KeyHasher::random();
        let key = hasher.key(ScopeId(1), b"k").to_key();
        let evictions = Evictions::new();
        assert_eq!(evictions.of(&key), None);
        evictions.record(&key, Time::from_nanos(7));
        assert_eq!(evictions.of(&key), Some(Time::from_nanos(7)));
        // The first word of another write.
        let mixed = &evictions.slot(key.hash_bits()).mixed;
        mixed.store(key.hash_bits() ^ 9, Ordering::Relaxed);
        assert_eq!(evictions.of(&key), None);
    }
}
