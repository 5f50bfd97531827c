//! Who decides what stays: tickets, and the eviction policy that holds them.
//!
//! The index is the store and answers every read. The policy (moka's W-TinyLFU;
//! Einziger, Friedman, Manes: "TinyLFU", ACM ToS 2017) holds one [`Ticket`] a
//! node and says which tickets die. A ticket is alive from the moment it is made
//! to the moment the policy evicts it or its node is removed; it never revives.
//!
//! A ticket is its own key in the policy: equal only to itself, but hashed like
//! the cache key it stands for. So a late insertion or removal of a dead ticket
//! cannot touch its successor's, while the policy's frequency sketch still knows
//! a key that comes back.
//!
//! Each share has a policy of its own: see `share`.
//!
//! The policy is told of a use once per node and *insert epoch* (a counter that
//! moves every quarter of the entries held): a read of moka costs several times
//! the whole look-up, and this loses no hit ratio.
//!
//! Rules: nothing here is called with a stripe locked, and the eviction listener
//! takes no lock of ours.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::key::{Hashed, Key};
use super::share::Share;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The place of one node in the eviction policy.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) key: Key,
    /// Whose policy holds it; `None` for the common share's.
    pub(crate) share: Option<Arc<Share>>,
    id: u64,
    weight: AtomicU32,
    dead: AtomicBool,
}

impl Ticket {
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// SeqCst, here and above: see `L1::insert` and `Index::given_up`.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Sets the weight; whether it changed.
    pub(crate) fn reweigh(&self, weight: u32) -> bool {
        // Relaxed: written under the stripe lock, read by the policy when it is
        // handed the ticket, which happens after.
        self.weight.swap(weight, Ordering::Relaxed) != weight
    }
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Ticket {}

impl Hash for Ticket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.key.hash_bits());
    }
}

/// Issues tickets and counts insert epochs.
#[derive(Debug)]
pub(crate) struct TicketOffice {
    next: AtomicU64,
    inserts: AtomicU64,
    epoch: AtomicU32,
}

/// The fewest inserts in an epoch, so that a small cache is not fed by each read.
const MIN_EPOCH: u64 = 4;

impl TicketOffice {
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicU64::new(1),
            inserts: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
        }
    }

    pub(crate) fn issue(&self, key: Key, weight: u32, share: Option<Arc<Share>>) -> Arc<Ticket> {
        // Relaxed: uniqueness only.
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(Ticket {
            key,
            share,
            id,
            weight: AtomicU32::new(weight),
            dead: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Counts an insert into a cache that holds `held` entries.
    pub(crate) fn inserted(&self, held: usize) {
        let inserts = self.inserts.fetch_add(1, Ordering::Relaxed) + 1;
        if inserts >= (held as u64 / 4).max(MIN_EPOCH) {
            // Two threads may both move the epoch on: it only comes sooner.
            self.inserts.store(0, Ordering::Relaxed);
            self.epoch.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The eviction policy that ships.
#[cfg(not(millpond_loom))]
#[derive(Debug)]
pub(crate) struct Policy {
    tickets: moka::sync::Cache<Arc<Ticket>, (), Hashed>,
    scale: Arc<Scale>,
}

/// How much a ticket weighs in a policy whose budget is below its capacity. moka's
/// capacity is fixed, so tickets weigh more instead, in the same proportion.
#[derive(Debug)]
struct Scale {
    capacity: u64,
    budget: AtomicU64,
}

impl Scale {
    fn weight(&self, bytes: u32) -> u32 {
        // Relaxed: whoever changes it then weighs everything anew.
        let budget = self.budget.load(Ordering::Relaxed);
        if budget == self.capacity {
            return bytes;
        }
        let scaled = u128::from(bytes) * u128::from(self.capacity);
        // Rounded up, so that the sum of what fits is never above the budget.
        u32::try_from(scaled.div_ceil(u128::from(budget.max(1)))).unwrap_or(u32::MAX)
    }
}

/// A key that no ticket equals, to tell the policy of a read that found nothing.
struct Missed(u64);

impl Hash for Missed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl crate::sync::Equivalent<Arc<Ticket>> for Missed {
    fn equivalent(&self, _: &Arc<Ticket>) -> bool {
        false
    }
}

#[cfg(not(millpond_loom))]
impl Policy {
    /// A policy that keeps tickets of `budget` bytes together and reports the
    /// others to `evicted`.
    pub(crate) fn new(budget: u64, evicted: impl Fn(&Arc<Ticket>) + Send + Sync + 'static) -> Self {
        let scale = Arc::new(Scale {
            // moka does no work at all for a capacity of 0.
            capacity: budget.max(1),
            budget: AtomicU64::new(budget),
        });
        let weighing = Arc::clone(&scale);
        let tickets = moka::sync::Cache::builder()
            .max_capacity(scale.capacity)
            .weigher(move |ticket: &Arc<Ticket>, ()| {
                weighing.weight(ticket.weight.load(Ordering::Relaxed))
            })
            .eviction_listener(move |ticket: Arc<Arc<Ticket>>, (), cause| {
                // A replacement is the same ticket with another weight.
                if cause != moka::notification::RemovalCause::Replaced {
                    evicted(&ticket);
                }
            })
            .build_with_hasher(Hashed::default());
        Self { tickets, scale }
    }

    /// What its tickets may weigh together.
    pub(crate) fn budget(&self) -> u64 {
        self.scale.budget.load(Ordering::Relaxed)
    }

    /// Changes the budget, to at most what it was made with. Tickets that it holds
    /// weigh what they did until they are admitted again.
    pub(crate) fn resize(&self, budget: u64) {
        self.scale.budget.store(budget, Ordering::Relaxed);
    }

    /// Takes a ticket in, or hears of its new weight.
    pub(crate) fn admit(&self, ticket: &Arc<Ticket>) {
        self.tickets.insert(Arc::clone(ticket), ());
        // Removed before it was admitted: what is dead must not take up room.
        if ticket.is_dead() && !planted(Bug::AdmitUnchecked) {
            self.tickets.invalidate(ticket);
        }
    }

    pub(crate) fn discard(&self, ticket: &Arc<Ticket>) {
        self.tickets.invalidate(ticket);
    }

    pub(crate) fn used(&self, ticket: &Arc<Ticket>) {
        self.tickets.get(ticket);
    }

    pub(crate) fn missed(&self, hash: u64) {
        self.tickets.get(&Missed(hash));
    }

    /// Works off what it was told.
    pub(crate) fn settle(&self) {
        self.tickets.run_pending_tasks();
    }
}

#[cfg(millpond_loom)]
pub(crate) use model::Policy;

/// A policy that evicts exactly when a model says so.
#[cfg(millpond_loom)]
mod model {
    use super::{Arc, AtomicU64, Bug, Ordering, Ticket, planted};
    use crate::sync::Mutex;

    pub(crate) struct Policy {
        tickets: Mutex<Vec<Arc<Ticket>>>,
        budget: AtomicU64,
        evicted: Box<dyn Fn(&Arc<Ticket>) + Send + Sync>,
    }

    impl std::fmt::Debug for Policy {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Policy")
        }
    }

    impl Policy {
        pub(crate) fn new(
            budget: u64,
            evicted: impl Fn(&Arc<Ticket>) + Send + Sync + 'static,
        ) -> Self {
            Self {
                tickets: Mutex::new(Vec::new()),
                budget: AtomicU64::new(budget),
                evicted: Box::new(evicted),
            }
        }

        pub(crate) fn budget(&self) -> u64 {
            self.budget.load(Ordering::Relaxed)
        }

        pub(crate) fn resize(&self, budget: u64) {
            self.budget.store(budget, Ordering::Relaxed);
        }

        pub(crate) fn admit(&self, ticket: &Arc<Ticket>) {
            {
                let mut tickets = self.tickets.lock();
                if !tickets.iter().any(|held| held == ticket) {
                    tickets.push(Arc::clone(ticket));
                }
            }
            if ticket.is_dead() && !planted(Bug::AdmitUnchecked) {
                self.discard(ticket);
            }
        }

        pub(crate) fn discard(&self, ticket: &Arc<Ticket>) {
            self.tickets.lock().retain(|held| held != ticket);
        }

        pub(crate) fn used(&self, _: &Arc<Ticket>) {}

        pub(crate) fn missed(&self, _: u64) {}

        pub(crate) fn settle(&self) {}

        /// Evicts the ticket it has held longest.
        pub(crate) fn evict_one(&self) {
            let victim = {
                let mut tickets = self.tickets.lock();
                if tickets.is_empty() {
                    None
                } else {
                    Some(tickets.remove(0))
                }
            };
            if let Some(victim) = victim {
                (self.evicted)(&victim);
            }
        }

        pub(crate) fn tickets(&self) -> Vec<Arc<Ticket>> {
            self.tickets.lock().clone()
        }
    }
}
