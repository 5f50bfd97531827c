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
//! Which policy that is a ticket's share says: see `share`.
//!
//! Invariants, at rest:
//! - every node's ticket is alive and held by its share's policy (no orphan that
//!   nothing can evict);
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
use super::residency::{Ticket, TicketOffice};
use super::share::allowance::Table;
use super::share::{Place, Share, Shares};
use crate::clock::{Clock, Time};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, Map, Ordering, Queue, fence};

/// Bytes a node costs beyond its key and its entry's bytes: index slot, node,
/// ticket, and moka's bookkeeping. Measured by the test
/// `the_overhead_counted_is_the_overhead_measured`.
pub const ENTRY_OVERHEAD: usize = 640;

/// L1 of one pod.
#[derive(Debug)]
pub(crate) struct L1 {
    index: Arc<Index>,
    stamps: Stamps,
    pub(super) shares: Arc<Shares>,
    office: TicketOffice,
}

pub(crate) struct Index {
    nodes: Map<Key, Arc<Node>, Hashed>,
    /// The bytes that the common policy holds.
    common: AtomicU64,
    /// What a policy gave up and somebody else must still act upon.
    given_up: Queue<Arc<Ticket>>,
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
    Moved {
        from: Arc<Ticket>,
        to: Arc<Ticket>,
    },
}

impl Residue {
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

impl L1 {
    pub(crate) fn new(budget: u64, table: Table, stripes: usize, clock: Clock) -> Self {
        let index = Arc::new(Index {
            nodes: Map::with_hasher(Hashed::default()),
            common: AtomicU64::new(0),
            given_up: Queue::new(),
            evictions: AtomicU64::new(0),
            evicted: Evictions::new(),
            clock,
        });
        Self {
            shares: Arc::new(Shares::new(Arc::clone(&index), budget, table)),
            index,
            stamps: Stamps::new(stripes),
            office: TicketOffice::new(),
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
            self.shares.used(&node.ticket);
        }
    }

    /// Tells the policy that a read of a tenant's found nothing.
    pub(crate) fn missed(&self, key: &KeyRef<'_>, place: &Place) {
        self.shares.missed(place, key.hash_bits());
    }

    /// Puts an entry under its key. The key's stripe must be locked.
    pub(crate) fn insert(&self, key: &Key, entry: Entry) -> (Arc<Node>, Residue) {
        let held = self
            .index
            .nodes
            .get_with(&key.borrow(), |old| (Arc::clone(&old.ticket), old.weight));
        let place = &entry.scope.tenant.place;
        let instead = held.as_ref().map_or(0, |(_, weight)| *weight);
        if place.refuses(weight(key, &entry, None), instead) {
            let residue = self.remove(&key.borrow());
            return (self.unkept(key, entry), residue);
        }
        let share = self.shares.of(place);
        let (held, elsewhere) = match held {
            Some((ticket, _)) if self.shares.is_home(place, &ticket) => (Some(ticket), None),
            Some((ticket, _)) => (None, Some(ticket)),
            None => (None, None),
        };
        if let Some(ticket) = held {
            let weight = weight(key, &entry, ticket.share.as_deref());
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
        // A key that was not there, whose ticket died as it was taken over, or whose
        // tenant has another share now. Nobody can kill a new ticket before it is
        // admitted.
        let weight = weight(key, &entry, share.as_deref());
        let ticket = self.office.issue(key.clone(), weight, share);
        let node = self.put(key, entry, &ticket, weight);
        self.office.inserted(self.index.nodes.len());
        let residue = match elsewhere {
            None => Residue::Admit(ticket),
            Some(from) => Self::moved(from, ticket),
        };
        (node, residue)
    }

    /// Puts the entry of `node` under a new ticket of another share, in one step for
    /// readers. The stripe must be locked and the node in its place, unless it is
    /// evicted at this moment: then it is back.
    pub(super) fn move_node(&self, node: &Node, to: Option<Arc<Share>>) -> Residue {
        let weight = weight(&node.key, &node.entry, to.as_deref());
        let ticket = self.office.issue(node.key.clone(), weight, to);
        let moved = self.node(node.entry.clone(), &ticket, weight);
        moved.inherit(node);
        self.put_node(&node.key, moved);
        Self::moved(Arc::clone(&node.ticket), ticket)
    }

    /// What is left to tell when a node with ticket `to` took the place of one with
    /// `from`. Dead, because its admission may be still to come.
    fn moved(from: Arc<Ticket>, to: Arc<Ticket>) -> Residue {
        if !planted(Bug::MovedTicketAlive) {
            from.kill();
        }
        Residue::Moved { from, to }
    }

    fn put(&self, key: &Key, entry: Entry, ticket: &Arc<Ticket>, weight: u32) -> Arc<Node> {
        self.put_node(key, self.node(entry, ticket, weight))
    }

    fn node(&self, entry: Entry, ticket: &Arc<Ticket>, weight: u32) -> Node {
        Node::new(entry, Arc::clone(ticket), weight, self.office.epoch())
    }

    fn put_node(&self, key: &Key, node: Node) -> Arc<Node> {
        let node = Arc::new(node);
        self.stamps
            .writing(&key.borrow(), || self.index.put(key, Arc::clone(&node)));
        node
    }

    /// A node that is handed to waiters and never kept.
    pub(crate) fn unkept(&self, key: &Key, entry: Entry) -> Arc<Node> {
        let ticket = self.office.issue(key.clone(), 0, None);
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
            Residue::Admit(ticket) => self.shares.admit(&ticket),
            Residue::Used(ticket) => self.shares.used(&ticket),
            Residue::Discard(ticket) => self.shares.discard(&ticket),
            Residue::Moved { from, to } => {
                self.shares.discard(&from);
                self.shares.admit(&to);
            }
        }
    }

    /// Lets the policies work off what they were told.
    pub(crate) fn settle_all(&self) {
        self.shares.settle();
    }

    /// How many tickets are still to be acted upon.
    pub(super) fn given_up(&self) -> usize {
        self.index.given_up.len()
    }

    /// What a policy gave up and is still to be acted upon: a living ticket, whose
    /// entry moves on, or a dead one, which another policy holds too.
    pub(super) fn next_given_up(&self) -> Option<Arc<Ticket>> {
        self.index.given_up.pop()
    }

    pub(crate) fn for_each(&self, visit: impl FnMut(&Arc<Node>)) {
        self.index.nodes.for_each(visit);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shares.bytes()
    }

    pub(crate) fn budget(&self) -> u64 {
        self.shares.budget()
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
}

impl Index {
    pub(super) fn for_each(&self, visit: impl FnMut(&Arc<Node>)) {
        self.nodes.for_each(visit);
    }

    /// The bytes that the common policy holds: the common share's and what it lends.
    pub(super) fn common_bytes(&self) -> u64 {
        self.common.load(Ordering::Relaxed)
    }

    // Relaxed: a statistic and a bound; each node is counted in and out once, because
    // the map hands each out once.

    fn charge(&self, node: &Node) {
        let weight = u64::from(node.weight);
        node.entry.scope.tenant.place.charge(weight);
        let share = node.ticket.share.as_deref();
        if let Some(share) = share {
            share.charge(weight);
        }
        if share.is_none_or(Share::is_lent) {
            self.common.fetch_add(weight, Ordering::Relaxed);
        }
    }

    fn release(&self, node: &Node) {
        let weight = u64::from(node.weight);
        node.entry.scope.tenant.place.release(weight);
        let share = node.ticket.share.as_deref();
        if let Some(share) = share
            && !planted(Bug::ShareUnreleased)
        {
            share.release(weight);
        }
        if share.is_none_or(Share::is_lent) {
            self.common.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    fn put(&self, key: &Key, node: Arc<Node>) {
        self.charge(&node);
        if let Some(old) = self.nodes.insert(key.clone(), node)
            && !planted(Bug::BytesUncounted)
        {
            self.release(&old);
        }
    }

    fn removed(&self, node: &Node) -> Residue {
        self.release(node);
        node.ticket.kill();
        Residue::Discard(Arc::clone(&node.ticket))
    }

    /// A policy gave `ticket` up: its entry moves on, or is evicted.
    pub(super) fn given_up(&self, ticket: &Arc<Ticket>) {
        if ticket.is_dead() && !planted(Bug::ListenerRemovesAny) {
            return; // its node was removed first, or it is already evicted
        }
        let share = ticket.share.as_deref();
        if share.is_some_and(Share::moves_on) {
            return self.act_on(ticket);
        }
        ticket.kill();
        fence(Ordering::SeqCst); // killed, then looked: see the header
        let removed = self.nodes.remove_if(&ticket.key.borrow(), |node| {
            node.ticket == *ticket || planted(Bug::ListenerRemovesAny)
        });
        if let Some(node) = removed {
            self.release(&node);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            self.evicted.record(&ticket.key, self.clock.now());
        }
        if share.is_some_and(Share::is_lent) {
            self.act_on(ticket);
        }
    }

    /// Leaves to a writer what a listener must not do itself.
    fn act_on(&self, ticket: &Arc<Ticket>) {
        if !planted(Bug::GivenUpForgotten) {
            self.given_up.push(Arc::clone(ticket));
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

fn weight(key: &Key, entry: &Entry, share: Option<&Share>) -> u32 {
    let policies = share.map_or(0, Share::overhead);
    let bytes = ENTRY_OVERHEAD + policies + key.user_bytes().len() + entry.size();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
