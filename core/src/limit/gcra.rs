//! The arithmetic of a token bucket, without its atomics.
//!
//! GCRA (ITU-T I.371; the virtual scheduling form): a bucket is one point in time,
//! its *theoretical arrival time* (`tat`), when it will be full again. With `T` the
//! time of one token and `BT` that of the burst:
//!
//! ```text
//!   base = max(tat, now)      new = base + n·T      admit iff now ≥ new − BT
//! ```
//!
//! Three liberties. A caller with patience `p` is admitted iff its turn comes by
//! `now + p`; it is charged at once and sleeps until then, so whoever comes later
//! finds the bucket spent and waits behind it: a queue without a queue. A refund
//! gives back at most what refill and other refunds have not given back already. And what was spent is
//! kept when the rate changes: tokens missing stay missing, at the new price each.
//!
//! A clock that goes backwards makes `base` later than `now`: it admits less, never
//! more.

use super::quota::{Quota, Ticks};

/// What a charge of some tokens comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// May be spent, at `now + wait`.
    Admit {
        /// The bucket's word afterwards.
        tat: Ticks,
        /// At most the caller's patience.
        wait: Ticks,
    },
    /// Not yet: the same will be admitted `after` from now if nobody else spends.
    Later { after: Ticks },
    /// Not ever: it is more than the bucket holds when full.
    Never,
}

#[inline]
pub(crate) fn decide(
    tat: Ticks,
    now: Ticks,
    quota: &Quota,
    cost: u64,
    patience: Ticks,
) -> Decision {
    if cost > quota.burst() {
        return Decision::Never;
    }
    let new = tat.max(now).plus(quota.interval().times(cost));
    let wait = new.minus(quota.tolerance()).minus(now);
    if wait > patience {
        Decision::Later { after: wait }
    } else {
        Decision::Admit { tat: new, wait }
    }
}

/// Takes tokens that were already spent: the bucket may be left in debt.
pub(crate) fn debit(tat: Ticks, now: Ticks, quota: &Quota, cost: u64) -> Ticks {
    tat.max(now).plus(quota.interval().times(cost))
}

/// Whole tokens that could be spent now.
pub(crate) fn remaining(tat: Ticks, now: Ticks, quota: &Quota) -> u64 {
    let spent = tat.minus(now);
    quota.tolerance().minus(spent).0 / quota.interval().0
}

/// How long until the bucket is full.
pub(crate) fn until_full(tat: Ticks, now: Ticks) -> Ticks {
    tat.minus(now)
}

/// A charge, as its refund needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When it was charged, or its caller's turn at this bucket.
    pub(crate) at: Ticks,
    /// The bucket's word right after; zero if it counts tokens of callers whose turns
    /// may come later than this.
    pub(crate) after: Ticks,
    /// The tokens.
    pub(crate) cost: u64,
    /// The price of each then.
    pub(crate) interval: Ticks,
    /// All that was ever refunded to the bucket, read before the charge.
    pub(crate) refunded: Ticks,
}

impl Receipt {
    /// Whether its caller is among those who wait for the bucket. Who asks for nothing
    /// may have to wait as well, and is none of them.
    pub(crate) fn waits(&self, now: Ticks) -> bool {
        self.at > now && self.cost > 0
    }

    /// What is left of it when `tokens` of it were handed back, `back` of their time by
    /// a refund: as if it had been for so many fewer from the outset. Refunds of what is
    /// left add up to less than one of all, never more.
    pub(crate) fn less(&mut self, tokens: u64, back: Ticks) {
        let tokens = tokens.min(self.cost);
        self.cost -= tokens;
        self.after = self.after.minus(self.interval.times(tokens));
        self.refunded = self.refunded.plus(back);
    }
}

/// What became of a bucket since a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// It is the same, and has been refunded so much since it began.
    Same { refunded: Ticks },
    /// Another took over, and `fastest` is the least price of a token since the charge.
    Rerated { fastest: Ticks },
}

/// The time that giving `tokens` of a charge back takes off the bucket's word, now
/// and at today's price: at most what the bucket has spent that it would not have spent
/// without the charge.
///
/// That a refund must be told of those before it is easily missed: two that are both
/// held and both handed back then mint the time by which they overlap.
///
/// Of a bucket that was taken over since, refunds are not known. Then all refill since
/// counts as this charge's, at the fastest rate of that time: less may come back than
/// could, never more.
pub(crate) fn refund(
    receipt: &Receipt,
    tokens: u64,
    now: Ticks,
    since: Since,
    quota: &Quota,
) -> Ticks {
    let (then, today) = (receipt.interval, quota.interval());
    let cost = then.times(receipt.cost);
    let left = match since {
        Since::Same { refunded } => left(receipt, now, refunded),
        Since::Rerated { fastest } => {
            let elapsed = now.minus(receipt.at);
            cost.minus(elapsed.rescaled(fastest, then))
        }
    };
    let left = left.min(then.times(tokens.min(receipt.cost)));
    // Down, where `rescaled` goes up: a refund is never rounded into a token.
    let scaled = u128::from(left.0) * u128::from(today.0) / u128::from(then.0.max(1));
    Ticks(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// What of a charge had come back when its caller's turn came, because that of another
/// bucket was later: the caller goes on only then, so that is charged again.
pub(crate) fn early(receipt: &Receipt, turn: Ticks, refunded: Ticks) -> Ticks {
    let cost = receipt.interval.times(receipt.cost);
    cost.minus(left(receipt, turn, refunded))
}

/// What of a charge is surely still spent: the more of two reckonings, neither of which
/// is ever too much. What came before a charge comes back before it: then there is left
/// what stands between now and the word as the charge left it, less all refunds since,
/// because one to somebody ahead brings this one's turn forward. Or all refill since
/// was this charge's.
fn left(receipt: &Receipt, now: Ticks, refunded: Ticks) -> Ticks {
    let cost = receipt.interval.times(receipt.cost);
    let since = refunded.minus(receipt.refunded);
    let in_turn = receipt.after.minus(since).minus(now).min(cost);
    let at_once = cost.minus(now.minus(receipt.at));
    in_turn.max(at_once)
}

/// The word of the same bucket at another price: what was spent stays spent, debt too.
pub(crate) fn rerate(tat: Ticks, now: Ticks, from: &Quota, to: &Quota) -> Ticks {
    if tat <= now {
        return tat;
    }
    now.plus(tat.minus(now).rescaled(from.interval(), to.interval()))
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
