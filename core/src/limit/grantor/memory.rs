//! A fleet's buckets in memory: the model of every grantor, with its faults at hand.

use std::collections::HashMap;
use std::time::Duration;

use super::{FleetAsk, FleetGiven, Grantor, GrantorError, GrantorFuture};
use crate::cache::TenantId;
use crate::clock::{Clock, Time};
use crate::fence::Boot;
use crate::limit::LEAST_TIME;
use crate::limit::gcra::{self, Receipt, Since};
use crate::limit::quota::{Quota, Ticks};
use crate::planted::{Bug, planted};
use crate::sync::Mutex;

/// How long tokens live.
pub const LIVES: Duration = Duration::from_secs(2);

/// What goes wrong with the next asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// They do not come through.
    Away,
    /// They are done, and the answers are lost.
    AnswerLost,
}

/// Every bucket of a fleet.
#[derive(Debug)]
pub struct MemoryGrantor {
    clock: Clock,
    origin: Time,
    state: Mutex<State>,
}

type Name = (TenantId, String, Vec<u8>);

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    buckets: HashMap<Name, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    quota: Quota,
    tat: Ticks,
    refunded: Ticks,
    holders: HashMap<Boot, Holder>,
}

#[derive(Debug)]
struct Holder {
    granted: u64,
    settled: u64,
    /// What is left of each charge.
    lots: Vec<Receipt>,
}

impl MemoryGrantor {
    /// One that has just begun, by this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            origin: clock.now(),
            clock,
            state: Mutex::new(State::default()),
        }
    }

    /// What goes wrong from now on.
    pub fn suffer(&self, fault: Fault) {
        self.state.lock().fault = fault;
    }

    /// Everything is forgotten, as by a store that restarts empty.
    pub fn restart(&self) {
        self.state.lock().buckets.clear();
    }

    fn now(&self) -> Ticks {
        Ticks::between(self.origin, self.clock.now())
    }

    fn decide(&self, ask: &FleetAsk<'_>) -> Result<FleetGiven, GrantorError> {
        let now = self.now();
        let state = &mut *self.state.lock();
        let unanswered = || {
            Err(GrantorError {
                what: "no answer".to_owned(),
            })
        };
        if state.fault == Fault::Away {
            return unanswered();
        }
        let name = (
            ask.bucket.tenant.clone(),
            ask.bucket.limit.to_owned(),
            ask.bucket.key.to_vec(),
        );
        let bucket = state
            .buckets
            .entry(name)
            .or_insert_with(|| Bucket::empty(ask.bucket.quota, now));
        bucket.rerate(ask.bucket.quota, now);
        bucket.report(ask, now);
        let given = bucket.grant(ask, now);
        if state.fault == Fault::AnswerLost {
            return unanswered();
        }
        Ok(given)
    }
}

impl Bucket {
    fn empty(quota: Quota, now: Ticks) -> Self {
        let spent = if planted(Bug::FleetBeginsFull) {
            Ticks::ZERO
        } else {
            quota.tolerance()
        };
        Self {
            quota,
            tat: now.plus(spent),
            refunded: Ticks::ZERO,
            holders: HashMap::new(),
        }
    }

    fn rerate(&mut self, quota: Quota, now: Ticks) {
        if self.quota == quota {
            return;
        }
        self.tat = gcra::rerate(self.tat, now, &self.quota, &quota);
        self.quota = quota;
        // Of other prices nothing comes back.
        for holder in self.holders.values_mut() {
            holder.lots.clear();
        }
    }

    fn report(&mut self, ask: &FleetAsk<'_>, now: Ticks) {
        let Some(holder) = self.holders.get_mut(&ask.holder) else {
            return;
        };
        let counted = ask.returned.min(holder.granted.saturating_sub(ask.used));
        let mut left = counted.saturating_sub(holder.settled);
        // What does not count now never does: another store had granted it.
        holder.settled = holder.settled.max(ask.returned);
        for receipt in holder.lots.iter_mut().rev() {
            let tokens = left.min(receipt.cost);
            let refunded = self.refunded;
            let since = Since::Same { refunded };
            let back = gcra::refund(receipt, tokens, now, since, &self.quota);
            self.tat = self.tat.minus(back);
            self.refunded = self.refunded.plus(back);
            receipt.less(tokens, back);
            left -= tokens;
        }
        holder.lots.retain(|receipt| receipt.cost > 0);
    }

    fn grant(&mut self, ask: &FleetAsk<'_>, now: Ticks) -> FleetGiven {
        let there = gcra::remaining(self.tat, now, &self.quota);
        let least = Ticks::of(LEAST_TIME).0 / self.quota.interval().0;
        let tokens = u64::from(ask.want)
            .min(there)
            .min((there / 2).max(least).max(1));
        // What it says of an earlier grantor's tokens is nothing to this one.
        let holder = self.holders.entry(ask.holder).or_insert_with(|| Holder {
            granted: ask.used.saturating_add(ask.returned),
            settled: ask.returned,
            lots: Vec::new(),
        });
        if tokens > 0 {
            self.tat = gcra::debit(self.tat, now, &self.quota, tokens);
            holder.granted += tokens;
            holder.lots.push(Receipt {
                at: now,
                after: self.tat,
                cost: tokens,
                interval: self.quota.interval(),
                refunded: self.refunded,
            });
        }
        let next = self.tat.plus(self.quota.interval());
        let wait = next.minus(self.quota.tolerance()).minus(now).to_duration();
        FleetGiven {
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            lives: LIVES,
            retry_after: match (ask.want, tokens) {
                (1.., 0) => wait.max(LEAST_TIME),
                _ => Duration::ZERO,
            },
        }
    }
}

impl Grantor for MemoryGrantor {
    fn ask<'a>(&'a self, ask: FleetAsk<'a>) -> GrantorFuture<'a> {
        let answer = self.decide(&ask);
        Box::pin(std::future::ready(answer))
    }
}
