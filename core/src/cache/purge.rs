//! Purge: everything of a tenant removed, not only made unreadable.
//!
//! A barrier comes first, so that whatever is under way from before it is void
//! wherever it is: loads, values from L2, what waiters were handed. Then each
//! stripe's lock is taken once: who wrote under the old barrier has written, and who
//! comes later sees the new one. What is found after that is all there is, and is
//! removed entry by entry under its stripe's lock. A last visit counts what is left.
//!
//! What a purge does not reach at once, none of which any read is answered from:
//! - the fronts of other threads keep nodes alive until each thread remembers another
//!   entry, when it drops all that were purged, or ends: at most 2 MiB a thread, see
//!   `front`;
//! - answers that callers hold, and values of caches in observe mode that a load under
//!   way is to be compared with, until they are dropped or the load ends;
//! - the names of its caches and tags, and the numbers of its barriers, until the
//!   sweep finds the tenant unused.
//!
//! Cost: two visits of everything (about 50 ns an entry each) and a stripe's lock for
//! each entry removed; no lock is held for longer than one removal.

use std::sync::Arc;

use super::barrier::Invalidation;
use super::entry::Node;
use super::front::purged as empty_fronts;
use super::name::TenantId;
use super::pond::Pond;
use super::scope::Tenant;
use crate::planted::{Bug, planted};

/// Visits before what is left is reported: more than two are only needed while the
/// tenant's calls go on.
const VISITS: usize = 4;

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// Entries removed.
    pub entries: u64,
    /// Their bytes, as counted against the budget.
    pub bytes: u64,
    /// Bytes found held by the last visit: 0, unless calls of the tenant went on
    /// meanwhile.
    pub left: u64,
}

impl Pond {
    /// Removes everything that is held of a tenant, and voids its loads: nothing that
    /// began before this returns can bring anything back.
    ///
    /// Refuse the tenant's calls first, and let those under way return, or they load
    /// anew what they find missing; leases may be outstanding. [`Purged::left`] tells.
    pub fn purge_tenant(&self, id: &TenantId) -> Purged {
        let mut purged = Purged::default();
        if !planted(Bug::PurgeSparesLoads) {
            self.invalidate_tenant(id, Invalidation::default());
        }
        let Some(tenant) = self.scopes.tenant(id) else {
            return purged;
        };
        if !planted(Bug::PurgeWithoutGrace) {
            self.pass_stripes(|_| {});
        }
        for visit in 1..=VISITS {
            let held = self.held_by(&tenant);
            purged.left = held.iter().map(|node| u64::from(node.weight)).sum();
            if held.is_empty() || visit == VISITS {
                break;
            }
            for node in held {
                if self.remove_node(&node) {
                    purged.entries += 1;
                    purged.bytes += u64::from(node.weight);
                }
            }
        }
        empty_fronts();
        // The policies let go of the tickets, and with them of the keys.
        self.l1.settle_all();
        self.work_off_all();
        purged
    }

    fn held_by(&self, tenant: &Arc<Tenant>) -> Vec<Arc<Node>> {
        let mut held = Vec::new();
        self.l1.for_each(|node| {
            if Arc::ptr_eq(&node.entry.scope.tenant, tenant) {
                held.push(Arc::clone(node));
            }
        });
        held
    }

    fn remove_node(&self, node: &Arc<Node>) -> bool {
        let _late = self.l1.defer_drops();
        let residue = {
            let _state = self.stripes.of(&node.key.borrow()).state.lock();
            self.l1.remove_node(node)
        };
        let removed = !residue.is_nothing();
        self.settle(residue);
        removed
    }
}
