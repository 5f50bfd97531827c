//! The front: what one thread has just read, read again without the index.
//!
//! Each thread keeps a small direct-mapped table of the nodes it read last. A slot
//! is good as long as nothing of its key's stripe was written since: it carries the
//! stripe's *stamp*, a word that every write to L1 moves twice, to odd before it
//! touches the index and to even after. A hit here costs one shared load besides
//! comparing the key, and no guard of the index.
//!
//! Invariant: a slot whose stamp is the stripe's present stamp holds the node that
//! the index would give, or one that the eviction policy alone has removed since.
//! - The stamp is read before the index. A write that the look-up did not see
//!   moves the stamp after it was read; one whose stamp it saw, it sees in the
//!   index too.
//! - A writer moves the stamp before the index, so once any thread can have read
//!   the new value, no thread serves the old one from its front.
//!
//! Barriers need no stamp: every reader compares its node with them anyway.
//!
//! After a purge a front is emptied when it is next filled: a slot keeps its node
//! alive, though none is answered from that its barrier covers.
//!
//! Cost: 512 slots of 24 bytes a thread, and the entries they keep alive: small
//! ones only, at most 2 MiB a thread, beyond what L1 counts.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
// std's even under loom: it gives memory back, and orders nothing.
use std::sync::atomic::AtomicU64 as PlainU64;

use super::entry::Node;
use super::key::KeyRef;
use crate::entropy::nonce;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Ordering, fence};

const SLOTS: usize = if cfg!(millpond_loom) { 2 } else { 512 };

/// The heaviest node a slot may keep alive.
const MAX_WEIGHT: u32 = 4_096;

/// One of so many reads that the front could not answer puts its node there: the
/// keys read often come in soon, and a long tail does not wash them out.
const FILL_EVERY: u32 = 16;

/// One word a stripe: even at rest, odd while an entry of the stripe is written.
/// They start at a number drawn at random, which tells the slots of one L1 from
/// those of another in the same process.
#[derive(Debug)]
pub(crate) struct Stamps(Box<[AtomicU64]>);

/// Purges in this process, whose threads' fronts serve every L1 in it.
static PURGES: PlainU64 = PlainU64::new(0);

/// What was held of somebody is removed for good: each front is emptied when it is
/// next filled.
pub(crate) fn purged() {
    PURGES.fetch_add(1, Ordering::Relaxed);
}

impl Stamps {
    pub(crate) fn new(stripes: usize) -> Self {
        let start = nonce() & !1;
        Self((0..stripes).map(|_| AtomicU64::new(start)).collect())
    }

    #[inline]
    fn of(&self, key: &KeyRef<'_>) -> &AtomicU64 {
        &self.0[key.stripe(self.0.len())]
    }

    /// Acquire: whoever sees a write's last stamp sees what it did to the index.
    #[inline]
    fn read(&self, key: &KeyRef<'_>) -> u64 {
        self.of(key).load(Ordering::Acquire)
    }

    /// Changes the index. Under the stripe's lock, so writes do not overlap.
    pub(crate) fn writing<T>(&self, key: &KeyRef<'_>, write: impl FnOnce() -> T) -> T {
        if planted(Bug::StampForgotten) {
            return write();
        }
        let stamp = self.of(key);
        let at_rest = stamp.load(Ordering::Relaxed);
        if !planted(Bug::StampLate) {
            stamp.store(at_rest.wrapping_add(1), Ordering::Relaxed);
            // Release: whoever sees the change in the index sees the odd stamp.
            fence(Ordering::Release);
        }
        let done = write();
        // Release: whoever sees this stamp sees the change.
        stamp.store(at_rest.wrapping_add(2), Ordering::Release);
        done
    }
}

#[derive(Debug)]
struct Slot {
    stamp: u64,
    hash: u64,
    node: Option<Arc<Node>>,
}

/// One thread's slots.
#[derive(Debug)]
pub(crate) struct Front {
    slots: RefCell<[Slot; SLOTS]>,
    missed: Cell<u32>,
    /// The purges that it was last emptied after.
    purges: Cell<u64>,
}

impl Front {
    pub(crate) const fn new() -> Self {
        const EMPTY: Slot = Slot {
            stamp: 0,
            hash: 0,
            node: None,
        };
        Self {
            slots: RefCell::new([EMPTY; SLOTS]),
            missed: Cell::new(0),
            purges: Cell::new(0),
        }
    }

    /// Runs `read` on the node under `key`: from a slot, or from `index`, which is
    /// given `read` back.
    #[inline]
    pub(crate) fn with<R, F: FnOnce(&Arc<Node>) -> R>(
        &self,
        stamps: &Stamps,
        key: &KeyRef<'_>,
        read: F,
        index: impl FnOnce(&mut Option<Arc<Node>>, F) -> Option<R>,
    ) -> Option<R> {
        let stamp = stamps.read(key);
        // A reader inside a reader (`read` runs the caller's code) shares the
        // borrow; only filling needs the slots alone, and is left out then.
        if let Ok(slots) = self.slots.try_borrow() {
            let slot = &slots[Self::at(key)];
            if slot.stamp == stamp
                && slot.hash == key.hash_bits()
                && let Some(node) = &slot.node
                && key.is(&node.key)
            {
                return Some(read(node));
            }
        }
        let mut seen = None;
        let answer = index(&mut seen, read);
        if let Some(node) = seen
            && stamp.is_multiple_of(2)
        {
            self.fill(stamp, key, node);
        }
        answer
    }

    #[inline]
    fn at(key: &KeyRef<'_>) -> usize {
        usize::try_from(key.hash_bits() >> 8).unwrap_or(0) % SLOTS
    }

    /// Whether the node that answers now should be remembered.
    #[inline]
    pub(crate) fn wants(&self, node: &Node) -> bool {
        let missed = self.missed.get().wrapping_add(1);
        self.missed.set(missed);
        (missed.is_multiple_of(FILL_EVERY) || cfg!(millpond_loom)) && node.weight <= MAX_WEIGHT
    }

    #[cold]
    fn fill(&self, stamp: u64, key: &KeyRef<'_>, node: Arc<Node>) {
        let purges = PURGES.load(Ordering::Relaxed);
        if self.purges.replace(purges) != purges {
            self.empty();
        }
        let Ok(mut slots) = self.slots.try_borrow_mut() else {
            return;
        };
        let slot = Slot {
            stamp,
            hash: key.hash_bits(),
            node: Some(node),
        };
        let old = std::mem::replace(&mut slots[Self::at(key)], slot);
        drop(slots);
        // Dropped outside the borrow: a value's drop may be the caller's code.
        drop(old);
    }

    fn empty(&self) {
        let take = |at: usize| self.slots.try_borrow_mut().ok()?[at].node.take();
        // One at a time, and dropped outside the borrow.
        (0..SLOTS).for_each(|at| drop(take(at)));
    }
}
