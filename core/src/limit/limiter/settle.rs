//! What goes back, and what is charged afterwards.
//!
//! A charge is settled on the tenant as it is now: its buckets may have been taken
//! over since. Then all refill since counts as this charge's, at the faster of the two
//! rates; and when the rates changed more than once nothing goes back, because nobody
//! knows what refill has given meanwhile. So no change of rates makes a refund worth more
//! than what was spent.

use std::fmt;
use std::sync::Arc;

use super::Limiter;
use crate::cache::TenantId;
use crate::fence::Token;
use crate::limit::ledger::Spent;
use crate::limit::levels::{LevelId, Paid, PaidReceipt};
use crate::limit::quota::{Quota, Ticks};
use crate::limit::replay::RequestId;
use crate::limit::reservation::Settled;
use crate::limit::word::{Dues, Sealed, Word};
use crate::sync::Ordering;
use crate::tenant::Entry;

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is settled now.
    Done,
    /// Its hold had ended. A commit was charged whole; a release had nothing left to
    /// give back.
    Late,
    /// The same was settled before: nothing changed.
    Repeated,
    /// It was settled otherwise, or is not known: nothing changed.
    Void,
}

/// A settlement that does not fit its reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleError {
    /// Costs that were given.
    pub costs: usize,
    /// Charges that were reserved.
    pub charges: usize,
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "costs: {} of them, expected one for each of the {} charges",
            self.costs, self.charges
        )
    }
}

impl std::error::Error for SettleError {}

impl Limiter {
    /// Settles a reservation to the real cost of each of its charges.
    ///
    /// # Errors
    /// When there is not one cost for each charge; then it stays held.
    pub fn commit(
        &self,
        tenant: &TenantId,
        reservation: Token,
        costs: &[u64],
    ) -> Result<Settlement, SettleError> {
        let settled = self.ledgers.look(tenant, |ledger| {
            if let Some(spent) = ledger.reservations.get(reservation)
                && spent.plan.at(costs).is_none()
            {
                return Err(SettleError {
                    costs: costs.len(),
                    charges: spent.plan.len(),
                });
            }
            Ok(ledger.reservations.commit(reservation))
        });
        let now = self.now();
        Ok(match settled.transpose()?.unwrap_or(Settled::Void) {
            Settled::Held(spent) => {
                self.settle(&spent, costs, true, now);
                Settlement::Done
            }
            Settled::Ended(spent) => {
                self.settle(&spent, costs, false, now);
                Settlement::Late
            }
            Settled::Again => Settlement::Repeated,
            Settled::Void => Settlement::Void,
        })
    }

    /// Gives a reservation's tokens back, as far as refill has not.
    pub fn release(&self, tenant: &TenantId, reservation: Token) -> Settlement {
        let settled = self
            .ledgers
            .look(tenant, |ledger| ledger.reservations.release(reservation));
        match settled.unwrap_or(Settled::Void) {
            Settled::Held(spent) => {
                self.undo(&spent, self.now());
                Settlement::Done
            }
            Settled::Ended(_) => Settlement::Late,
            Settled::Again => Settlement::Repeated,
            Settled::Void => Settlement::Void,
        }
    }

    /// Ends reservations whose time is over and forgets retries that are old. To be
    /// called about every 100 ms; until then tokens whose hold has ended stay spent.
    /// Whether there may be more to sweep later.
    pub fn sweep(&self) -> bool {
        if self.ledgers.len() == 0 {
            return false;
        }
        let now = self.now();
        self.ledgers.sweep(now, |spent| self.undo(spent, now));
        self.ledgers.len() > 0
    }

    /// Drops full buckets of keys, over all tenants. To be called every few seconds:
    /// it makes the room that keys which come and go have taken.
    pub fn sweep_keys(&self) {
        let now = self.now();
        self.directory
            .for_each(|entry| entry.each_table(|table| table.sweep(now)));
        self.tables.sweep(now);
    }

    /// Takes what was counted into the hour if a window of 10 s is over. To be called
    /// about every second.
    pub fn roll(&self) {
        self.meters.roll(self.now());
    }

    /// Forgets what a tenant's calls left behind: its reservations are void, its
    /// retries spend again, and nothing is told of them in its name. For a tenant that is
    /// purged.
    pub fn forget(&self, tenant: &TenantId) {
        self.ledgers.forget(tenant);
        self.meters.forget(tenant);
    }

    /// A caller leaves before its turn.
    pub(super) fn leave(
        &self,
        spent: &Spent,
        named: Option<&(TenantId, RequestId)>,
        reservation: Option<&(TenantId, Token)>,
    ) {
        if let Some((tenant, id)) = named {
            let last = self
                .ledgers
                .look(tenant, |ledger| ledger.replays.leave(*id));
            if last == Some(false) {
                return;
            }
        }
        match reservation {
            Some((tenant, token)) => {
                let _settled = self.release(tenant, *token);
            }
            None => self.undo(spent, self.now()),
        }
    }

    /// Gives some of a charge back, as far as refill has not; more of it may go back
    /// later.
    pub(in crate::limit) fn hand_back(&self, charged: &Arc<Entry>, paid: &mut [Paid], tokens: u64) {
        let now = self.now();
        for paid in paid {
            let back = self.refund(charged, paid, tokens, now);
            paid.receipt.less(tokens, back);
        }
    }

    /// The turn of a call that waited has come, once for all its callers. What came back
    /// of its charge before that, because others were refunded, is charged again: it is
    /// spent only now. By a bucket that was taken over since, turns are not looked at.
    pub(super) fn turn_came(&self, spent: &Spent, turn: Ticks) {
        // Relaxed: the first of them, whoever it is.
        if spent.came.swap(true, Ordering::Relaxed) {
            return;
        }
        // As the buckets count it: what the caller was told is rounded up.
        let turns = spent.paid.iter().map(|paid| paid.receipt.turn());
        let turn = turns.max().unwrap_or(turn);
        let (now, entry) = (self.now(), &spent.entry);
        for paid in &spent.paid {
            // Sealed: the change has carried over what was spent.
            let _settled = match (paid.id, &paid.receipt) {
                (LevelId::Own, PaidReceipt::Word(receipt)) => {
                    let word = &entry.request;
                    word.turn_came(now, receipt, turn, &entry.dues)
                }
                (LevelId::Total(place), PaidReceipt::Word(receipt)) => {
                    let came = entry.named(place, |named| {
                        let dues = &named.dues;
                        named.total.turn_came(now, receipt, turn, dues)
                    });
                    came.and_then(|came| came)
                }
                (LevelId::Key(place, tag), PaidReceipt::Key(receipt)) => {
                    entry.named(place, |named| {
                        if let Some(table) = named.table() {
                            table.turn_came(tag, now, receipt, turn);
                        }
                    })
                }
                _ => Ok(()),
            };
        }
    }

    /// Gives all of a charge back, as far as refill has not.
    pub(super) fn undo(&self, spent: &Spent, now: Ticks) {
        for paid in &spent.paid {
            self.refund(&spent.entry, paid, paid.receipt.cost(), now);
        }
    }

    /// Charges real costs, where `held` says whether what was paid is still paid.
    fn settle(&self, spent: &Spent, costs: &[u64], held: bool, now: Ticks) {
        let Some(real) = spent.plan.at(costs) else {
            return;
        };
        let levels = real.levels(spent.entry.profile());
        for paid in &spent.paid {
            let real = levels.iter().find(|(id, _)| *id == paid.id);
            let real = real.map_or(0, |(_, cost)| *cost);
            let paid_for = if held { paid.receipt.cost() } else { 0 };
            if real < paid_for {
                self.refund(&spent.entry, paid, paid_for - real, now);
            } else if real > paid_for {
                self.debit(&spent.entry, paid.id, real - paid_for, now);
            }
        }
    }

    /// How much time went back.
    fn refund(&self, charged: &Arc<Entry>, paid: &Paid, tokens: u64, now: Ticks) -> Ticks {
        let back = self.on_current(charged, |entry| {
            // One that was removed and put again has its own buckets.
            if entry.number() != charged.number() {
                return entry.request.read().map(|_| Ticks::ZERO);
            }
            let word = |word: &Word, quota: Option<&Quota>, dues: &Dues| {
                let (PaidReceipt::Word(receipt), Some(quota)) = (&paid.receipt, quota) else {
                    return Ok(Ticks::ZERO);
                };
                if std::ptr::eq(entry, &raw const **charged) {
                    return word.refund(quota, now, receipt, tokens, dues);
                }
                if entry.rerated().wrapping_sub(charged.rerated()) > 1 {
                    return word.read().map(|_| Ticks::ZERO);
                }
                let fastest = receipt.interval.min(quota.interval());
                word.refund_predecessor(quota, now, receipt, tokens, fastest, dues)
            };
            match paid.id {
                LevelId::Own => {
                    let quota = entry.profile().request.as_ref();
                    word(&entry.request, quota, &entry.dues)
                }
                LevelId::Total(place) => self.on_limit(charged, entry, place, |place| {
                    let quota = entry.profile().limits[place].total.as_ref();
                    entry.named(place, |named| word(&named.total, quota, &named.dues))?
                }),
                LevelId::Key(place, tag) => self.on_limit(charged, entry, place, |place| {
                    let PaidReceipt::Key(receipt) = &paid.receipt else {
                        return Ok(Ticks::ZERO);
                    };
                    entry.named(place, |named| {
                        let table = named.table();
                        table.map_or(Ticks::ZERO, |table| table.refund(tag, now, receipt, tokens))
                    })
                }),
            }
        });
        back.unwrap_or_default()
    }

    fn debit(&self, charged: &Arc<Entry>, id: LevelId, tokens: u64, now: Ticks) {
        let _debited = self.on_current(charged, |entry| {
            let word = |word: &Word, quota: Option<&Quota>| match quota {
                Some(quota) => word.debit(quota, now, tokens),
                None => Ok(()),
            };
            match id {
                LevelId::Own => word(&entry.request, entry.profile().request.as_ref()),
                LevelId::Total(place) => self.on_limit(charged, entry, place, |place| {
                    let quota = entry.profile().limits[place].total.as_ref();
                    entry.named(place, |named| word(&named.total, quota))?
                }),
                LevelId::Key(place, tag) => self.on_limit(charged, entry, place, |place| {
                    entry.named(place, |named| {
                        if let Some(table) = named.table() {
                            // A profile's tables are never retired.
                            let _charged = table.debit(tag, now, tokens);
                        }
                    })
                }),
            }
        });
    }

    /// The same limit in the profile that is in force now, if it has it.
    fn on_limit<R: Default>(
        &self,
        charged: &Entry,
        entry: &Entry,
        place: usize,
        settle: impl FnOnce(usize) -> Result<R, Sealed>,
    ) -> Result<R, Sealed> {
        let name = &charged.profile().limits[place].name;
        match entry.profile().limit(name.as_str()) {
            Some((place, _)) => settle(place),
            None => entry.request.read().map(|_| R::default()),
        }
    }

    /// Settles on the tenant as it is now. One that is gone has nothing to settle.
    fn on_current<R>(
        &self,
        charged: &Arc<Entry>,
        settle: impl Fn(&Entry) -> Result<R, Sealed>,
    ) -> Option<R> {
        let mut entry = Arc::clone(charged);
        for _ in 0..super::CHANGES {
            if let Ok(settled) = settle(&entry) {
                return Some(settled);
            }
            match self.directory.current(&entry) {
                Ok(current) if current.incarnation() == charged.incarnation() => entry = current,
                _ => return None,
            }
        }
        None
    }
}
