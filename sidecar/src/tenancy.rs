//! The tenants of one sidecar, and what follows from who they are: what each may hold
//! of L1.
//!
//! Caps and reserves are those of tenants that are named; a stranger's cap is not
//! kept, because giving it one costs a visit of all that is held. They are settled
//! first, all of a change or none: who has a reserve has it before anything else of
//! the change is in force.

use std::collections::HashMap;
use std::sync::Arc;

use millpond_core::cache::{Allowance, Pond, ShareError, TenantId};
use millpond_core::tenant::{
    self, Declaration, Directory, Entry, Profile, Put, Refused, Revised, Source, State,
};
use parking_lot::Mutex;

use crate::config::{Config, Tenancy};
use crate::sidecar::StartError;

/// What named tenants may hold.
pub(crate) type Allowances = HashMap<TenantId, Allowance>;

/// Who may do what, and hold how much.
#[derive(Debug)]
pub(crate) struct Tenants {
    pub(crate) directory: Arc<Directory>,
    pub(crate) pond: Arc<Pond>,
    /// As the pond was told last; held while it is told.
    allowed: Mutex<Allowances>,
}

/// Why a tenant was not put.
#[derive(Debug)]
pub(crate) enum Unput {
    Refused(Refused),
    Shares(ShareError),
    Panicked,
}

impl From<Refused> for Unput {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Tenants {
    /// The cache and the tenants that a sidecar is started with.
    pub(crate) fn start(config: &Config) -> Result<Arc<Self>, StartError> {
        let tenancy = config.tenancy.clone();
        let mut cache = config.cache.clone();
        cache.shares.extend(tenancy.allowances());
        cache.check_shares().map_err(StartError::Shares)?;
        let allowed = cache.shares.clone();
        let directory = Directory::new(tenant::Config {
            tiers: tenancy.tiers,
            strangers: tenancy.strangers,
            tenants: tenancy.tenants.into_iter().collect(),
            clock: cache.clock.clone(),
        })
        .map_err(StartError::Tenants)?;
        cache.directory = Some(Arc::clone(&directory));
        Ok(Arc::new(Self::new(directory, Pond::new(cache), allowed)))
    }

    /// `allowed` is what the pond was made with.
    pub(crate) fn new(directory: Arc<Directory>, pond: Arc<Pond>, allowed: Allowances) -> Self {
        Self {
            directory,
            pond,
            allowed: Mutex::new(allowed),
        }
    }

    /// Puts a tenant. Visits all that is held when its cap or reserve changes, so it
    /// runs beside the runtime.
    pub(crate) async fn put(
        self: &Arc<Self>,
        id: TenantId,
        declaration: Declaration,
    ) -> Result<Put, Unput> {
        let own = Arc::clone(self);
        let put = tokio::task::spawn_blocking(move || own.put_now(&id, &declaration)).await;
        put.unwrap_or(Err(Unput::Panicked))
    }

    fn put_now(&self, id: &TenantId, declaration: &Declaration) -> Result<Put, Unput> {
        let tiers = self.directory.tiers();
        let resolved = tiers.resolve(&declaration.tier, &declaration.overrides);
        let profile = resolved.map_err(|wrong| Refused::Tenant {
            tenant: id.clone(),
            wrong,
        })?;
        let mut allowed = self.allowed.lock();
        let mut wanted = allowed.clone();
        match allowance(&profile) {
            Some(allowance) => drop(wanted.insert(id.clone(), allowance)),
            None => drop(wanted.remove(id)),
        }
        let before = allowed.clone();
        self.allow(&mut allowed, wanted).map_err(Unput::Shares)?;
        self.directory.put(id, declaration).map_err(|refused| {
            // What was in force a moment ago fits again.
            let _fits = self.allow(&mut allowed, before);
            Unput::Refused(refused)
        })
    }

    /// Brings what a file says into force, all of it or nothing. `before` is what the
    /// file said that was in force.
    pub(crate) fn revise(&self, said: Tenancy, before: &Tenancy) -> Result<Revised, Vec<String>> {
        let mut allowed = self.allowed.lock();
        let mut wanted = said.allowances();
        self.each_of(Source::Operator, |entry| {
            if !said.tenants.contains_key(entry.id()) {
                let (held, tiers) = (entry.profile(), &said.tiers);
                let profile = tiers.resolve(&held.tier, &held.overrides);
                let allowance = profile.as_ref().map_or_else(|_| allowance(held), allowance);
                wanted.extend(allowance.map(|allowance| (entry.id().clone(), allowance)));
            }
        });
        let was = allowed.clone();
        self.allow(&mut allowed, wanted)
            .map_err(|error| vec![error.to_string()])?;
        self.directory
            .revise(said.since(before))
            .map_err(|refused| {
                let _fits = self.allow(&mut allowed, was);
                refused.iter().map(ToString::to_string).collect()
            })
    }

    /// Takes from those who were purged what they were allowed.
    pub(crate) async fn shares_changed(self: &Arc<Self>) {
        let own = Arc::clone(self);
        let settled = tokio::task::spawn_blocking(move || {
            let mut allowed = own.allowed.lock();
            let mut wanted = allowed.clone();
            wanted.retain(|id, _| {
                let entry = own.directory.known(id.as_str());
                entry.is_some_and(|entry| entry.state() != State::Purged)
            });
            // Less than was allowed always fits.
            let _fits = own.allow(&mut allowed, wanted);
        });
        // It can only have panicked; then what was allowed stays so.
        let _settled = settled.await;
    }

    fn each_of(&self, source: Source, mut visit: impl FnMut(&Entry)) {
        self.directory.for_each(|entry| {
            if entry.source() == source && entry.state() != State::Purged {
                visit(entry);
            }
        });
    }

    fn allow(&self, allowed: &mut Allowances, wanted: Allowances) -> Result<(), ShareError> {
        let mut changes: HashMap<TenantId, Option<Allowance>> = HashMap::new();
        for id in allowed.keys().filter(|id| !wanted.contains_key(*id)) {
            changes.insert(id.clone(), None);
        }
        for (id, allowance) in &wanted {
            if allowed.get(id) != Some(allowance) {
                changes.insert(id.clone(), Some(*allowance));
            }
        }
        if !changes.is_empty() {
            self.pond.set_shares(&changes)?;
        }
        *allowed = wanted;
        Ok(())
    }
}

impl Tenancy {
    /// What its tenants may hold.
    pub(crate) fn allowances(&self) -> Allowances {
        let resolved = self.tenants.iter().filter_map(|(id, said)| {
            let profile = self.tiers.resolve(&said.tier, &said.overrides).ok()?;
            Some((id.clone(), allowance(&profile)?))
        });
        resolved.collect()
    }
}

fn allowance(profile: &Profile) -> Option<Allowance> {
    let (cap, reserve) = (profile.cache_cap, profile.cache_reserve);
    (cap.is_some() || reserve > 0).then_some(Allowance { cap, reserve })
}
