//! A bucket: one word.
//!
//! ```text
//!   63        62                                                     0
//!   ┌────────┬──────────────────────────────────────────────────────────┐
//!   │ sealed │ tat: when the bucket is full again, in 1/16 ns since the │
//!   │        │ origin                                                   │
//!   └────────┴──────────────────────────────────────────────────────────┘
//!   all ones: pending, nothing adopted yet
//! ```
//!
//! The quota stands beside the word, immutable. To change it, a successor is made
//! whose word is pending, the old word is *sealed*, and the successor adopts what
//! the old word says, at the new price. A sealed word never changes again, so what
//! was spent up to the seal is carried over and nothing can be spent after it. The
//! successor can be found before the seal is set: whoever meets the seal may do the
//! adoption itself ([`Word::adopt`]; all but the first do nothing), and nobody waits
//! for a writer that was stopped half-way.
//!
//! Cost: a charge is one load and one compare-and-swap, about 5 ns beside the clock.
//! A denial writes nothing.

use super::gcra::{self, Decision, Receipt, Since};
use super::quota::{Quota, Ticks};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Mutex, Ordering};

#[derive(Debug)]
pub(crate) struct Word {
    word: AtomicU64,
    /// All that was ever refunded. Written after the word was lowered and read before
    /// it is raised, so that a charge knows of no refund that it does not stand behind.
    refunded: AtomicU64,
}

/// Held by whoever refunds to a word: each refund must know of those before it.
pub(crate) type Refunding = Mutex<()>;

const SEALED: u64 = 1 << 63;
const PENDING: u64 = u64::MAX;

/// A charge that went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    /// How long the caller must wait before it acts on it.
    pub(crate) wait: Ticks,
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

impl Word {
    fn new(word: u64) -> Self {
        Self {
            word: AtomicU64::new(word),
            refunded: AtomicU64::new(0),
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
            Ok(Ticks(word))
        } else {
            Err(Sealed)
        }
    }

    /// When the bucket is full again, or was to be when it was sealed.
    pub(crate) fn last(&self) -> Ticks {
        // Relaxed: it orders nothing; a sealed word never changes.
        Ticks(self.word.load(Ordering::Relaxed) & !SEALED)
    }

    /// Spends, or says why not. `cost` 0 writes nothing.
    #[inline]
    pub(crate) fn charge(
        &self,
        quota: &Quota,
        now: Ticks,
        cost: u64,
        patience: Ticks,
    ) -> Result<Charged, Refused> {
        // Before the word, see the field. Acquire: the word is not read earlier.
        let refunded = Ticks(self.refunded.load(Ordering::Acquire));
        let mut tat = self.read().map_err(|Sealed| Refused::Sealed)?;
        loop {
            let (new, wait) = match gcra::decide(tat, now, quota, cost, patience) {
                Decision::Admit { tat, wait } => (tat, wait),
                Decision::Later { after } => return Err(Refused::Later { after }),
                Decision::Never => return Err(Refused::Never),
            };
            let charged = Charged {
                wait,
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
            match self.replace(tat, new) {
                Ok(()) => return Ok(charged),
                Err(Ok(other)) => tat = other,
                Err(Err(Sealed)) => return Err(Refused::Sealed),
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
    }

    /// Gives `tokens` of a charge of this word back, as far as nothing else has; how much
    /// time that was.
    pub(crate) fn refund(
        &self,
        quota: &Quota,
        now: Ticks,
        receipt: &Receipt,
        tokens: u64,
        turn: &Refunding,
    ) -> Result<Ticks, Sealed> {
        let _turn = turn.lock();
        let refunded = if planted(Bug::RefundsUntold) {
            receipt.refunded
        } else {
            // Relaxed: refunds take turns, by the lock.
            Ticks(self.refunded.load(Ordering::Relaxed))
        };
        let back = if planted(Bug::RefundUnclamped) {
            quota.interval().times(tokens)
        } else {
            gcra::refund(receipt, tokens, now, Since::Same { refunded }, quota)
        };
        self.lower(receipt, back)?;
        Ok(back)
    }

    /// The same of a charge of a predecessor, since when a token cost `fastest` at least.
    pub(crate) fn refund_predecessor(
        &self,
        quota: &Quota,
        now: Ticks,
        receipt: &Receipt,
        tokens: u64,
        fastest: Ticks,
        turn: &Refunding,
    ) -> Result<Ticks, Sealed> {
        let _turn = turn.lock();
        let back = gcra::refund(receipt, tokens, now, Since::Rerated { fastest }, quota);
        self.lower(receipt, back)?;
        Ok(back)
    }

    /// The turn of a charge of this word has come: see [`gcra::early`].
    pub(crate) fn turn_came(
        &self,
        now: Ticks,
        receipt: &Receipt,
        turn: Ticks,
        refunding: &Refunding,
    ) -> Result<(), Sealed> {
        let _turn = refunding.lock();
        // Relaxed: as above.
        let refunded = Ticks(self.refunded.load(Ordering::Relaxed));
        let early = gcra::early(receipt, turn, refunded);
        if early == Ticks::ZERO || planted(Bug::TurnsUncharged) {
            return Ok(());
        }
        self.update(|tat| tat.max(now).plus(early))
    }

    /// With the turn held.
    fn lower(&self, receipt: &Receipt, back: Ticks) -> Result<(), Sealed> {
        let restored = receipt.after.minus(receipt.interval.times(receipt.cost));
        self.update(|tat| {
            if planted(Bug::UndoRestores) {
                restored
            } else {
                tat.minus(back)
            }
        })?;
        // Release: whoever reads it sees the word lowered.
        self.refunded.fetch_add(back.0, Ordering::Release);
        Ok(())
    }

    fn update(&self, change: impl Fn(Ticks) -> Ticks) -> Result<(), Sealed> {
        let mut tat = self.read()?;
        loop {
            match self.replace(tat, change(tat)) {
                Ok(()) => return Ok(()),
                Err(Ok(other)) => tat = other,
                Err(Err(sealed)) => return Err(sealed),
            }
        }
    }

    #[inline]
    fn replace(&self, tat: Ticks, new: Ticks) -> Result<(), Result<Ticks, Sealed>> {
        if planted(Bug::ChargeUnchecked) {
            self.word.store(new.0, Ordering::Relaxed);
            return Ok(());
        }
        // Relaxed: the word alone counts, and nothing is published with it. Acquire
        // when it failed: it may have been the seal.
        match self
            .word
            .compare_exchange_weak(tat.0, new.0, Ordering::Relaxed, Ordering::Acquire)
        {
            Ok(_) => Ok(()),
            Err(word) if word & SEALED == 0 => Err(Ok(Ticks(word))),
            Err(_) => Err(Err(Sealed)),
        }
    }

    /// Ends this bucket: what it said last, for its successor. Idempotent.
    pub(crate) fn seal(&self) -> Ticks {
        // Release: the successor, set before. Acquire: see `read`.
        let word = self.word.fetch_or(SEALED, Ordering::AcqRel);
        Ticks(word & !SEALED)
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
