//! L1: a lock-free index that is the store, and a policy that decides what stays.
//!
//! ```text
//!   read ──► index: key ──► node {entry, ticket} ──► answer
//!                               │
//!   writer, stripe locked: put/remove node          after unlocking:
//!                               └── residue ──► policy: admit, discard
//!   policy's listener, no lock: kill ticket, remove the node that holds it
//! ```
//!
//! Invariants, at rest:
//! - every node's ticket is alive and held by the policy (no orphan that nothing
//!   can evict);
//! - the bytes counted are the weights of the nodes in the map.
//!
//! A node that takes its predecessor's place takes over its ticket, so the policy
//! sees one long-lived key. The listener may kill that ticket at the same moment:
//! it kills, then removes the node it finds; the writer inserts, then looks
//! whether the ticket lives. Both steps are sequentially consistent, so either
//! the listener finds the new node or the writer sees the death and inserts again
//! under a new ticket.
//!
//! Writers of one key are ordered by its stripe lock. What must be told to the
//! policy is returned as a [`Residue`] and settled after unlocking.

use std::sync::Arc;

use super::entry::{Entry, Node};
use super::front::{Front, Stamps};
use super::key::{Hashed, Key, KeyRef};
use super::local::Local;
use super::recorder::Evictions;
use super::residency::{Policy, Ticket, TicketOffice};
use crate::clock::{Clock, Time};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Map, Ordering, fence};

/// Bytes a node costs beyond its key and its entry's bytes: index slot, node,
/// ticket, and moka's bookkeeping. Measured by the test
/// `the_overhead_counted_is_the_overhead_measured`.
pub const ENTRY_OVERHEAD: usize = 640;

/// The bytes by which the policy's backlog may always exceed the budget.
const MIN_BACKLOG: u64 = 64 << 10;

/// L1 of one pod.
#[derive(Debug)]
pub(crate) struct L1 {
    index: Arc<Index>,
    stamps: Stamps,
    policy: Policy,
    office: TicketOffice,
    budget: u64,
}

pub(crate) struct Index {
    nodes: Map<Key, Arc<Node>, Hashed>,
    bytes: AtomicU64,
    evictions: AtomicU64,
    evicted: Evictions,
    clock: Clock,
}

/// What the policy must still be told, once no stripe is locked.
#[derive(Debug, Default)]
#[must_use = "the policy must be told: L1::settle"]
pub(crate) enum Residue {
    #[default]
    Nothing,
    Admit(Arc<Ticket>),
    Used(Arc<Ticket>),
    Discard(Arc<Ticket>),
}

impl L1 {
    pub(crate) fn new(budget: u64, stripes: usize, clock: Clock) -> Self {
        let index = Arc::new(Index {
            nodes: Map::with_hasher(Hashed::default()),
            bytes: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            evicted: Evictions::new(),
            clock,
        });
        let listening = Arc::clone(&index);
        let policy = Policy::new(budget, move |ticket| listening.evicted(ticket));
        Self {
            index,
            stamps: Stamps::new(stripes),
            policy,
            office: TicketOffice::new(),
            budget,
        }
    }

    /// Runs `read` on the node under `key`, from the thread's front if it is there.
    /// For readers that hold no stripe.
    #[inline]
    pub(crate) fn read<R>(
        &self,
        local: Option<&Local>,
        key: &KeyRef<'_>,
        read: impl FnOnce(&Arc<Node>) -> R,
    ) -> Option<R> {
        match local {
            Some(local) if cfg!(not(millpond_loom)) => self.read_through(&local.front, key, read),
            _ => self.with(key, read),
        }
    }

    #[inline]
    pub(crate) fn read_through<R>(
        &self,
        front: &Front,
        key: &KeyRef<'_>,
        read: impl FnOnce(&Arc<Node>) -> R,
    ) -> Option<R> {
        front.with(&self.stamps, key, read, |seen, read| {
            self.index.nodes.get_with(key, |node| {
                if front.wants(node) {
                    *seen = Some(Arc::clone(node));
                }
                read(node)
            })
        })
    }

    /// Runs `read` on the node under `key`, without a lock or a count.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        key: &KeyRef<'_>,
        read: impl FnOnce(&Arc<Node>) -> R,
    ) -> Option<R> {
        self.index.nodes.get_with(key, read)
    }

    /// To be held from before a stripe is locked until after: a value's drop is the
    /// caller's code, and may call back into the cache.
    pub(crate) fn defer_drops(&self) -> impl Sized + '_ {
        self.index.nodes.defer_drops()
    }

    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Arc<Node>> {
        self.index.nodes.get(key)
    }

    /// Tells the policy that `node` answered a read, once an epoch.
    #[inline]
    pub(crate) fn used(&self, node: &Node) {
        if node.first_use_in(self.office.epoch()) {
            self.policy.used(&node.ticket);
        }
    }

    /// Tells the policy that a read found nothing.
    pub(crate) fn missed(&self, key: &KeyRef<'_>) {
        self.policy.missed(key.hash_bits());
    }

    /// Puts an entry under its key. The key's stripe must be locked.
    pub(crate) fn insert(&self, key: &Key, entry: Entry) -> (Arc<Node>, Residue) {
        let weight = weight(key, &entry);
        let held = self
            .index
            .nodes
            .get_with(&key.borrow(), |old| Arc::clone(&old.ticket));
        if let Some(ticket) = held {
            let reweighed = ticket.reweigh(weight);
            let node = self.put(key, entry.clone(), &ticket, weight);
            fence(Ordering::SeqCst); // put, then looked: see the header
            if !ticket.is_dead() || planted(Bug::NoReadmission) {
                let tell = if reweighed {
                    Residue::Admit
                } else {
                    Residue::Used
                };
                return (node, tell(ticket));
            }
        }
        // A key that was not there, or whose ticket died as it was taken over.
        // Nobody can kill a new ticket before it is admitted.
        let ticket = self.office.issue(key.clone(), weight);
        let node = self.put(key, entry, &ticket, weight);
        self.office.inserted(self.index.nodes.len());
        (node, Residue::Admit(ticket))
    }

    fn put(&self, key: &Key, entry: Entry, ticket: &Arc<Ticket>, weight: u32) -> Arc<Node> {
        let node = Arc::new(Node::new(
            entry,
            Arc::clone(ticket),
            weight,
            self.office.epoch(),
        ));
        self.stamps
            .writing(&key.borrow(), || self.index.put(key, Arc::clone(&node)));
        node
    }

    /// A node that is handed to waiters and never kept.
    pub(crate) fn unkept(&self, key: &Key, entry: Entry) -> Arc<Node> {
        let ticket = self.office.issue(key.clone(), 0);
        Arc::new(Node::new(entry, ticket, 0, self.office.epoch()))
    }

    /// Removes what is under `key`. The key's stripe must be locked.
    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Residue {
        match self.stamps.writing(key, || self.index.nodes.remove(key)) {
            Some(node) => self.index.removed(&node),
            None => Residue::Nothing,
        }
    }

    /// Removes `node` if it is still in its place. The stripe must be locked.
    pub(crate) fn remove_node(&self, node: &Arc<Node>) -> Residue {
        let key = node.ticket.key.borrow();
        match self
            .index
            .nodes
            .remove_if(&key, |held| Arc::ptr_eq(held, node))
        {
            Some(node) => self.index.removed(&node),
            None => Residue::Nothing,
        }
    }

    /// Tells the policy. No stripe may be locked.
    pub(crate) fn settle(&self, residue: Residue) {
        match residue {
            Residue::Nothing => {}
            Residue::Admit(ticket) => {
                self.policy.admit(&ticket);
                // The policy works in batches: keep its backlog small beside the
                // budget, but leave it batches.
                let backlog = (self.budget / 16).max(MIN_BACKLOG);
                if self.bytes() > self.budget.saturating_add(backlog) {
                    self.policy.settle();
                }
            }
            Residue::Used(ticket) => self.policy.used(&ticket),
            Residue::Discard(ticket) => self.policy.discard(&ticket),
        }
    }

    /// Lets the policy work off what it was told.
    pub(crate) fn settle_all(&self) {
        self.policy.settle();
    }

    pub(crate) fn for_each(&self, visit: impl FnMut(&Arc<Node>)) {
        self.index.nodes.for_each(visit);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.index.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    pub(crate) fn len(&self) -> usize {
        self.index.nodes.len()
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.index.evictions.load(Ordering::Relaxed)
    }

    /// When a key was evicted, if that is still known.
    pub(crate) fn evicted_at(&self, key: &Key) -> Option<Time> {
        self.index.evicted.of(key)
    }

    #[cfg(millpond_loom)]
    pub(crate) fn evict_one(&self) {
        self.policy.evict_one();
    }

    /// What is wrong at rest: nodes that nothing can evict, and tickets that take
    /// up room for no node.
    #[cfg(millpond_loom)]
    pub(crate) fn disorder(&self) -> Vec<&'static str> {
        let tickets = self.policy.tickets();
        let mut wrong = Vec::new();
        let mut placed = Vec::new();
        self.for_each(|node| {
            if node.ticket.is_dead() || !tickets.contains(&node.ticket) {
                wrong.push("a node that nothing can evict");
            }
            placed.push(Arc::clone(&node.ticket));
        });
        for ticket in tickets {
            if ticket.is_dead() {
                wrong.push("a dead ticket that takes up room");
            } else if !placed.contains(&ticket) {
                wrong.push("a living ticket without its node");
            }
        }
        wrong
    }
}

impl Index {
    fn put(&self, key: &Key, node: Arc<Node>) {
        // Relaxed: a statistic; each node is counted in and out once, because
        // the map hands each out once.
        self.bytes
            .fetch_add(u64::from(node.weight), Ordering::Relaxed);
        if let Some(old) = self.nodes.insert(key.clone(), node)
            && !planted(Bug::BytesUncounted)
        {
            self.bytes
                .fetch_sub(u64::from(old.weight), Ordering::Relaxed);
        }
    }

    fn removed(&self, node: &Node) -> Residue {
        self.bytes
            .fetch_sub(u64::from(node.weight), Ordering::Relaxed);
        node.ticket.kill();
        Residue::Discard(Arc::clone(&node.ticket))
    }

    /// The policy gave `ticket` up.
    fn evicted(&self, ticket: &Ticket) {
        if ticket.is_dead() && !planted(Bug::ListenerRemovesAny) {
            return; // its node was removed first, or it is already evicted
        }
        ticket.kill();
        fence(Ordering::SeqCst); // killed, then looked: see the header
        let removed = self.nodes.remove_if(&ticket.key.borrow(), |node| {
            *node.ticket == *ticket || planted(Bug::ListenerRemovesAny)
        });
        if let Some(node) = removed {
            self.bytes
                .fetch_sub(u64::from(node.weight), Ordering::Relaxed);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            self.evicted.record(&ticket.key, self.clock.now());
        }
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("len", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

fn weight(key: &Key, entry: &Entry) -> u32 {
    let bytes = ENTRY_OVERHEAD + key.user_bytes().len() + entry.size();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
