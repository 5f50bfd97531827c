//! The slots of a key table, and which of them is whose. Under the table's lock.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use super::Tag;
use crate::limit::quota::{Quota, Ticks};
use crate::limit::room::Room;
use crate::limit::turns::Queue;
use crate::planted::{Bug, planted};

/// Slots the hand looks at to find room for one key.
const REACH: usize = 16;

#[derive(Debug)]
pub(super) struct State {
    pub(super) quota: Quota,
    /// How often the quota changed.
    pub(super) rerated: u32,
    pub(super) max_keys: usize,
    pub(super) index: HashMap<u64, u32, AsIs>,
    pub(super) slots: Vec<Slot>,
    pub(super) hand: usize,
    pub(super) made: u32,
    pub(super) tail: Ticks,
    pub(super) tail_refunded: Ticks,
    /// Who waits, by what [`Slot::made`] says; none is the tail.
    pub(super) queues: HashMap<Option<u32>, Queue>,
    pub(super) retired: bool,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) tag: u64,
    pub(super) tat: Ticks,
    /// All that was ever refunded, to the tail before the key left it included.
    pub(super) refunded: Ticks,
    /// Of the slots of this table, which; reused after 2³² of them.
    pub(super) made: u32,
    /// Since the hand came by, not counting the use that made it.
    pub(super) used: bool,
}

/// A slot, or the tail.
pub(super) type Place = Option<u32>;

impl State {
    pub(super) fn new(quota: Quota, max_keys: usize) -> Self {
        Self {
            quota,
            rerated: 0,
            max_keys,
            index: HashMap::with_hasher(AsIs),
            slots: Vec::new(),
            hand: 0,
            made: 0,
            tail: Ticks::ZERO,
            tail_refunded: Ticks::ZERO,
            queues: HashMap::new(),
            retired: false,
        }
    }

    pub(super) fn is_full(&self, now: Ticks) -> bool {
        self.tail <= now && self.slots.iter().all(|slot| slot.tat <= now)
    }

    pub(super) fn tat(&mut self, place: Place) -> &mut Ticks {
        match place {
            Some(at) => &mut self.slots[at as usize].tat,
            None => &mut self.tail,
        }
    }

    pub(super) fn refunded(&mut self, place: Place) -> &mut Ticks {
        match place {
            Some(at) => &mut self.slots[at as usize].refunded,
            None => &mut self.tail_refunded,
        }
    }

    pub(super) fn made(&self, place: Place) -> Option<u32> {
        place.map(|at| self.slots[at as usize].made)
    }

    /// The last turn at a bucket that is to come.
    pub(super) fn last_turn(&mut self, made: Option<u32>, now: Ticks) -> Option<Ticks> {
        if self.queues.is_empty() {
            return None;
        }
        let queue = self.queues.get_mut(&made)?;
        if queue.is_waited_in(now) {
            return queue.last();
        }
        self.queues.remove(&made);
        None
    }

    pub(super) fn known(&self, tag: Tag) -> Place {
        self.index.get(&tag.0).copied()
    }

    /// The key's bucket, made if there is room for it.
    pub(super) fn place(&mut self, tag: Tag, now: Ticks, room: &Room) -> Place {
        if let Some(at) = self.known(tag) {
            self.slots[at as usize].used = true;
            return Some(at);
        }
        self.made = self.made.wrapping_add(1);
        let slot = Slot {
            tag: tag.0,
            tat: self.tail,
            refunded: self.tail_refunded,
            made: self.made,
            used: false,
        };
        let at = if let Some(at) = self.reusable(now, 1) {
            at
        } else if self.may_grow(room) {
            self.slots.push(slot);
            let at = number(self.slots.len() - 1);
            self.index.insert(tag.0, at);
            return Some(at);
        } else {
            self.reusable(now, REACH)?
        };
        let old = std::mem::replace(&mut self.slots[at], slot);
        self.index.remove(&old.tag);
        self.index.insert(tag.0, number(at));
        Some(number(at))
    }

    fn may_grow(&self, room: &Room) -> bool {
        let len = self.slots.len();
        len < self.max_keys && (len < Room::GRANTED || room.take())
    }

    /// Moves the hand to a bucket that is full and was not used since it last came,
    /// over at most `reach` slots. One is looked at even when there is room for more,
    /// so that a table whose keys come and go stays small.
    fn reusable(&mut self, now: Ticks, reach: usize) -> Option<usize> {
        let len = self.slots.len();
        for _ in 0..reach.min(len) {
            let at = self.hand % len;
            self.hand = at + 1;
            let slot = &mut self.slots[at];
            if slot.tat > now && !planted(Bug::SpentEvicted) {
                continue;
            }
            if !std::mem::take(&mut slot.used) {
                return Some(at);
            }
        }
        None
    }
}

pub(super) fn number(at: usize) -> u32 {
    u32::try_from(at).expect("a table has at most u32::MAX keys: its bound is checked")
}

/// Tags are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs;

pub(super) struct Bits(u64);

impl BuildHasher for AsIs {
    type Hasher = Bits;

    fn build_hasher(&self) -> Bits {
        Bits(0)
    }
}

impl Hasher for Bits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }
}
