//! What a tenant's state allows its calls.
//!
//! Asked before a call does anything, and again before its answer goes out when it
//! had to wait: a state that was set meanwhile holds. Callers that wait for a load
//! are answered as soon as their tenant may not read any more.
//!
//! | call | needs | when it may not |
//! |---|---|---|
//! | `Get`, `GetMany` | read | refused |
//! | … that would load | load | answered as held, else `LOAD_FAILED` |
//! | `Set` | write | refused; what is held under the key is invalidated, because it is no longer right |
//! | `Fill` | write | its leases are given up, and it is refused |
//! | `Renew` | load | refused |
//! | `Invalidate` | nothing | |
//!
//! Cost: one look-up of the tenant a call, about 30 ns; two more for a call that
//! waited.

use std::sync::Arc;

use millpond_core::cache::{Answer, LoadBy, LoadError, Reason};
use millpond_core::tenant::{Access, Directory, State};
use tokio::sync::watch;
use tonic::Status;

use super::status;

/// What a call needs of its tenant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    Read,
    Write,
    Load,
    /// To be known.
    Nothing,
}

impl Need {
    fn allowed(self, access: Access) -> bool {
        match self {
            Self::Read => access.read,
            Self::Write => access.write,
            Self::Load => access.load,
            Self::Nothing => true,
        }
    }
}

/// Tells those who wait on one worker that some tenant may do less than before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closings(Arc<watch::Sender<u64>>);

impl Closings {
    /// Has each worker's told of every tenant that may not do everything.
    pub(crate) fn follow(directory: &Directory, workers: Vec<Self>) {
        directory.follow_with(Box::new(move |_, entry| {
            if entry.is_none_or(|entry| entry.access() != Access::ALL) {
                for Self(closings) in &workers {
                    closings.send_modify(|times| *times = times.wrapping_add(1));
                }
            }
        }));
    }
}

/// The tenants as one worker sees them.
#[derive(Clone, Debug)]
pub(crate) struct Tenants {
    directory: Arc<Directory>,
    closings: Closings,
}

impl Tenants {
    pub(crate) fn new(directory: Arc<Directory>, closings: Closings) -> Self {
        Self {
            directory,
            closings,
        }
    }

    /// What the tenant may do, if that is what the call needs.
    pub(super) fn permit(&self, tenant: &str, need: Need) -> Result<Access, Status> {
        let state = self
            .directory
            .with(tenant, |entry| entry.state())
            .map_err(status::unresolved)?;
        let access = state.access();
        if need.allowed(access) {
            Ok(access)
        } else {
            Err(status::tenant(state))
        }
    }

    /// Completes once the tenant may not read any more.
    pub(super) async fn closed(&self, tenant: &str) -> Status {
        let mut closings = self.closings.0.subscribe();
        loop {
            if let Err(refused) = self.permit(tenant, Need::Read) {
                return refused;
            }
            // The sender cannot be gone: it is held here.
            let _told = closings.changed().await;
        }
    }

    /// An answer to a caller that would load, as the tenant's state leaves it now.
    pub(super) fn obeyed(
        &self,
        tenant: &str,
        asked: LoadBy,
        mut answer: Answer,
    ) -> Result<Answer, Status> {
        let loads = matches!(asked, LoadBy::Caller);
        if !loads || (answer.lease.is_none() && answer.found.is_some()) {
            return Ok(answer);
        }
        if !self.permit(tenant, Need::Read)?.load {
            // A lease goes to the next waiter, who comes by here too.
            answer.lease = None;
            if answer.found.is_none() {
                answer.reason = Some(Reason::LoadFailed);
                answer.error = Some(LoadError::new(NOTHING_LOADED, None));
            }
        }
        Ok(answer)
    }
}

const NOTHING_LOADED: &str = "nothing is loaded for this tenant any more";

/// As much of `load` as the tenant may.
pub(super) fn load(load: LoadBy, access: Access) -> LoadBy {
    if access.load { load } else { LoadBy::Nobody }
}

/// What a refusal by a state says in the trailer `millpond-reason`.
pub(super) const fn reason(state: State) -> &'static str {
    match state {
        State::Suspended => "tenant_suspended",
        State::Maintenance => "tenant_maintenance",
        State::PendingOffboard => "tenant_pending_offboard",
        State::Offboarded => "tenant_offboarded",
        State::Purged => "tenant_purged",
        _ => "tenant_state",
    }
}

/// The same for a tenant that is refused because nobody named it.
pub(super) const UNKNOWN: &str = "tenant_unknown";
