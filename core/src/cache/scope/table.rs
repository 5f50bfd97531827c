//! The table of scopes, and what is decided about each cache's name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{Keep, Scope, ScopeError, Tenant, TooManyCaches};
use crate::cache::barrier::{Barrier, Invalidation};
use crate::cache::key::ScopeId;
use crate::cache::name::{CacheName, TenantId};
use crate::cache::policy::Policy;
use crate::cache::reconfigure::Ruling;
use crate::cache::share::Shares;
use crate::cache::stats::Slots;
use crate::clock::{Clock, Time};
use crate::sync::{AtomicBool, AtomicU32, Equivalent, Map, Mutex, Ordering, fence};
use crate::version::{Version, Versions};

#[derive(PartialEq, Eq, Hash)]
struct ScopeName {
    tenant: TenantId,
    cache: CacheName,
}

#[derive(Hash)]
struct ScopeNameRef<'a> {
    tenant: &'a str,
    cache: &'a str,
}

impl Equivalent<ScopeName> for ScopeNameRef<'_> {
    fn equivalent(&self, key: &ScopeName) -> bool {
        self.tenant == key.tenant.as_str() && self.cache == key.cache.as_str()
    }
}

/// Every scope in use.
pub(crate) struct Scopes {
    by_name: Map<ScopeName, Arc<Scope>, ahash::RandomState>,
    growing: Mutex<Growing>,
    shares: Arc<Shares>,
    limit: usize,
    tags_per_tenant: usize,
}

pub(in crate::cache) struct Growing {
    tenants: HashMap<TenantId, Arc<Tenant>>,
    next: u64,
    /// By cache: those that are declared, switched or in use.
    pub(in crate::cache) rulings: HashMap<CacheName, Ruling>,
    pub(in crate::cache) undeclared: Policy,
    /// Where declared caches are counted.
    pub(in crate::cache) slots: Slots,
}

impl Growing {
    /// Brings these policies into force, by name, so that of too many the same are
    /// counted by themselves whenever they are declared.
    pub(in crate::cache) fn declare(&mut self, declared: HashMap<CacheName, Policy>) {
        let mut declared: Vec<_> = declared.into_iter().collect();
        declared.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        for (cache, policy) in declared {
            let slot = self.slots.of(&cache);
            self.rulings
                .entry(cache.clone())
                .or_insert_with(|| Ruling::declared(cache, &policy))
                .slot = slot;
        }
    }

    /// A cache's ruling, made by its first use.
    pub(in crate::cache) fn ruling(&mut self, cache: &CacheName) -> &mut Ruling {
        let undeclared = &self.undeclared;
        self.rulings
            .entry(cache.clone())
            .or_insert_with(|| Ruling::undeclared(cache.clone(), undeclared))
    }
}

impl Scopes {
    pub(crate) fn new(
        shares: Arc<Shares>,
        limit: usize,
        tags_per_tenant: usize,
        declared: HashMap<CacheName, Policy>,
        undeclared: Policy,
    ) -> Self {
        let mut growing = Growing {
            tenants: HashMap::new(),
            next: 1,
            rulings: HashMap::new(),
            undeclared,
            slots: Slots::default(),
        };
        growing.declare(declared);
        Self {
            by_name: Map::with_hasher(ahash::RandomState::new()),
            growing: Mutex::new(growing),
            shares,
            limit,
            tags_per_tenant,
        }
    }

    fn new_tenant(&self, id: &TenantId) -> Arc<Tenant> {
        let place = self.shares.place(id);
        Arc::new(Tenant::new(id, self.tags_per_tenant, place))
    }

    /// A tenant of whom something is known.
    pub(in crate::cache) fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.growing.lock().tenants.get(id).map(Arc::clone)
    }

    /// Gives those of these tenants that are in use the places that their allowances
    /// say; returns the places they had.
    pub(in crate::cache) fn replace<'a>(
        &self,
        ids: impl Iterator<Item = &'a TenantId>,
    ) -> Vec<u64> {
        let growing = self.growing.lock();
        ids.filter_map(|id| growing.tenants.get(id))
            .map(|tenant| self.shares.replace(&tenant.id, &tenant.place))
            .collect()
    }

    pub(crate) fn get(
        &self,
        tenant: &TenantId,
        cache: &CacheName,
    ) -> Result<Arc<Scope>, TooManyCaches> {
        match self.in_use(tenant.as_str(), cache.as_str()) {
            Some(scope) => Ok(scope),
            None => self.create(tenant, cache),
        }
    }

    /// By names as they came: a scope that is found has names that were checked
    /// when it was made.
    pub(crate) fn named(&self, tenant: &str, cache: &str) -> Result<Arc<Scope>, ScopeError> {
        if let Some(scope) = self.in_use(tenant, cache) {
            return Ok(scope);
        }
        let tenant = TenantId::parse(tenant).map_err(ScopeError::Field)?;
        let cache = CacheName::parse(cache).map_err(ScopeError::Field)?;
        self.create(&tenant, &cache)
            .map_err(ScopeError::TooManyCaches)
    }

    pub(crate) fn in_use(&self, tenant: &str, cache: &str) -> Option<Arc<Scope>> {
        let scope = self.by_name.get(&ScopeNameRef { tenant, cache })?;
        fence(Ordering::SeqCst); // counted in, then looked: see the header
        (!scope.retired.load(Ordering::Relaxed)).then_some(scope)
    }

    fn create(&self, tenant: &TenantId, cache: &CacheName) -> Result<Arc<Scope>, TooManyCaches> {
        // Held against `forget_idle`, so that what is found here is not retired.
        let mut growing = self.growing.lock();
        let name = ScopeNameRef {
            tenant: tenant.as_str(),
            cache: cache.as_str(),
        };
        if let Some(scope) = self.by_name.get(&name) {
            return Ok(scope);
        }
        if self.by_name.len() >= self.limit {
            return Err(TooManyCaches { limit: self.limit });
        }
        let id = ScopeId(growing.next);
        growing.next += 1;
        let home = growing
            .tenants
            .entry(tenant.clone())
            .or_insert_with(|| self.new_tenant(tenant));
        let home = Arc::clone(home);
        let ruling = growing.ruling(cache);
        ruling.tenants += 1;
        let (mode, early_refresh, slot) = ruling.for_hits();
        let scope = Arc::new(Scope {
            id,
            tenant: home,
            rules: Arc::clone(&ruling.rules),
            barrier: Barrier::at(Version::NONE),
            mode: AtomicU32::new(mode),
            early_refresh: AtomicU32::new(early_refresh),
            slot: AtomicU32::new(slot),
            retired: AtomicBool::new(false),
            keep: Keep::none(),
        });
        let name = ScopeName {
            tenant: tenant.clone(),
            cache: cache.clone(),
        };
        self.by_name.insert(name, Arc::clone(&scope));
        Ok(scope)
    }

    /// Raises the tenant's barrier. A tenant of whom nothing is held needs none,
    /// unless replicas lag: its loads are still to come.
    pub(crate) fn raise_tenant(
        &self,
        id: &TenantId,
        versions: &Versions,
        clock: &Clock,
        how: Invalidation,
    ) -> Version {
        let mut growing = self.growing.lock();
        let tenant = match growing.tenants.get(id) {
            Some(tenant) => tenant,
            None if how.settle.is_zero() => return versions.next(clock),
            None => {
                let tenant = self.new_tenant(id);
                growing.tenants.entry(id.clone()).or_insert(tenant)
            }
        };
        if !how.settle.is_zero() {
            let end = clock.precise().after(how.settle);
            tenant.keep.until(end);
        }
        tenant.barrier.raise(versions, clock, how)
    }

    /// Forgets scopes and tenants that nothing refers to; returns how many
    /// scopes. What an operator switched is kept with the cache's name.
    pub(crate) fn forget_idle(&self, now: Time) -> usize {
        let mut growing = self.growing.lock();
        let mut idle = Vec::new();
        self.by_name.for_each(|scope| {
            if Arc::strong_count(scope) == 1 && scope.keep.is_over(now) {
                idle.push((scope.tenant.id.clone(), scope.cache().clone()));
            }
        });
        let mut forgotten = 0;
        for (tenant, cache) in idle {
            let name = ScopeNameRef {
                tenant: tenant.as_str(),
                cache: cache.as_str(),
            };
            let unused = self.by_name.get_with(&name, |scope| {
                scope.retired.store(true, Ordering::Relaxed);
                fence(Ordering::SeqCst); // retired, then counted: see the header
                let unused = Arc::strong_count(scope) == 1;
                if !unused {
                    scope.retired.store(false, Ordering::Relaxed);
                }
                unused
            });
            if unused == Some(true) {
                self.by_name.remove(&name);
                growing.ruling(&cache).tenants -= 1;
                forgotten += 1;
            }
        }
        growing.tenants.retain(|_, tenant| {
            let needed = Arc::strong_count(tenant) > 1 || !tenant.keep.is_over(now);
            if !needed {
                self.shares.forget(&tenant.place);
            }
            needed
        });
        growing.rulings.retain(|_, ruling| ruling.is_needed());
        forgotten
    }

    /// Changes rulings; every scope, those in use and those to come, obeys what
    /// they are when this returns.
    pub(in crate::cache) fn rule<R>(&self, change: impl FnOnce(&mut Growing) -> R) -> R {
        let mut growing = self.growing.lock();
        let changed = change(&mut growing);
        growing.rulings.retain(|_, ruling| ruling.is_needed());
        self.by_name.for_each(|scope| {
            if let Some(ruling) = growing.rulings.get(scope.cache()) {
                scope.obey(ruling);
            }
        });
        changed
    }

    pub(in crate::cache) fn slots<R>(&self, read: impl FnOnce(&Slots) -> R) -> R {
        read(&self.growing.lock().slots)
    }

    pub(in crate::cache) fn rulings<R>(
        &self,
        read: impl FnOnce(&HashMap<CacheName, Ruling>) -> R,
    ) -> R {
        read(&self.growing.lock().rulings)
    }

    pub(in crate::cache) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scopes")
            .field("len", &self.by_name.len())
            .finish_non_exhaustive()
    }
}
