//! How many keys all tables of a process may tell apart together.

use crate::sync::{AtomicUsize, Ordering};

/// Slots that all tables together may have.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    slots: usize,
}

impl Room {
    /// Slots that each table has without asking.
    pub(crate) const GRANTED: usize = 64;

    pub(crate) fn new(slots: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            slots,
        }
    }

    /// Slots beyond those granted.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Slots that there may be beyond those granted.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn take(&self) -> bool {
        // Relaxed: a bound, not an order.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.slots).then_some(taken + 1)
            })
            .is_ok()
    }

    pub(super) fn give_back(&self, slots: usize) {
        self.taken.fetch_sub(slots, Ordering::Relaxed);
    }
}
