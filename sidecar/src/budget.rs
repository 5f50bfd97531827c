//! Bytes in flight: what callers make the process hold beside the cache.
//!
//! A message being received is charged whole as soon as its length is known, and a
//! reply until the connection has written it, so both can always come to their
//! end: nothing that was admitted waits for room. What does not fit is refused at
//! once and never queued.
//!
//! ```text
//!  Budget ── one a process: `taken`, never above `limit` but for `owe`
//!    └ Share ── one a worker: takes from the budget in chunks, keeps some spare
//!        └ Charge ── one a call, gives back when dropped
//! ```
//!
//! Invariant: `taken` = Σ `spare` + Σ charges. Between calls a share may keep two
//! chunks spare, so up to that much of another worker's share is not to be had.
//!
//! Cost: a small call moves its own worker's word, which no other core touches; only
//! what exceeds the spare goes to the one word that all share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a share takes at once at most.
const MAX_CHUNK: u64 = 64 << 10;
/// The shares together keep spare at most a fourth of the budget: two chunks each.
const SPARE_PART: u64 = 8;

/// The bytes of the whole process. See the module.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    chunk: u64,
    taken: AtomicU64,
    /// Charges, since the start.
    refused: AtomicU64,
}

// Relaxed throughout: the words count, and publish nothing.
impl Budget {
    pub(crate) fn new(limit: u64, shares: usize) -> Arc<Self> {
        let shares = u64::try_from(shares).unwrap_or(u64::MAX).max(1);
        Arc::new(Self {
            limit,
            chunk: (limit / SPARE_PART / shares).min(MAX_CHUNK),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// How often there was no room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                let taken = taken.checked_add(bytes)?;
                (taken <= self.limit).then_some(taken)
            });
        taken.is_ok()
    }
}

/// One worker's part of the budget.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    spare: AtomicU64,
}

impl Share {
    pub(crate) fn of(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            spare: AtomicU64::new(0),
        })
    }

    /// Bytes charged to all of these shares, which are all there are.
    pub(crate) fn charged(budget: &Budget, shares: &[Arc<Self>]) -> u64 {
        let spare: u64 = shares
            .iter()
            .map(|share| share.spare.load(Ordering::Relaxed))
            .sum();
        budget.taken().saturating_sub(spare)
    }

    fn take(&self, bytes: u64) -> bool {
        let own = self
            .spare
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spare| {
                spare.checked_sub(bytes)
            });
        if own.is_ok() {
            return true;
        }
        let chunk = self.budget.chunk;
        if self.budget.take(bytes.saturating_add(chunk)) {
            self.spare.fetch_add(chunk, Ordering::Relaxed);
            return true;
        }
        let spare = self.spare.swap(0, Ordering::Relaxed);
        // What others gave back meanwhile may be more than is asked for.
        if spare >= bytes {
            self.spare.fetch_add(spare - bytes, Ordering::Relaxed);
            return true;
        }
        let taken = self.budget.take(bytes - spare);
        if !taken {
            self.spare.fetch_add(spare, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self, bytes: u64) {
        let spare = self.spare.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let keep = self.budget.chunk;
        if spare <= 2 * keep {
            return;
        }
        let excess = spare - keep;
        let given = self
            .spare
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spare| {
                spare.checked_sub(excess)
            });
        if given.is_ok() {
            self.budget.taken.fetch_sub(excess, Ordering::Relaxed);
        }
    }
}

/// Bytes that are held; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    share: Arc<Share>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    pub(crate) fn on(share: &Arc<Share>) -> Self {
        Self {
            share: Arc::clone(share),
            bytes: 0,
        }
    }

    pub(crate) fn held(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` more, if there is room.
    #[must_use = "without room the call is refused"]
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let taken = self.take(bytes);
        if !taken {
            self.share.budget.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn take(&mut self, bytes: u64) -> bool {
        let taken = self.share.take(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Holds `bytes` more, room or not: for the answer to a call that has already
    /// taken effect.
    pub(crate) fn owe(&mut self, bytes: u64) {
        if !self.take(bytes) {
            self.share.budget.taken.fetch_add(bytes, Ordering::Relaxed);
            self.bytes += bytes;
        }
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if self.bytes > bytes {
            self.share.give_back(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(limit: u64, count: usize) -> (Arc<Budget>, Vec<Arc<Share>>) {
        let budget = Budget::new(limit, count);
        let shares = (0..count).map(|_| Share::of(&budget)).collect();
        (budget, shares)
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_given_back_can_be_had_again() {
        let (budget, shares) = shares(1 << 20, 2);
        let mut one = Charge::on(&shares[0]);
        assert!(one.grow(700 << 10));
        let mut two = Charge::on(&shares[1]);
        assert!(!two.grow(700 << 10));
        assert_eq!(Share::charged(&budget, &shares), 700 << 10);
        drop(one);
        assert!(two.grow(700 << 10));
        drop(two);
        assert_eq!(Share::charged(&budget, &shares), 0);
    }

    #[test]
    fn one_share_can_take_all_but_what_others_keep_spare() {
        const LIMIT: u64 = 1 << 20;
        let (budget, shares) = shares(LIMIT, 2);
        for share in &shares {
            let mut small = Charge::on(share);
            assert!(small.grow(1));
        }
        let mut large = Charge::on(&shares[0]);
        assert!(large.grow(LIMIT - LIMIT / SPARE_PART));
        assert!(!Charge::on(&shares[1]).grow(LIMIT / SPARE_PART + 1));
        assert!(budget.taken() <= LIMIT);
    }

    #[test]
    fn small_charges_come_from_the_workers_own_word() {
        let (budget, shares) = shares(64 << 20, 1);
        let mut first = Charge::on(&shares[0]);
        assert!(first.grow(100));
        let taken = budget.taken();
        for _ in 0..1_000 {
            let mut small = Charge::on(&shares[0]);
            assert!(small.grow(2_000));
        }
        assert_eq!(budget.taken(), taken);
    }

    #[test]
    fn an_answer_that_is_owed_is_charged_beyond_the_limit_and_given_back() {
        let (budget, shares) = shares(1_000, 1);
        let mut charge = Charge::on(&shares[0]);
        charge.owe(5_000);
        assert_eq!(Share::charged(&budget, &shares), 5_000);
        assert!(!Charge::on(&shares[0]).grow(1));
        drop(charge);
        assert_eq!(Share::charged(&budget, &shares), 0);
    }

    #[test]
    fn nothing_is_lost_when_threads_charge_one_share() {
        let (budget, shares) = shares(1 << 20, 1);
        std::thread::scope(|scope| {
            for step in 1..=4 {
                let share = &shares[0];
                scope.spawn(move || {
                    for bytes in 0..20_000 {
                        let mut charge = Charge::on(share);
                        if charge.grow(bytes * step) {
                            charge.shrink_to(bytes);
                        }
                    }
                });
            }
        });
        assert_eq!(Share::charged(&budget, &shares), 0);
        assert!(Charge::on(&shares[0]).grow(1 << 20));
    }
}
