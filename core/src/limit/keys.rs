//! The buckets of one limit's keys, for one tenant: bounded, and never a refill.
//!
//! ```text
//!   index: tag ──► slots [ tag, tat, used ]        tail: one tat for all others
//!                     ▲ hand
//! ```
//!
//! A key's tag is a hash of it under a random seed; two keys that share one share a
//! bucket, which denies too much and never too little, and happens to one in 2⁴⁴
//! pairs of a full table's neighbours.
//!
//! Rules, by which no rotation of keys spends more than its limits:
//! - only a full bucket is evicted: it says nothing that a new one would not;
//! - a key that finds no room spends from the *tail*, a bucket of one key's quota
//!   that all such keys share;
//! - a key that gets a bucket starts at the tail's `tat`: it may be one that spent
//!   there.
//!
//! Room is made by a hand that passes over the slots (the CLOCK algorithm; Corbató,
//! 1969): a full bucket that was not used since the hand came by goes. A key that is
//! seen once is never marked, so a scan over millions of keys evicts the scan.
//!
//! A table that its holder no longer keeps is *retired* under its lock, and only while
//! every bucket is full: whoever found it before charges nothing there and looks again.
//!
//! One lock a table, held for about 50 ns: what is decided about a key, its slot and
//! the tail is one step. A table belongs to one tenant's limit, so tenants cannot
//! evict or delay each other. All tables of a process share [`Room`]; the first
//! [`Room::GRANTED`] keys of each need none of it.
//!
//! Cost: 50 bytes a key, when its table has just grown 100.

use std::sync::Arc;

use super::call::Standing;
use super::gcra::{self, Decision, Receipt, Since};
use super::quota::{Quota, Ticks};
use super::room::Room;
use super::word::Refused;
use crate::planted::{Bug, planted};
use crate::sync::Mutex;

mod state;

use state::{State, number};

/// What a key is known by in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u64);

/// The buckets of one limit's keys.
#[derive(Debug)]
pub(crate) struct KeyTable {
    state: Mutex<State>,
    room: Arc<Room>,
}

/// A charge of a key, as its refund needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyReceipt {
    pub(crate) receipt: Receipt,
    rerated: u32,
    /// The slot that was charged; none is the tail.
    made: Option<u32>,
}

impl KeyTable {
    pub(crate) fn new(quota: Quota, max_keys: usize, room: Arc<Room>) -> Self {
        Self {
            state: Mutex::new(State::new(quota, max_keys)),
            room,
        }
    }

    /// An empty one, each of whose keys has spent as much as any key of this one has.
    /// Visits every key.
    pub(crate) fn beginning_like(&self) -> Self {
        let state = &*self.state.lock();
        let spent = state.slots.iter().map(|slot| slot.tat);
        let tail = spent.fold(state.tail, Ticks::max);
        let other = Self::new(state.quota, state.max_keys, Arc::clone(&self.room));
        other.state.lock().tail = tail;
        other
    }

    /// Spends from a key's bucket, or says why not.
    pub(crate) fn charge(
        &self,
        tag: Tag,
        now: Ticks,
        cost: u64,
        patience: Ticks,
    ) -> Result<(Ticks, KeyReceipt), Refused> {
        let state = &mut *self.state.lock();
        if state.retired {
            return Err(Refused::Sealed);
        }
        let (quota, rerated) = (state.quota, state.rerated);
        // A bucket that is made begins at the tail's, so it would say the same; and a
        // denial makes none.
        let known = state.known(tag);
        let tat = if known.is_none() && planted(Bug::TailForgotten) {
            Ticks::ZERO
        } else {
            *state.tat(known)
        };
        let (new, wait) = match gcra::decide(tat, now, &quota, cost, patience) {
            Decision::Admit { tat, wait } => (tat, wait),
            Decision::Later { after } => return Err(Refused::Later { after }),
            Decision::Never => return Err(Refused::Never),
        };
        let place = state.place(tag, now, &self.room);
        let (refunded, made) = (*state.refunded(place), state.made(place));
        let last = state.last_turn(made, now);
        *state.tat(place) = new;
        let turn = now.plus(wait);
        if wait > Ticks::ZERO && cost > 0 {
            let queue = state.queues.entry(made).or_default();
            queue.give(now, turn, quota.interval().times(cost));
        }
        let last = last.is_none_or(|last| last <= turn);
        let receipt = Receipt {
            at: turn,
            after: if last { new } else { Ticks::ZERO },
            cost,
            interval: quota.interval(),
            refunded,
        };
        let receipt = KeyReceipt {
            receipt,
            rerated,
            made,
        };
        Ok((wait, receipt))
    }

    /// What [`Self::charge`] would say. Makes no bucket.
    pub(crate) fn peek(
        &self,
        tag: Tag,
        now: Ticks,
        cost: u64,
        patience: Ticks,
    ) -> Result<Ticks, Refused> {
        let state = &mut *self.state.lock();
        if state.retired {
            return Err(Refused::Sealed);
        }
        let place = state.known(tag);
        let quota = state.quota;
        match gcra::decide(*state.tat(place), now, &quota, cost, patience) {
            Decision::Admit { wait, .. } => Ok(wait),
            Decision::Later { after } => Err(Refused::Later { after }),
            Decision::Never => Err(Refused::Never),
        }
    }

    /// Ends the table if every bucket is full: it says nothing that a new one would not.
    /// Visits every key, unless one is not.
    pub(crate) fn retire(&self, now: Ticks) -> bool {
        let state = &mut *self.state.lock();
        state.retired |= state.is_full(now);
        state.retired
    }

    /// Spends what is already gone, into debt if need be. False when it is retired.
    pub(crate) fn debit(&self, tag: Tag, now: Ticks, cost: u64) -> bool {
        let state = &mut *self.state.lock();
        if state.retired {
            return false;
        }
        let place = state.place(tag, now, &self.room);
        let quota = state.quota;
        let tat = state.tat(place);
        *tat = gcra::debit(*tat, now, &quota, cost);
        true
    }

    /// Gives `tokens` of a charge back, as far as nothing else has; how much time that
    /// was. A key that has left the tail meanwhile took the charge along; one whose
    /// bucket was evicted had it back.
    pub(crate) fn refund(&self, tag: Tag, now: Ticks, charged: &KeyReceipt, tokens: u64) -> Ticks {
        let state = &mut *self.state.lock();
        let place = state.known(tag);
        let quota = state.quota;
        if charged.made.is_some() && charged.made != state.made(place) {
            return Ticks::ZERO;
        }
        let receipt = &charged.receipt;
        let since = match state.rerated.wrapping_sub(charged.rerated) {
            0 => Since::Same {
                refunded: *state.refunded(place),
            },
            1 => Since::Rerated {
                fastest: receipt.interval.min(quota.interval()),
            },
            // Of rates in between nothing is known.
            _ => return Ticks::ZERO,
        };
        // Those who waited before a change of the quota are in no queue any more.
        let left = receipt.waits(now) && tokens >= receipt.cost && state.rerated == charged.rerated;
        if left && let Some(queue) = state.queues.get_mut(&charged.made) {
            queue.left(receipt.at);
            if !queue.is_waited_in(now) {
                state.queues.remove(&charged.made);
            }
        }
        // Whoever still waits for the tail that the key has left counts there.
        let floor = [state.made(place), charged.made]
            .iter()
            .filter_map(|made| Some(state.queues.get_mut(made)?.floor(now)))
            .fold(Ticks::ZERO, Ticks::max);
        let back = gcra::refund(receipt, tokens, now, since, &quota);
        let tat = state.tat(place);
        let was = *tat;
        *tat = was.minus(back).max(floor.min(was));
        let back = was.minus(*tat);
        let refunded = state.refunded(place);
        *refunded = refunded.plus(back);
        back
    }

    /// The turn of a charge has come: see [`gcra::early`].
    pub(crate) fn turn_came(&self, tag: Tag, now: Ticks, charged: &KeyReceipt, turn: Ticks) {
        let state = &mut *self.state.lock();
        let place = state.known(tag);
        if charged.made.is_some() && charged.made != state.made(place)
            || charged.rerated != state.rerated
        {
            return;
        }
        if charged.receipt.at >= turn {
            if charged.receipt.cost > 0
                && let Some(queue) = state.queues.get_mut(&charged.made)
            {
                queue.came(charged.receipt.at);
            }
            return;
        }
        let early = gcra::early(&charged.receipt, turn, *state.refunded(place));
        if early > Ticks::ZERO {
            let tat = state.tat(place);
            *tat = (*tat).max(now).plus(early);
        }
    }

    pub(crate) fn standing(&self, tag: Tag, now: Ticks) -> Standing {
        let state = &mut *self.state.lock();
        let quota = state.quota;
        let place = state.known(tag);
        Standing::of(*state.tat(place), now, &quota)
    }

    /// Whether a key has no bucket of its own, and the one it shares is not full.
    pub(crate) fn shares(&self, tag: Tag, now: Ticks) -> bool {
        let state = &mut *self.state.lock();
        state.known(tag).is_none() && state.tail > now
    }

    /// Puts another quota and another bound in force. What was spent stays spent.
    /// Visits every key.
    pub(crate) fn rerate(&self, now: Ticks, quota: &Quota, max_keys: usize) {
        let state = &mut *self.state.lock();
        state.max_keys = max_keys;
        let old = std::mem::replace(&mut state.quota, *quota);
        if old == *quota {
            return;
        }
        state.rerated = state.rerated.wrapping_add(1);
        state.queues.clear();
        for slot in &mut state.slots {
            slot.tat = gcra::rerate(slot.tat, now, &old, quota);
        }
        state.tail = gcra::rerate(state.tail, now, &old, quota);
    }

    /// Drops full buckets. Visits every key.
    pub(crate) fn sweep(&self, now: Ticks) {
        let state = &mut *self.state.lock();
        let before = state.slots.len();
        state.queues.retain(|_, queue| queue.is_waited_in(now));
        state.slots.retain(|slot| slot.tat > now);
        if state.slots.len() == before {
            return;
        }
        state.index.clear();
        for (at, slot) in state.slots.iter().enumerate() {
            state.index.insert(slot.tag, number(at));
        }
        if state.slots.len() < state.slots.capacity() / 4 {
            state.slots.shrink_to_fit();
            state.index.shrink_to_fit();
        }
        let beyond = |len: usize| len.saturating_sub(Room::GRANTED);
        self.room
            .give_back(beyond(before) - beyond(state.slots.len()));
    }

    /// Whether every bucket is full. Visits every key, unless one is not.
    pub(crate) fn is_full(&self, now: Ticks) -> bool {
        self.state.lock().is_full(now)
    }

    /// Keys that have a bucket of their own.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().slots.len()
    }
}

impl Drop for KeyTable {
    fn drop(&mut self) {
        let taken = self.len().saturating_sub(Room::GRANTED);
        self.room.give_back(taken);
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
