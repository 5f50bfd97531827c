//! Tenants and their caches as the process knows them.
//!
//! A [`Scope`] is one (tenant, cache) pair: its number, policy, mode and
//! barriers. Any pair of valid names has one from its first use on, so the table
//! is bounded, and scopes that nobody uses are forgotten by the sweep. A scope
//! may only be forgotten when nothing refers to it (no entry, no load, no
//! handle), because its barriers must outlive what they cover.
//!
//! Forgetting races with a reader that is just taking a handle. The reader
//! counts itself in (the `Arc`'s count) and then looks whether the scope is
//! retired; the sweep retires it and then looks at the count. With a fence
//! between the two steps on both sides, one of them sees the other.
//!
//! Cost: a look-up is one probe of a lock-free map, about 25 ns; handles keep it
//! off the path of callers that hold one. About 400 bytes a scope.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::barrier::{Barrier, Invalidation};
use super::key::ScopeId;
use super::name::{BadField, CacheName, TenantId};
use super::policy::{Mode, Policy};
use super::tags::TagTable;
use crate::clock::{Clock, Time};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Equivalent, Map, Mutex, Ordering, fence};
use crate::version::{Version, Versions};

/// Until when something must be remembered although nobody refers to it.
#[derive(Debug)]
struct Keep(AtomicU64);

impl Keep {
    fn until(&self, end: Time) {
        self.0.fetch_max(end.as_nanos(), Ordering::Relaxed);
    }

    fn is_over(&self, now: Time) -> bool {
        now.as_nanos() >= self.0.load(Ordering::Relaxed)
    }
}

/// What a tenant's caches share.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) barrier: Barrier,
    pub(crate) tags: TagTable,
    keep: Keep,
}

impl Tenant {
    fn new(id: &TenantId, tags: usize) -> Self {
        Self {
            id: id.clone(),
            barrier: Barrier::at(Version::NONE),
            tags: TagTable::new(tags),
            keep: Keep(AtomicU64::new(0)),
        }
    }
}

/// One cache of one tenant.
#[derive(Debug)]
pub struct Scope {
    pub(crate) id: ScopeId,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) cache: CacheName,
    pub(crate) barrier: Barrier,
    pub(crate) policy: Arc<Policy>,
    mode: AtomicU32,
    retired: AtomicBool,
    keep: Keep,
    pub(crate) matches: AtomicU64,
    pub(crate) mismatches: AtomicU64,
}

impl Scope {
    /// The tenant's name.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant.id
    }

    /// The cache's name.
    #[must_use]
    pub fn cache(&self) -> &CacheName {
        &self.cache
    }

    /// The cache's policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the cache does with reads.
    #[must_use]
    pub fn mode(&self) -> Mode {
        // Relaxed: a switch takes effect on each thread within nanoseconds and
        // orders nothing else.
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::On,
            1 => Mode::Observe,
            _ => Mode::Bypass,
        }
    }

    /// Switches the mode.
    pub fn set_mode(&self, mode: Mode) {
        let word = match mode {
            Mode::On => 0,
            Mode::Observe => 1,
            Mode::Bypass => 2,
        };
        self.mode.store(word, Ordering::Relaxed);
    }

    /// In [`Mode::Observe`]: how many loaded values were equal to, and how many
    /// differed from, what would have been served.
    #[must_use]
    pub fn observed(&self) -> (u64, u64) {
        (
            self.matches.load(Ordering::Relaxed),
            self.mismatches.load(Ordering::Relaxed),
        )
    }

    /// Not to be forgotten before the loads that begin until `settled` have ended:
    /// its settle times, and those of its tags and keys, are for them.
    pub(crate) fn keep_for_loads_until(&self, settled: Time) {
        self.keep.until(settled.after(self.policy.max_load));
    }

    /// The version below which every load of this cache is void.
    #[inline]
    pub(crate) fn floor(&self) -> Version {
        self.barrier.hard().max(self.tenant.barrier.hard())
    }

    #[inline]
    pub(crate) fn soft_floor(&self) -> Version {
        self.barrier.soft().max(self.tenant.barrier.soft())
    }
}

/// The table of tenants and caches is full, and none of them is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyCaches {
    /// The limit.
    pub limit: usize,
}

impl fmt::Display for TooManyCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cache: {} caches over all tenants are in use, limit {}",
            self.limit, self.limit
        )
    }
}

impl std::error::Error for TooManyCaches {}

/// Why a tenant and a cache that came from outside have no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// A name is not of its form.
    Field(BadField),
    /// There is no room for another scope.
    TooManyCaches(TooManyCaches),
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::TooManyCaches(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ScopeError {}

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
    limit: usize,
    tags_per_tenant: usize,
    declared: HashMap<CacheName, Arc<Policy>>,
    undeclared: Arc<Policy>,
    /// The longest `max_load` of any policy.
    longest_load: Duration,
}

struct Growing {
    tenants: HashMap<TenantId, Arc<Tenant>>,
    next: u64,
}

impl Scopes {
    pub(crate) fn new(
        limit: usize,
        tags_per_tenant: usize,
        declared: HashMap<CacheName, Arc<Policy>>,
        undeclared: Policy,
    ) -> Self {
        let longest_load = declared
            .values()
            .map(|policy| policy.max_load)
            .fold(undeclared.max_load, Duration::max);
        Self {
            longest_load,
            by_name: Map::with_hasher(ahash::RandomState::new()),
            growing: Mutex::new(Growing {
                tenants: HashMap::new(),
                next: 1,
            }),
            limit,
            tags_per_tenant,
            declared,
            undeclared: Arc::new(undeclared),
        }
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

    fn in_use(&self, tenant: &str, cache: &str) -> Option<Arc<Scope>> {
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
            .or_insert_with(|| Arc::new(Tenant::new(tenant, self.tags_per_tenant)));
        let scope = Arc::new(Scope {
            id,
            tenant: Arc::clone(home),
            cache: cache.clone(),
            barrier: Barrier::at(Version::NONE),
            policy: Arc::clone(self.declared.get(cache).unwrap_or(&self.undeclared)),
            mode: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            keep: Keep(AtomicU64::new(0)),
            matches: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
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
                let tenant = Arc::new(Tenant::new(id, self.tags_per_tenant));
                growing.tenants.entry(id.clone()).or_insert(tenant)
            }
        };
        if !how.settle.is_zero() {
            let end = clock.precise().after(how.settle);
            tenant.keep.until(end.after(self.longest_load));
        }
        tenant.barrier.raise(versions, clock, how)
    }

    /// Forgets scopes and tenants that nothing refers to; returns how many
    /// scopes. A scope whose mode was switched is kept: somebody decided that.
    pub(crate) fn forget_idle(&self, now: Time) -> usize {
        let mut growing = self.growing.lock();
        let mut idle = Vec::new();
        self.by_name.for_each(|scope| {
            if Arc::strong_count(scope) == 1 && scope.mode() == Mode::On && scope.keep.is_over(now)
            {
                idle.push((scope.tenant.id.clone(), scope.cache.clone()));
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
                forgotten += 1;
            }
        }
        growing
            .tenants
            .retain(|_, tenant| Arc::strong_count(tenant) > 1 || !tenant.keep.is_over(now));
        forgotten
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
