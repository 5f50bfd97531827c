//! A bucket: one word.
//!
//! ```text
//!   63       62       61                                             0
//!   ┌────────┬────────┬──────────────────────────────────────────────────┐
//!   │ sealed │ waited │ tat: when the bucket is full again, in 1/16 ns   │
//!   │        │ for    │ since the origin                                 │
//!   └────────┴────────┴──────────────────────────────────────────────────┘
//!   all ones: pending, nothing adopted yet
//! ```
//!
//! While the bucket is *waited for* ([`Queue`]) it is charged and refunded under the
//! queue's lock: what a charge may have back then depends on whose turns are to come.
//! Nobody who would not wait takes that lock otherwise.
//!
//! The quota stands beside the word, immutable. To change it, a successor is made
//! whose word is pending, the old word is *sealed*, and the successor adopts what
//! the old word says, at the new price. A sealed word never changes again, so what
//! was spent up to the seal is carried over and nothing can be spent after it. The
//! successor can be found before the seal is set: whoever meets the seal may do the
//! adoption itself ([`Word::adopt`]; all but the first do nothing), and nobody waits
//! for a writer that was stopped half-way.
//!
//! Cost: a charge is two loads and one compare-and-swap, about 5 ns beside the clock.
//! A denial writes nothing.

use super::gcra::{self, Decision, Receipt, Since};
use super::quota::{Quota, Ticks};
use super::turns::Queue;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Mutex, Ordering};

#[derive(Debug)]
pub(crate) struct Word {
    word: AtomicU64,
}

/// What a bucket must know beside its word if charges are refunded to it and callers
/// wait for it.
#[derive(Debug)]
pub(crate) struct Dues {
    /// All that was ever refunded. Written after the word was lowered and read before
    /// it is raised, so that a charge knows of no refund that it does not stand behind.
    refunded: AtomicU64,
    /// Held by whoever refunds, because each refund must know of those before it, by
    /// whoever waits, and by all while somebody does.
    queue: Mutex<Queue>,
}

const SEALED: u64 = 1 << 63;
const WAITED_FOR: u64 = 1 << 62;
const PENDING: u64 = u64::MAX;

const _: () = assert!(SEALED | WAITED_FOR | Ticks::END.0 != PENDING);

/// A charge that went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    /// How long the caller must wait before it acts on it.
    pub(crate) wait: Ticks,
    /// When the bucket is full again.
    pub(crate) tat: Ticks,
    pub(crate) receipt: Receipt,
}

/// A charge that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Later {
        after: Ticks,
    },
    Never,
    /// The bucket has a successor.
    Sealed,
}

/// The bucket has a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed;

impl Dues {
    pub(crate) fn new() -> Self {
        Self {
            refunded: AtomicU64::new(0),
            queue: Mutex::new(Queue::new()),
        }
    }

    /// All that was ever refunded, to one who holds the lock.
    fn refunded(&self) -> Ticks {
        // Relaxed: it is written with the lock held.
        Ticks(self.refunded.load(Ordering::Relaxed))
    }
}

impl Word {
    fn new(word: u64) -> Self {
        Self {
            word: AtomicU64::new(word),
        }
    }

    /// A full bucket.
    pub(crate) fn full() -> Self {
        Self::new(0)
    }

    /// One that is full at `tat`.
    pub(crate) fn full_at(tat: Ticks) -> Self {
        Self::new(tat.0.min(Ticks::END.0))
    }

    /// A successor's, before it adopts.
    pub(crate) fn pending() -> Self {
        Self::new(PENDING)
    }

    /// When the bucket is full again.
    #[inline]
    pub(crate) fn read(&self) -> Result<Ticks, Sealed> {
        // Acquire: whoever sees the seal sees the successor that was set before it.
        let word = self.word.load(Ordering::Acquire);
        if word & SEALED == 0 {
            Ok(Ticks(word & !WAITED_FOR))
        } else {
            Err(Sealed)
        }
    }

    /// When the bucket is full again, or was to be when it was sealed.
    pub(crate) fn last(&self) -> Ticks {
        // Relaxed: it orders nothing; a sealed word never changes.
        Ticks(self.word.load(Ordering::Relaxed) & !(SEALED | WAITED_FOR))
    }

    /// Spends, or says why not. `cost` 0 writes nothing.
    #[inline]
    pub(crate) fn charge(
        &self,
        quota: &Quota,
        now: Ticks,
        cost: u64,
        patience: Ticks,
        dues: &Dues,
    ) -> Result<Charged, Refused> {
        // Before the word, see the field. Acquire: the word is not read earlier.
        let refunded = Ticks(dues.refunded.load(Ordering::Acquire));
        // Acquire: see `read`.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & (SEALED | WAITED_FOR) != 0 {
                return self.charge_in_turn(quota, now, cost, patience, dues);
            }
            let new = match gcra::decide(Ticks(word), now, quota, cost, Ticks::ZERO) {
                Decision::Admit { tat, .. } => tat,
                Decision::Later { .. } if patience > Ticks::ZERO => {
                    return self.charge_in_turn(quota, now, cost, patience, dues);
                }
                Decision::Later { after } => return Err(Refused::Later { after }),
                Decision::Never => return Err(Refused::Never),
            };
            let charged = Charged {
                wait: Ticks::ZERO,
                tat: new,
                receipt: Receipt {
                    at: now,
                    after: new,
                    cost,
                    interval: quota.interval(),
                    refunded,
                },
            };
            if cost == 0 {
                return Ok(charged);
            }
            match self.replace(word, new.0) {
                Ok(()) => return Ok(charged),
                Err(other) => word = other,
            }
        }
    }

    /// The same of a bucket that is waited for, or for a caller that will wait.
    #[cold]
    fn charge_in_turn(
        &self,
        quota: &Quota,
        now: Ticks,
        cost: u64,
        patience: Ticks,
        dues: &Dues,
    ) -> Result<Charged, Refused> {
        let mut queue = dues.queue.lock();
        let refunded = dues.refunded();
        let waited_for = queue.is_waited_in(now);
        // Acquire: see `read`.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & SEALED != 0 {
                return Err(Refused::Sealed);
            }
            let tat = Ticks(word & !WAITED_FOR);
            let (new, wait) = match gcra::decide(tat, now, quota, cost, patience) {
                Decision::Admit { tat, wait } => (tat, wait),
                Decision::Later { after } => return Err(Refused::Later { after }),
                Decision::Never => return Err(Refused::Never),
            };
            let turn = now.plus(wait);
            let last = queue.last().is_none_or(|last| last <= turn);
            let charged = Charged {
                wait,
                tat: new,
                receipt: Receipt {
                    at: turn,
                    after: if last { new } else { Ticks::ZERO },
                    cost,
                    interval: quota.interval(),
                    refunded,
                },
            };
            if cost == 0 {
                return Ok(charged);
            }
            let waits = wait > Ticks::ZERO;
            let bit = if waits || waited_for { WAITED_FOR } else { 0 };
            match self.replace(word, new.0 | bit) {
                Ok(()) if waits => {
                    queue.give(now, turn, quota.interval().times(cost));
                    return Ok(charged);
                }
                Ok(()) => return Ok(charged),
                Err(other) => word = other,
            }
        }
    }

    /// What [`Self::charge`] would say, without writing.
    pub(crate) fn peek(
        &self,
        quota: &Quota,
        now: Ticks,
        cost: u64,
        patience: Ticks,
    ) -> Result<Ticks, Refused> {
        let tat = self.read().map_err(|Sealed| Refused::Sealed)?;
        match gcra::decide(tat, now, quota, cost, patience) {
            Decision::Admit { wait, .. } => Ok(wait),
            Decision::Later { after } => Err(Refused::Later { after }),
            Decision::Never => Err(Refused::Never),
        }
    }

    /// Spends what is already gone, into debt if need be.
    pub(crate) fn debit(&self, quota: &Quota, now: Ticks, cost: u64) -> Result<(), Sealed> {
        self.update(|tat| gcra::debit(tat, now, quota, cost))
            .map(|_| ())
    }

    /// Gives `tokens` of a charge of this word back, as far as nothing else has; how much
    /// time that was.
    pub(crate) fn refund(
        &self,
        quota: &Quota,
        now: Ticks,
        receipt: &Receipt,
        tokens: u64,
        dues: &Dues,
    ) -> Result<Ticks, Sealed> {
        let mut queue = dues.queue.lock();
        let refunded = if planted(Bug::RefundsUntold) {
            receipt.refunded
        } else {
            dues.refunded()
        };
        let back = if planted(Bug::RefundUnclamped) {
            quota.interval().times(tokens)
        } else {
            gcra::refund(receipt, tokens, now, Since::Same { refunded }, quota)
        };
        if receipt.waits(now) && tokens >= receipt.cost {
            queue.left(receipt.at);
        }
        self.lower(receipt, back, dues, queue.floor(now))
    }

    /// The same of a charge of a predecessor, since when a token cost `fastest` at least.
    pub(crate) fn refund_predecessor(
        &self,
        quota: &Quota,
        now: Ticks,
        receipt: &Receipt,
        tokens: u64,
        fastest: Ticks,
        dues: &Dues,
    ) -> Result<Ticks, Sealed> {
        let mut queue = dues.queue.lock();
        let back = gcra::refund(receipt, tokens, now, Since::Rerated { fastest }, quota);
        self.lower(receipt, back, dues, queue.floor(now))
    }

    /// The turn of a charge of this word has come: see [`gcra::early`].
    pub(crate) fn turn_came(
        &self,
        now: Ticks,
        receipt: &Receipt,
        turn: Ticks,
        dues: &Dues,
    ) -> Result<(), Sealed> {
        let mut queue = dues.queue.lock();
        if receipt.at >= turn {
            if receipt.cost > 0 {
                queue.came(receipt.at);
            }
            return self.read().map(|_| ());
        }
        let early = gcra::early(receipt, turn, dues.refunded());
        if early == Ticks::ZERO || planted(Bug::TurnsUncharged) {
            return Ok(());
        }
        self.update(|tat| tat.max(now).plus(early)).map(|_| ())
    }

    /// By `back` at most, and not below `floor`, with the lock held; by how much.
    fn lower(
        &self,
        receipt: &Receipt,
        back: Ticks,
        dues: &Dues,
        floor: Ticks,
    ) -> Result<Ticks, Sealed> {
        let restored = receipt.after.minus(receipt.interval.times(receipt.cost));
        let floor = if planted(Bug::FloorForgotten) {
            Ticks::ZERO
        } else {
            floor
        };
        let (was, is) = self.update(|tat| {
            if planted(Bug::UndoRestores) {
                restored
            } else {
                tat.minus(back).max(floor.min(tat))
            }
        })?;
        let back = was.minus(is);
        // Release: whoever reads it sees the word lowered.
        dues.refunded.fetch_add(back.0, Ordering::Release);
        Ok(back)
    }

    /// What it said, and what it says now. Whether it is waited for stays as it is.
    fn update(&self, change: impl Fn(Ticks) -> Ticks) -> Result<(Ticks, Ticks), Sealed> {
        // Acquire: see `read`.
        let mut word = self.word.load(Ordering::Acquire);
        while word & SEALED == 0 {
            let was = Ticks(word & !WAITED_FOR);
            let is = change(was);
            match self.replace(word, is.0 | (word & WAITED_FOR)) {
                Ok(()) => return Ok((was, is)),
                Err(other) => word = other,
            }
        }
        Err(Sealed)
    }

    /// Or what it is instead.
    #[inline]
    fn replace(&self, word: u64, new: u64) -> Result<(), u64> {
        if planted(Bug::ChargeUnchecked) {
            self.word.store(new, Ordering::Relaxed);
            return Ok(());
        }
        // Relaxed: the word alone counts, and nothing is published with it. Acquire
        // when it failed: it may have been the seal.
        self.word
            .compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Acquire)
            .map(|_| ())
    }

    /// Ends this bucket: what it said last, for its successor. Idempotent.
    pub(crate) fn seal(&self) -> Ticks {
        // Release: the successor, set before. Acquire: see `read`.
        let word = self.word.fetch_or(SEALED, Ordering::AcqRel);
        Ticks(word & !(SEALED | WAITED_FOR))
    }

    /// Takes over from `old`, once; sealing it if nobody has yet.
    pub(crate) fn adopt(&self, old: &Self, now: Ticks, from: Option<&Quota>, to: Option<&Quota>) {
        let tat = if planted(Bug::AdoptUnsealed) {
            old.read().unwrap_or(Ticks::ZERO)
        } else {
            old.seal()
        };
        let tat = match (from, to) {
            (Some(from), Some(to)) => gcra::rerate(tat, now, from, to),
            // While nothing was counted the old debt went on running off.
            _ => tat,
        };
        // Relaxed: the first adoption counts, whoever made it; nothing else is
        // published with it.
        let _adopted_before =
            self.word
                .compare_exchange(PENDING, tat.0, Ordering::Relaxed, Ordering::Relaxed);
    }
}
