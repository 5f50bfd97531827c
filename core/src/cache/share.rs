//! Shares: whose bytes are held by which eviction policy, so that one tenant's scan
//! is not another's miss.
//!
//! A [`Share`] is an eviction policy with a budget and a count of the bytes it
//! holds. All tenants are in the *common* share but those with an [`Allowance`]:
//!
//! ```text
//!  allowance            what it writes goes to      what that gives up goes to
//!  none                 the common share            nowhere: evicted
//!  cap c                a lent share of c           nowhere: evicted
//!  reserve r            a reserved share of r       the common share
//!  reserve r, cap r     a reserved share of r       nowhere: evicted
//!  reserve r, cap c     a reserved share of r       a lent share of c - r
//! ```
//!
//! - A *reserved* share's budget is taken off the common share's.
//! - A *lent* share's tickets are held by the common policy too, and whichever gives
//!   one up first evicts it. So a cap bounds its tenant and reserves nothing: within
//!   the cap it competes with everybody.
//!
//! So the budgets of the common share and of the reserved ones add up to L1's: what
//! is held is at most L1's budget and the backlog of each policy ([`backlog`]).
//!
//! moka's capacity is fixed. The common policy keeps L1's whole budget as its
//! capacity, and what it holds weighs more, in the proportion of that to its budget
//! now: a change weighs its tickets anew and moves none. A share of a tenant's own
//! is made anew, and its entries move to it.
//!
//! A ticket belongs to one share for life. An entry that moves gets a new ticket and
//! node in the place of the old, in one step under its stripe's lock
//! ([`L1::rehome`](super::index::L1)); the old ticket dies as any does that is taken
//! out of its place. A tenant's words ([`Place`]) say which share it has, and change
//! before its entries move. Writers read them with the key's stripe locked, and the
//! mover takes every stripe's lock once in between: whoever read the old words has
//! put its node where the mover then finds it.
//!
//! What a policy gives up must not be told to another policy from within the first
//! one's listener. It goes to a queue, which whoever writes next works off: a living
//! ticket's entry moves on to its overflow, a dead ticket is taken out of the other
//! policy that holds it.
//!
//! Invariants, at rest:
//! - a node's ticket is held by its share's policy, and by the common one if lent;
//! - a share's bytes are the weights of the nodes whose tickets are its own.
//!
//! Cost: nothing on a hit. A write to the common share adds to one counter more; a
//! write to a lent or full reserved share tells two policies. A policy of one's own
//! takes [`SHARE_OVERHEAD`] bytes, and what is lent weighs [`LENT_OVERHEAD`] more.

use std::sync::{Arc, Weak};

use super::index::Index;
use super::name::TenantId;
use super::residency::{Policy, Ticket};
use crate::planted::{Bug, planted};
use crate::sync::{AtomicU64, AtomicUsize, CachePadded, Map, Mutex, Ordering};

pub(super) mod allowance;
#[cfg(millpond_loom)]
mod disorder;
pub(super) mod moving;
mod placing;

use allowance::Table;

/// Bytes that a policy of a tenant's own takes beyond what its entries are counted
/// for, once it is in use: moka's logs of reads and writes, and a table of 64
/// segments. Before its first entry it takes a sixth of this. Measured by the test
/// `the_overheads_of_a_share_are_those_measured`.
pub const SHARE_OVERHEAD: usize = 192 << 10;

/// Bytes that an entry costs more that two policies hold: the second one's
/// bookkeeping. Measured by the same test.
pub const LENT_OVERHEAD: usize = 288;

/// The bytes by which a policy's backlog may always exceed its budget.
const MIN_BACKLOG: u64 = 64 << 10;

/// The place of those without a share of their own.
const COMMON: u64 = 0;

/// No cap.
const UNCAPPED: u64 = u64::MAX;

/// How far what is held may exceed a policy's budget: it works in batches.
pub(super) fn backlog(budget: u64) -> u64 {
    (budget / 16).max(MIN_BACKLOG)
}

/// Where what a share gives up goes.
#[derive(Clone, Debug)]
enum Overflow {
    /// Nowhere: it is evicted.
    Nowhere,
    Common,
    Lent(Arc<Share>),
}

/// What a ticket belongs to, unless it is the common share's.
#[derive(Debug)]
pub(crate) struct Share {
    /// The place whose share it is.
    own: u64,
    /// Weak, because a policy holds its tickets, and they hold this.
    policy: Weak<Policy>,
    budget: u64,
    lent: bool,
    overflow: Overflow,
    bytes: AtomicU64,
}

impl Share {
    /// Whether the common policy holds its tickets too.
    pub(super) fn is_lent(&self) -> bool {
        self.lent
    }

    /// What an entry of it costs more than one of the common share.
    pub(super) fn overhead(&self) -> usize {
        if self.lent { LENT_OVERHEAD } else { 0 }
    }

    /// Whether its policy's giving a ticket up moves the entry on.
    pub(super) fn moves_on(&self) -> bool {
        !matches!(self.overflow, Overflow::Nowhere)
    }

    // Relaxed, both: a statistic and a bound; each node is counted in and out once,
    // because the index hands each out once.

    pub(super) fn charge(&self, weight: u64) {
        self.bytes.fetch_add(weight, Ordering::Relaxed);
    }

    pub(super) fn release(&self, weight: u64) {
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn over(&self) -> bool {
        self.bytes() > self.budget.saturating_add(backlog(self.budget))
    }
}

/// A tenant's words: which share it has, and what it holds.
#[derive(Debug)]
pub(crate) struct Place {
    own: AtomicU64,
    /// What it may hold of the common share where it has none of its own.
    cap: AtomicU64,
    /// On a line of its own: every write moves it, and every hit reads the words
    /// beside it.
    held: CachePadded<AtomicU64>,
}

impl Place {
    fn new(own: u64, cap: u64) -> Self {
        Self {
            own: AtomicU64::new(own),
            cap: AtomicU64::new(cap),
            held: CachePadded::new(AtomicU64::new(0)),
        }
    }

    // Relaxed, all: the stripe's lock orders the words for those who write entries
    // (see the header), and others take them as a hint.

    fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// The bytes of the tenant's entries, in whatever share.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn charge(&self, weight: u64) {
        self.held.fetch_add(weight, Ordering::Relaxed);
    }

    pub(super) fn release(&self, weight: u64) {
        self.held.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Whether an entry of so many bytes, in the place of one of `instead`, is more
    /// than may be held without a share.
    pub(super) fn refuses(&self, weight: u32, instead: u32) -> bool {
        let cap = self.cap.load(Ordering::Relaxed);
        let others = self.held().saturating_sub(u64::from(instead));
        cap != UNCAPPED && others.saturating_add(u64::from(weight)) > cap
    }
}

/// A tenant's own policies, and what their tickets belong to.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) tenant: TenantId,
    share: Arc<Share>,
    policies: Vec<Arc<Policy>>,
}

impl Own {
    fn shares(&self) -> impl Iterator<Item = &Arc<Share>> {
        let lent = match &self.share.overflow {
            Overflow::Lent(lent) => Some(lent),
            Overflow::Nowhere | Overflow::Common => None,
        };
        [&self.share].into_iter().chain(lent)
    }
}

/// All shares of one L1.
pub(crate) struct Shares {
    common: Policy,
    own: Map<u64, Arc<Own>, ahash::RandomState>,
    /// How many of `own` there are, for those who need know only whether.
    owned: AtomicUsize,
    pub(super) table: Mutex<Table>,
    /// Held by a change of allowances, across calls to the policies: nobody who
    /// reads or writes entries takes it, nor a listener.
    pub(super) changing: Mutex<()>,
    index: Arc<Index>,
    budget: u64,
}

impl Shares {
    pub(super) fn new(index: Arc<Index>, budget: u64, table: Table) -> Self {
        let common = Self::policy(&index, budget);
        common.resize(table.common_budget());
        Self {
            common,
            own: Map::with_hasher(ahash::RandomState::new()),
            owned: AtomicUsize::new(0),
            table: Mutex::new(table),
            changing: Mutex::new(()),
            index,
            budget,
        }
    }

    fn policy(index: &Arc<Index>, budget: u64) -> Policy {
        let listening = Arc::clone(index);
        Policy::new(budget, move |ticket| listening.given_up(ticket))
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// The bytes of all entries.
    pub(super) fn bytes(&self) -> u64 {
        let mut bytes = self.index.common_bytes();
        self.for_each_share(|_, share| {
            if !share.lent {
                bytes += share.bytes();
            }
        });
        bytes
    }

    pub(super) fn owned(&self) -> usize {
        self.owned.load(Ordering::Relaxed)
    }

    fn for_each_share(&self, mut visit: impl FnMut(&TenantId, &Share)) {
        self.own.for_each(|own| {
            for share in own.shares() {
                visit(&own.tenant, share);
            }
        });
    }

    // What entries are written to.

    /// The share that entries of this place are written to; `None` for the common.
    pub(super) fn of(&self, place: &Place) -> Option<Arc<Share>> {
        match place.own() {
            COMMON => None,
            own => self.own.get_with(&own, |own| Arc::clone(&own.share)),
        }
    }

    /// Whether entries of this place may be held under such a ticket.
    pub(super) fn is_home(&self, place: &Place, ticket: &Ticket) -> bool {
        match (place.own(), &ticket.share) {
            (own, Some(share)) => share.own == own,
            (COMMON, None) => true,
            (own, None) => {
                let overflows = |own: &Arc<Own>| matches!(own.share.overflow, Overflow::Common);
                self.own.get_with(&own, overflows) == Some(true)
            }
        }
    }

    /// Whether a change moves a ticket's entry: out of a share that is no longer its
    /// tenant's, or into one that is since this change, whose places are numbered
    /// from `since`. What that has no room for comes back.
    fn moves(&self, place: &Place, ticket: &Ticket, since: u64) -> bool {
        let enters = || {
            let to = self.of(place);
            to.as_ref().map(Arc::as_ptr) != ticket.share.as_ref().map(Arc::as_ptr)
        };
        !self.is_home(place, ticket) || place.own() >= since && enters()
    }

    /// Where a ticket's entry belongs once its policy has given it up.
    fn next_home(&self, place: &Place, ticket: &Ticket) -> Option<Arc<Share>> {
        match &ticket.share {
            Some(share) if share.own == place.own() => match &share.overflow {
                Overflow::Nowhere | Overflow::Common => None,
                Overflow::Lent(lent) => Some(Arc::clone(lent)),
            },
            _ => self.of(place),
        }
    }

    // What the policies are told. No stripe may be locked.

    fn each_policy(&self, ticket: &Ticket, tell: impl Fn(&Policy)) {
        let Some(share) = &ticket.share else {
            return tell(&self.common);
        };
        // Gone with the share: its entries have moved, and this ticket is dead.
        if let Some(policy) = share.policy.upgrade() {
            tell(&policy);
        }
        if share.lent && !planted(Bug::CapNotLent) {
            tell(&self.common);
        }
    }

    pub(super) fn admit(&self, ticket: &Arc<Ticket>) {
        self.each_policy(ticket, |policy| policy.admit(ticket));
        self.relieve(ticket);
    }

    pub(super) fn discard(&self, ticket: &Arc<Ticket>) {
        self.each_policy(ticket, |policy| policy.discard(ticket));
    }

    #[inline]
    pub(super) fn used(&self, ticket: &Arc<Ticket>) {
        match &ticket.share {
            None => self.common.used(ticket),
            Some(_) => self.each_policy(ticket, |policy| policy.used(ticket)),
        }
    }

    pub(super) fn missed(&self, place: &Place, hash: u64) {
        let own = match place.own() {
            COMMON => None,
            own => self.own.get(&own),
        };
        let Some(own) = own else {
            return self.common.missed(hash);
        };
        for policy in &own.policies {
            policy.missed(hash);
        }
        let elsewhere =
            |share: &Arc<Share>| share.lent || matches!(share.overflow, Overflow::Common);
        if own.shares().any(elsewhere) {
            self.common.missed(hash);
        }
    }

    /// Keeps the backlog of a ticket's policies small beside their budgets, but
    /// leaves them batches to work in.
    fn relieve(&self, ticket: &Ticket) {
        if let Some(share) = &ticket.share {
            if share.over()
                && let Some(policy) = share.policy.upgrade()
            {
                policy.settle();
            }
            if !share.lent {
                return;
            }
        }
        let budget = self.common.budget();
        if self.index.common_bytes() > budget.saturating_add(backlog(budget)) {
            self.common.settle();
        }
    }

    pub(super) fn settle(&self) {
        self.common.settle();
        self.own.for_each(|own| {
            for policy in &own.policies {
                policy.settle();
            }
        });
    }
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shares")
            .field("owned", &self.owned())
            .finish_non_exhaustive()
    }
}
