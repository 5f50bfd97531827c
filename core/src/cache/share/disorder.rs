//! What the loom models ask of shares.

use std::sync::Arc;

use super::{Own, Shares};
use crate::cache::entry::Node;
use crate::cache::index::L1;
use crate::cache::name::TenantId;
use crate::cache::pond::Pond;
use crate::cache::residency::{Policy, Ticket};

impl Shares {
    fn owns(&self) -> Vec<Arc<Own>> {
        let mut owns = Vec::new();
        self.own.for_each(|own| owns.push(Arc::clone(own)));
        owns
    }

    /// Lets a policy give up the ticket it has held longest: the tenant's own, or
    /// without one the common.
    pub(in crate::cache) fn evict_one(&self, tenant: Option<&TenantId>) {
        let owns = self.owns();
        match owns.iter().find(|own| Some(&own.tenant) == tenant) {
            // The one that is written to is made last.
            Some(own) => own
                .policies
                .iter()
                .rev()
                .for_each(|policy| policy.evict_one()),
            None => self.common.evict_one(),
        }
    }

    fn policies_of(&self, ticket: &Ticket) -> Vec<Vec<Arc<Ticket>>> {
        let Some(share) = &ticket.share else {
            return vec![self.common.tickets()];
        };
        let own = share.policy.upgrade().map(|policy| policy.tickets());
        let common = share.lent.then(|| self.common.tickets());
        std::iter::once(own.unwrap_or_default())
            .chain(common)
            .collect()
    }
}

impl L1 {
    /// What is wrong at rest: nodes that nothing can evict, or that are not where
    /// their tenant's belong, and tickets that take up room for no node.
    pub(in crate::cache) fn disorder(&self) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut placed = Vec::new();
        self.for_each(|node: &Arc<Node>| {
            let holders = self.shares.policies_of(&node.ticket);
            if node.ticket.is_dead() || holders.iter().any(|held| !held.contains(&node.ticket)) {
                wrong.push("a node that nothing can evict");
            }
            if !self
                .shares
                .is_home(&node.entry.scope.tenant.place, &node.ticket)
            {
                wrong.push("a node outside its tenant's share");
            }
            placed.push(Arc::clone(&node.ticket));
        });
        let mut held = self.shares.common.tickets();
        for own in self.shares.owns() {
            held.extend(
                own.policies
                    .iter()
                    .flat_map(|policy: &Arc<Policy>| policy.tickets()),
            );
        }
        for ticket in held {
            if ticket.is_dead() {
                wrong.push("a dead ticket that takes up room");
            } else if !placed.contains(&ticket) {
                wrong.push("a living ticket without its node");
            }
        }
        wrong
    }
}

impl Pond {
    /// Lets the eviction policy of a tenant's share give up the ticket it has held
    /// longest.
    pub fn evict_one_of(&self, tenant: &TenantId) {
        self.l1.shares.evict_one(Some(tenant));
    }
}
