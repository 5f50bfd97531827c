//! Changing allowances while entries are held and written: moving them to the share
//! that their tenant has now, and those that a share gave up to where they go next.
//!
//! Cost of a change: one visit of everything (about 50 ns an entry), and for each
//! entry that moves its stripe's lock, a node, and two calls to policies (about 3 µs).
//! Where the sum of the reserves changes, also one call to the common policy for each
//! entry that it holds. Nothing that is held is missed by a reader meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use super::allowance::{Allowance, ShareError};
use super::{Share, Shares};
use crate::cache::index::{L1, Residue};
use crate::cache::name::TenantId;
use crate::cache::pond::Pond;
use crate::cache::residency::Ticket;
use crate::planted::{Bug, planted};

/// How many given-up tickets a writer works off. A write gives up about one; a
/// policy's batch, which one writer meets, some hundreds.
const AFTER_A_WRITE: usize = 64;

/// Policies that may give an entry up one after the other: a reserved share's, a lent
/// share's or the common one; and once more for the tickets left in the other.
const STAGES: usize = 3;

/// Why an entry moves.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Its share's policy gave its ticket up: to the share's overflow.
    GivenUp,
    /// Its tenant's allowance changed: to the tenant's share. See [`Shares::moves`].
    Changed { since: u64 },
}

impl L1 {
    /// Moves what is under a ticket's key as it is due. The key's stripe must be
    /// locked.
    fn rehome(&self, ticket: &Arc<Ticket>, due: Due) -> Residue {
        let Some(node) = self.get(&ticket.key.borrow()) else {
            return Residue::Nothing;
        };
        let place = &node.entry.scope.tenant.place;
        if place.refuses(0, 0) {
            return self.remove_node(&node);
        }
        let to = match due {
            Due::GivenUp if node.ticket == *ticket => self.shares.next_home(place, ticket),
            Due::Changed { since } if self.shares.moves(place, &node.ticket, since) => {
                self.shares.of(place)
            }
            Due::GivenUp | Due::Changed { .. } => return Residue::Nothing,
        };
        if node.ticket.is_dead() {
            return Residue::Nothing; // evicted at this moment: it is not brought back
        }
        if planted(Bug::MoveThroughNothing) {
            let _gone = self.remove_node(&node);
        }
        self.move_node(&node, to)
    }
}

impl Pond {
    /// Allows a tenant a cap or a reserve of L1, or with `None` what everybody is
    /// allowed. See [`Self::set_shares`].
    ///
    /// # Errors
    /// When not all reserves can be kept; then nothing has changed.
    pub fn set_share(
        &self,
        tenant: &TenantId,
        allowance: Option<Allowance>,
    ) -> Result<(), ShareError> {
        self.set_shares(&HashMap::from([(tenant.clone(), allowance)]))
    }

    /// Allows tenants caps and reserves of L1, all of these at once; the others keep
    /// theirs. An allowance outlives its tenant's entries and its being forgotten by
    /// the sweep; `None` ends it.
    ///
    /// What tenants hold moves to their new shares before this returns, and no read
    /// misses it on the way. What a lower cap or a greater reserve of others leaves no
    /// room for is evicted. Tenants in use that are beyond
    /// [`Config::max_shares`](crate::cache::Config::max_shares) are held to their caps
    /// without a share: what would exceed it is not kept.
    ///
    /// Costs a visit of everything that is held: for a configuration that changes, not
    /// for a request.
    ///
    /// # Errors
    /// When not all reserves can be kept; then nothing has changed.
    pub fn set_shares(
        &self,
        changes: &HashMap<TenantId, Option<Allowance>>,
    ) -> Result<(), ShareError> {
        let shares = &self.l1.shares;
        let _one_at_a_time = shares.changing.lock();
        let (before, after) = {
            let mut table = shares.table.lock();
            let before = table.common_budget();
            table.change(
                changes
                    .iter()
                    .map(|(tenant, allowance)| (tenant, *allowance)),
            )?;
            (before, table.common_budget())
        };
        // Room first, so that a reserve is not filled while others still hold it.
        if after < before {
            shares.resize_common(after);
        }
        let since = shares.table.lock().next();
        let left = self.scopes.replace(changes.keys());
        self.move_all(since);
        for place in left {
            shares.drop_own(place);
        }
        if after > before {
            shares.resize_common(after);
        }
        self.work_off_all();
        Ok(())
    }

    fn move_all(&self, since: u64) {
        if !planted(Bug::MoveWithoutGrace) {
            self.pass_stripes(|_| {});
        }
        let mut elsewhere = Vec::new();
        self.l1.for_each(|node| {
            let place = &node.entry.scope.tenant.place;
            if self.l1.shares.moves(place, &node.ticket, since) || place.refuses(0, 0) {
                elsewhere.push(Arc::clone(&node.ticket));
            }
        });
        for ticket in elsewhere {
            self.rehome(&ticket, Due::Changed { since });
        }
    }

    /// Takes each stripe's lock once: who held it before has written what he wrote,
    /// and who takes it after sees what was changed before.
    pub(in crate::cache) fn pass_stripes(
        &self,
        mut pass: impl FnMut(&mut crate::cache::fill::stripe::State),
    ) {
        for stripe in self.stripes.iter() {
            pass(&mut stripe.state.lock());
        }
    }

    fn rehome(&self, ticket: &Arc<Ticket>, due: Due) {
        let _late = self.l1.defer_drops();
        let residue = {
            let _state = self.stripes.of(&ticket.key.borrow()).state.lock();
            self.l1.rehome(ticket, due)
        };
        self.l1.settle(residue);
    }

    /// Tells the policies what a write left to tell, and works off what they gave up.
    /// No stripe may be locked.
    pub(in crate::cache) fn settle(&self, residue: Residue) {
        self.l1.settle(residue);
        if self.l1.shares.owned() > 0 {
            self.work_off(AFTER_A_WRITE);
        }
    }

    /// Moves entries on that their share gave up, at most so many, and takes tickets
    /// that one policy evicted out of the other.
    pub(in crate::cache) fn work_off(&self, most: usize) {
        for _ in 0..most {
            let Some(ticket) = self.l1.next_given_up() else {
                break;
            };
            if ticket.is_dead() {
                self.l1.shares.discard(&ticket);
            } else {
                self.rehome(&ticket, Due::GivenUp);
            }
        }
    }

    /// The same for what was given up before this call; writers see to the rest.
    pub(in crate::cache) fn work_off_all(&self) {
        self.work_off(self.l1.given_up());
    }

    /// The bytes that a tenant's entries take, as counted against the budget and its
    /// allowance. 0 for a tenant of whom nothing is known.
    #[must_use]
    pub fn tenant_bytes(&self, tenant: &TenantId) -> u64 {
        let tenant = self.scopes.tenant(tenant);
        tenant.map_or(0, |tenant| tenant.place.held())
    }

    /// What a tenant is allowed; `None` for what everybody is.
    #[must_use]
    pub fn allowance(&self, tenant: &TenantId) -> Option<Allowance> {
        self.l1.shares.table.lock().allowance(tenant)
    }

    /// Each share's bytes as they are counted and as they are found, one entry at a
    /// time; equal at rest. Visits everything: for tests and audits.
    #[must_use]
    pub fn audit_shares(&self) -> Vec<ShareAudit> {
        // What is given up moves on to a policy that may give it up in its turn.
        for _ in 0..STAGES {
            self.l1.settle_all();
            self.work_off_all();
        }
        self.l1.settle_all();
        self.l1.shares.audit()
    }
}

/// What one share holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareAudit {
    /// Whose it is; `None` for the common share.
    pub tenant: Option<TenantId>,
    /// What it may hold, in bytes.
    pub budget: u64,
    /// The bytes counted.
    pub counted: u64,
    /// The weights of the entries found.
    pub found: u64,
    /// Whether it is lent by the common share, which counts its bytes too.
    pub lent: bool,
}

impl Shares {
    fn audit(&self) -> Vec<ShareAudit> {
        let mut found: HashMap<*const Share, u64> = HashMap::new();
        let mut common = 0;
        self.index.for_each(|node| {
            let weight = u64::from(node.weight);
            let share = node.ticket.share.as_ref();
            if share.is_none_or(|share| share.lent) {
                common += weight;
            }
            if let Some(share) = share {
                *found.entry(Arc::as_ptr(share)).or_default() += weight;
            }
        });
        let mut audit = vec![ShareAudit {
            tenant: None,
            budget: self.common.budget(),
            counted: self.index.common_bytes(),
            found: common,
            lent: false,
        }];
        self.for_each_share(|tenant, share| {
            audit.push(ShareAudit {
                tenant: Some(tenant.clone()),
                budget: share.budget,
                counted: share.bytes(),
                found: found.remove(&std::ptr::from_ref(share)).unwrap_or_default(),
                lent: share.lent,
            });
        });
        // Held by no policy any more.
        for (_, weight) in found {
            audit.push(ShareAudit {
                tenant: None,
                budget: 0,
                counted: 0,
                found: weight,
                lent: false,
            });
        }
        audit
    }
}
