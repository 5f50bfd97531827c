//! Charging what a screening has found to be there, and undoing it.

use std::sync::Arc;

use super::{Ask, CHANGES, Limiter, Party, Touched, Whose};
use crate::limit::keys::{KeyReceipt, KeyTable, Tag};
use crate::limit::ledger::Spent;
use crate::limit::levels::{Paid, PaidReceipt, Payments};
use crate::limit::quota::Ticks;
use crate::limit::word::Refused;
use crate::sync::AtomicBool;

/// What charging came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spending {
    Spent,
    /// Another call came between. Undone.
    Lost,
    /// Undone, and to be done again.
    Sealed,
}

impl Limiter {
    /// Charges every bucket, the firm ones first, or none.
    pub(super) fn spend(
        &self,
        parties: &[Party<'_>],
        tables: &[Arc<KeyTable>],
        touched: &mut [Touched<'_>],
        now: Ticks,
    ) -> Spending {
        let mut paid: Vec<_> = parties.iter().map(|_| Payments::new()).collect();
        let mut paid_keys: Vec<(usize, Tag, KeyReceipt)> = Vec::new();
        let mut came = Spending::Spent;
        'all: for firm in [true, false] {
            let to_charge =
                |level: &&mut Touched<'_>| level.firm == firm && level.cost > 0 && !level.overdraw;
            for level in touched.iter_mut().filter(to_charge) {
                match (
                    level.bucket.charge(now, level.cost, Ticks::ZERO),
                    level.whose,
                ) {
                    (Ok((_, receipt)), Whose::Party(party, id)) => {
                        paid[party].push(Paid { id, receipt });
                    }
                    (Ok((_, PaidReceipt::Key(receipt))), Whose::Table(table, tag)) => {
                        paid_keys.push((table, tag, receipt));
                    }
                    (Ok(_), Whose::Table(..)) => {}
                    (Err(Refused::Sealed), _) => {
                        came = Spending::Sealed;
                        break 'all;
                    }
                    (Err(refused), _) => {
                        level.said = Err(refused);
                        if firm {
                            came = Spending::Lost;
                            break 'all;
                        }
                    }
                }
            }
        }
        if came != Spending::Spent {
            for (table, tag, receipt) in &paid_keys {
                tables[*table].refund(*tag, now, receipt, receipt.receipt.cost);
            }
            for (party, paid) in parties.iter().zip(&paid) {
                if let Some(plan) = party.plan {
                    let spent = Spent {
                        entry: Arc::clone(&party.entry),
                        plan,
                        paid: paid.iter().copied().collect(),
                        came: AtomicBool::new(false),
                    };
                    self.undo(&spent, now);
                }
            }
        }
        came
    }

    /// Charges what has happened already.
    pub(super) fn overdraw(&self, ask: &Ask<'_>, tag: Tag, now: Ticks) {
        if ask.cost == 0 {
            return;
        }
        for _ in 0..CHANGES {
            let Ok(entry) = self.directory.resolve(ask.tenant) else {
                return;
            };
            let table = self.table(&entry, ask, now);
            if table.is_none_or(|table| table.debit(tag, now, ask.cost)) {
                return;
            }
        }
    }
}
