//! Tokens that the sidecar granted to this process.
//!
//! | file | what it owns |
//! |---|---|
//! | `slot` | one bucket's tokens, as whoever spends them sees it |
//! | `demand` | how many to have in hand |
//! | `keeper` | who asks for them and reports |
//! | `session` | one `Grant` stream |
//!
//! Bounded: [`EACH`] buckets for each connection; one that nobody has a handle on and
//! that is not used is forgotten. Cost: about 500 bytes for each.

mod demand;
mod keeper;
mod session;
mod slot;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::TenantId;
use millpond_core::clock::Clock;
use millpond_core::tenant::LimitName;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Remote;
use crate::error::Error;
use crate::limit::charges::{Asked, Charge};
use crate::limit::decision::{Decider, Decision, LimitReason};

use keeper::Keeper;
pub(crate) use slot::Slot;
use slot::{Told, Why};

/// Buckets in hand for each connection.
const EACH: usize = 4_096;

/// What a keeper is told.
#[derive(Debug)]
pub(crate) enum Wake {
    /// This bucket runs low.
    Slot(Arc<Slot>),
    /// Everything goes back.
    HandBack(oneshot::Sender<()>),
}

/// Every bucket of which this process holds tokens.
#[derive(Debug)]
pub(super) struct Grants {
    table: Mutex<Table>,
    connections: usize,
}

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<Bucket, (Arc<Slot>, usize)>,
    keepers: Vec<Desk>,
    next: u64,
}

/// A keeper, and how many buckets it keeps.
#[derive(Debug)]
struct Desk {
    wake: mpsc::UnboundedSender<Wake>,
    slots: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    tenant: TenantId,
    limit: Option<LimitName>,
    key: Bytes,
}

impl Bucket {
    fn of(tenant: &TenantId, charge: &Charge) -> Self {
        Self {
            tenant: tenant.clone(),
            limit: charge.limit.clone(),
            key: charge.key.clone(),
        }
    }
}

impl Grants {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            table: Mutex::default(),
            connections: connections.max(1),
        }
    }

    /// Nobody uses it: it is forgotten, unless somebody has a handle on it.
    fn forget(&self, slot: Arc<Slot>) {
        let bucket = Bucket::of(&slot.tenant, &slot.charge);
        let mut table = self.table.lock();
        drop(slot);
        // Handles are made under the lock: a slot that is here alone has none.
        let unused = table
            .slots
            .get(&bucket)
            .is_some_and(|(slot, _)| Arc::strong_count(slot) == 1);
        if unused && let Some((_, keeper)) = table.slots.remove(&bucket) {
            table.keepers[keeper].slots -= 1;
        }
    }

    /// Hands everything back.
    pub(super) async fn hand_back(&self) {
        let told: Vec<_> = {
            let table = self.table.lock();
            let tell = |desk: &Desk| {
                let (done, told) = oneshot::channel();
                desk.wake.send(Wake::HandBack(done)).ok().map(|()| told)
            };
            table.keepers.iter().filter_map(tell).collect()
        };
        for told in told {
            // A keeper that is gone has nothing.
            drop(told.await);
        }
    }
}

impl Remote {
    pub(crate) async fn hand_back(&self) {
        self.grants.hand_back().await;
    }

    /// The tokens in hand of one bucket.
    pub(crate) fn slot(
        self: &Arc<Self>,
        tenant: &TenantId,
        charge: &Charge,
    ) -> Result<Arc<Slot>, Error> {
        let bucket = Bucket::of(tenant, charge);
        let mut table = self.grants.table.lock();
        if let Some((slot, _)) = table.slots.get(&bucket) {
            return Ok(Arc::clone(slot));
        }
        let keeper = self.keeper(&mut table)?;
        let id = table.next;
        table.next += 1;
        let desk = &mut table.keepers[keeper];
        desk.slots += 1;
        let wake = desk.wake.downgrade();
        let slot = Slot::new(id, tenant.clone(), charge.clone(), Clock::Kernel, wake);
        let slot = Arc::new(slot);
        table.slots.insert(bucket, (Arc::clone(&slot), keeper));
        Ok(slot)
    }

    /// The keeper with the fewest buckets.
    fn keeper(self: &Arc<Self>, table: &mut Table) -> Result<usize, Error> {
        let least = table.keepers.iter().enumerate();
        let least = least.min_by_key(|(_, desk)| desk.slots);
        let least = least.map(|(at, desk)| (at, desk.slots));
        match least {
            Some((at, 0)) => Ok(at),
            _ if table.keepers.len() < self.grants.connections => {
                let (wake, wakes) = mpsc::unbounded_channel();
                let keeper = Keeper::new(Arc::downgrade(self), wakes);
                self.runtime.spawn(keeper.keep());
                table.keepers.push(Desk { wake, slots: 0 });
                Ok(table.keepers.len() - 1)
            }
            Some((at, slots)) if slots < EACH => Ok(at),
            _ => {
                Self::make_room(table);
                let fewest = table.keepers.iter().enumerate();
                let fewest = fewest.min_by_key(|(_, desk)| desk.slots);
                match fewest {
                    Some((at, desk)) if desk.slots < EACH => Ok(at),
                    _ => Err(Error::Shed { retry_after: None }),
                }
            }
        }
    }

    /// Forgets what nobody has a handle on and no keeper holds.
    fn make_room(table: &mut Table) {
        let Table { slots, keepers, .. } = table;
        slots.retain(|_, (slot, keeper)| {
            let used = Arc::strong_count(slot) > 1;
            if !used {
                keepers[*keeper].slots -= 1;
            }
            used
        });
    }

    /// Spends what is in hand, or asks for more.
    pub(crate) async fn acquire_granted(
        &self,
        slot: &Arc<Slot>,
        asked: &Asked,
    ) -> Result<Decision, Error> {
        let cost = asked.charges[0].cost;
        let Ok(tokens) = u32::try_from(cost) else {
            return Ok(decision(slot, LimitReason::Never, Duration::ZERO));
        };
        if slot.take(tokens) {
            return Ok(decision(slot, LimitReason::Ok, Duration::ZERO));
        }
        let never = || {
            let told = slot.told();
            told.capacity > 0 && cost > told.capacity
        };
        if never() {
            return Ok(decision(slot, LimitReason::Never, Duration::ZERO));
        }
        let began = Instant::now();
        let patience = began + asked.patience();
        let both = asked.patience().saturating_add(self.timeout);
        let until = began + asked.options.within.unwrap_or(both);
        loop {
            let mut answers = slot.answers();
            answers.mark_unchanged();
            match slot.refusal().map(|refusal| (refusal.until, refusal.why)) {
                None => slot.ask(tokens, true),
                Some((_, Why::Away)) => return Ok(self.without(asked).await),
                Some((_, Why::Failed(error))) => return Err(error),
                Some((holds, Why::Denied(reason))) => {
                    let left = holds.since(slot.clock().precise());
                    let turn = Instant::now() + left;
                    if reason != LimitReason::OverLimit || turn > patience {
                        let after = match reason {
                            LimitReason::OverLimit | LimitReason::Unavailable => left,
                            _ => Duration::ZERO,
                        };
                        return Ok(decision(slot, reason, after));
                    }
                    sleep_until(turn).await;
                    if slot.take(tokens) {
                        return Ok(waited(slot, began));
                    }
                    continue;
                }
            }
            // The answer may have come while it was asked for.
            let answered = timeout_at(until, answers.changed()).await;
            if slot.take(tokens) {
                return Ok(waited(slot, began));
            }
            if never() {
                return Ok(decision(slot, LimitReason::Never, Duration::ZERO));
            }
            if answered.is_err() {
                return Ok(self.without(asked).await);
            }
            if Instant::now() >= until {
                // Its time may be over, but it was the last word.
                let last = slot.told().refusal.map(|refusal| refusal.why);
                if matches!(last, Some(Why::Away)) {
                    return Ok(self.without(asked).await);
                }
                // Others were quicker, time and again.
                let soon = Duration::from_millis(10);
                return Ok(decision(slot, LimitReason::OverLimit, soon));
            }
        }
    }

    async fn without(&self, asked: &Asked) -> Decision {
        let chosen = self.without_sidecar(asked.options.away);
        self.absence.decide(asked, chosen).await
    }
}

fn waited(slot: &Slot, began: Instant) -> Decision {
    Decision {
        waited: Instant::now().saturating_duration_since(began),
        ..decision(slot, LimitReason::Ok, Duration::ZERO)
    }
}

/// A decision on what is in hand, with what the sidecar said last.
fn decision(slot: &Slot, reason: LimitReason, retry_after: Duration) -> Decision {
    let Told {
        rate,
        capacity,
        remaining,
        reset_after,
        at,
        ..
    } = slot.told();
    let (rate, period) = rate.unwrap_or_default();
    let limited = capacity > 0;
    Decision {
        decided_by: limited.then(|| Decider {
            limit: slot.charge.limit.clone(),
            keyed: !slot.charge.key.is_empty(),
        }),
        capacity,
        remaining: remaining.saturating_add(slot.left().into()).min(capacity),
        reset_after: reset_after.saturating_sub(slot.clock().now().since(at)),
        rate,
        period,
        retry_after,
        ..Decision::of(reason)
    }
}
