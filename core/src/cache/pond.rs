//! One pod's cache: what it is made of.
//!
//! Locks, in the order they may nest: a stripe, then a waiter's cell; a stripe or
//! the scope table, then the rules of a cache, which only a sweep and a change of
//! policy take. The scope table's lock, and in it the table of allowances', nest in
//! nothing else, nor do the tag tables'. No lock is held across a call to an eviction
//! policy, a waker, a loader or an await, but one: that which orders the changes of
//! allowances (`share`). It is taken first, and by nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Hit;
use super::budget::Payer;
use super::expiry::Phase;
use super::fill::stripe::Stripes;
use super::index::L1;
use super::key::{Key, KeyHasher, KeyRef};
use super::local::Local;
use super::name::{CacheName, TenantId};
use super::policy::{Mode, Policy};
use super::scope::{Scope, ScopeError, Scopes, TooManyCaches};
use super::share::allowance::{Allowance, ShareError, Table};
use super::stats::{Counters, Of, Totals};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::fence::{Boot, Tokens};
use crate::histogram::{Durations, Histogram};
use crate::sync::{AtomicUsize, Ordering};
use crate::tenant::Directory;
use crate::version::{Position, Version, Versions};

/// What a pond is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of entries kept in L1: keys, values, and
    /// [`ENTRY_OVERHEAD`](super::ENTRY_OVERHEAD) each. Default 256 MiB. What is held
    /// may exceed it by the backlog of the eviction policies: a sixteenth of each
    /// one's budget, at least 64 KiB each.
    pub budget: u64,
    /// What tenants are allowed of the budget other than what the rest of them
    /// share. Default none. The reserves together must be within the budget; see
    /// [`Pond::set_shares`].
    pub shares: HashMap<TenantId, Allowance>,
    /// Tenants in use that may have a share of their own at once, at
    /// [`SHARE_OVERHEAD`](super::SHARE_OVERHEAD) bytes each beyond the budget, twice that
    /// for one with a reserve and a greater cap. Default 64, so at most 24 MiB. As many
    /// may have a reserve; those with a cap alone have what is left, and are otherwise
    /// held to their cap by not keeping what would exceed it.
    pub max_shares: usize,
    /// Loads that may be unsettled at once; beyond it reads that would load are
    /// shed. Default 65 536, at about 300 bytes each.
    pub max_loads: usize,
    /// Callers that may wait for one key's load. Default 65 536.
    pub max_waiters: usize,
    /// (tenant, cache) pairs in use at once. Default 262 144, at about 400 bytes.
    pub max_caches: usize,
    /// Tags a tenant may have at once, over its caches. Default 65 536, at about
    /// 150 bytes each; beyond it the oldest is forgotten together with the
    /// entries that carry it.
    pub tags_per_tenant: usize,
    /// The policies of declared caches, whatever the tenant.
    pub declared: HashMap<CacheName, Policy>,
    /// The policy of all others.
    pub undeclared: Policy,
    /// The tenants, whose budgets of loads (`origin`) leases are paid from. Without it
    /// no loads are limited.
    pub directory: Option<Arc<Directory>>,
    /// Where time comes from.
    pub clock: Clock,
    /// Where jitter comes from.
    pub entropy: Entropy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget: 256 << 20,
            shares: HashMap::new(),
            max_shares: 64,
            max_loads: 65_536,
            max_waiters: 65_536,
            max_caches: 262_144,
            tags_per_tenant: 65_536,
            declared: HashMap::new(),
            undeclared: Policy::undeclared(),
            directory: None,
            clock: Clock::Kernel,
            entropy: Entropy::Thread,
        }
    }
}

/// What the cache holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauges {
    /// Entries in L1, including those that are gone but not yet swept.
    pub entries: usize,
    /// Their bytes, as counted against the budget.
    pub bytes: u64,
    /// The budget.
    pub budget: u64,
    /// Of the budget, what is reserved for single tenants.
    pub reserved: u64,
    /// Tenants in use that have a share of their own.
    pub shares: usize,
    /// Loads begun and not settled.
    pub loads: usize,
    /// (tenant, cache) pairs in use.
    pub caches: usize,
    /// Entries the eviction policy gave up since the start.
    pub evictions: u64,
}

/// One pod's cache.
#[derive(Debug)]
pub struct Pond {
    pub(super) boot: Boot,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) versions: Versions,
    pub(super) tokens: Tokens,
    pub(super) hasher: KeyHasher,
    pub(super) scopes: Scopes,
    pub(super) stripes: Stripes,
    pub(super) l1: L1,
    pub(super) counters: Counters,
    /// One for all threads: a load is rare and long beside an addition.
    pub(super) loads_took: Histogram,
    pub(super) unsettled: AtomicUsize,
    pub(super) max_loads: usize,
    pub(super) max_waiters: usize,
    directory: Option<Arc<Directory>>,
}

/// # Panics
/// When a policy does not pass [`Policy::check`].
pub(super) fn require(declared: &HashMap<CacheName, Policy>, undeclared: &Policy) {
    for policy in declared.values().chain([undeclared]) {
        let checked = policy.check();
        assert!(checked.is_ok(), "a policy is wrong: {checked:?}");
    }
}

/// A lease shorter than this excludes nobody.
const MIN_LEASE: Duration = Duration::from_millis(10);

/// Enough that two of 64 busy threads seldom meet.
#[cfg(not(millpond_loom))]
const STRIPES: usize = 256;
#[cfg(millpond_loom)]
const STRIPES: usize = 1;

impl Config {
    /// Whether what the tenants are allowed can all be kept.
    ///
    /// # Errors
    /// When it cannot, with everything that is wrong.
    pub fn check_shares(&self) -> Result<(), ShareError> {
        self.table().map(drop)
    }

    fn table(&self) -> Result<Table, ShareError> {
        Table::new(&self.shares, self.budget, self.max_shares)
    }
}

impl Pond {
    /// An empty cache.
    ///
    /// # Panics
    /// When a policy does not pass [`Policy::check`], or the shares do not pass
    /// [`Config::check_shares`].
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        require(&config.declared, &config.undeclared);
        let table = match config.table() {
            Ok(table) => table,
            Err(error) => panic!("the shares are wrong: {error}"),
        };
        let l1 = L1::new(config.budget, table, STRIPES, config.clock.clone());
        let scopes = Scopes::new(
            Arc::clone(&l1.shares),
            config.max_caches,
            config.tags_per_tenant,
            config.declared,
            config.undeclared,
        );
        let counters = Counters::new();
        scopes.slots(|slots| counters.make_room(slots));
        Arc::new(Self {
            boot: Boot::random(),
            versions: Versions::starting_at(config.clock.wall_micros()),
            tokens: Tokens::new(),
            hasher: KeyHasher::random(),
            scopes,
            stripes: Stripes::new(STRIPES),
            l1,
            counters,
            loads_took: Histogram::default(),
            unsettled: AtomicUsize::new(0),
            max_loads: config.max_loads,
            max_waiters: config.max_waiters,
            directory: config.directory,
            clock: config.clock,
            entropy: config.entropy,
        })
    }

    /// The run of this process, which its leases and versions name.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The clock everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The cache of a tenant, made on its first use. Holding on to it saves the
    /// look-up.
    ///
    /// # Errors
    /// When too many are in use.
    pub fn scope(&self, tenant: &TenantId, cache: &CacheName) -> Result<Arc<Scope>, TooManyCaches> {
        self.scopes.get(tenant, cache)
    }

    /// The same by names that were not checked yet. Allocates only on the first
    /// use of a pair.
    ///
    /// # Errors
    /// When a name is not of its form, or too many caches are in use.
    pub fn scope_named(&self, tenant: &str, cache: &str) -> Result<Arc<Scope>, ScopeError> {
        self.scopes.named(tenant, cache)
    }

    /// The fresh value under `key`, if there is one: a handle on it, without a
    /// lock. Counts as a hit when there is; loads nothing.
    #[inline]
    #[must_use]
    pub fn peek(&self, scope: &Scope, key: &[u8]) -> Option<Hit> {
        self.with_node(scope, key, |node| Hit(Arc::clone(node)))
    }

    /// Runs `read` on the fresh entry under `key`, if there is one, without a
    /// lock and without copying anything. `read` must be short: memory is not
    /// reclaimed while it runs.
    #[inline]
    pub fn with<R>(
        &self,
        scope: &Scope,
        key: &[u8],
        read: impl FnOnce(&super::Entry) -> R,
    ) -> Option<R> {
        self.with_node(scope, key, |node| read(&node.entry))
    }

    #[inline]
    fn with_node<R>(
        &self,
        scope: &Scope,
        key: &[u8],
        read: impl FnOnce(&Arc<super::entry::Node>) -> R,
    ) -> Option<R> {
        if scope.mode() != Mode::On {
            return None;
        }
        let key = self.hasher.key(scope.id, key);
        let now = self.clock.now();
        Local::with(|local| {
            let read = self.l1.read(local, &key, |node| {
                (node.entry.phase_in(scope, now) == Phase::Fresh).then(|| {
                    self.l1.used(node);
                    read(node)
                })
            });
            let read = read.flatten()?;
            self.counters.of_at(local.map(Local::line), scope, Of::Hit);
            Some(read)
        })
    }

    /// A version as the wire carries it.
    #[must_use]
    pub fn position(&self, version: Version) -> Position {
        Position {
            boot: self.boot,
            version,
        }
    }

    /// Whether this pond can vouch for a position a caller hands back: every
    /// write up to it was applied here before it returned.
    #[must_use]
    pub fn confirms(&self, position: Position) -> bool {
        position.boot == self.boot && position.version <= self.versions.latest()
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// How long loads took, from the grant of the lease to its settling.
    #[must_use]
    pub fn load_durations(&self) -> Durations {
        let mut durations = Durations::default();
        durations.add(&self.loads_took);
        durations
    }

    /// What is held now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            entries: self.l1.len(),
            bytes: self.l1.bytes(),
            budget: self.l1.budget(),
            reserved: self.l1.shares.table.lock().reserved(),
            shares: self.l1.shares.owned(),
            loads: self.unsettled.load(Ordering::Relaxed),
            caches: self.scopes.len(),
            evictions: self.l1.evictions(),
        }
    }

    /// Counts the bytes that are held, one entry at a time; at rest equal to
    /// [`Gauges::bytes`]. Visits everything: for tests and audits.
    #[must_use]
    pub fn audit_bytes(&self) -> u64 {
        self.l1.settle_all();
        let mut bytes = 0;
        self.l1.for_each(|node| bytes += u64::from(node.weight));
        bytes
    }

    /// What is held under `key`, in whatever phase.
    pub(super) fn held(&self, scope: &Scope, key: &[u8]) -> Option<Hit> {
        self.l1.get(&self.key(scope, key)).map(Hit)
    }

    /// Who pays for a tenant's loads. Not under a stripe's lock.
    pub(super) fn payer(&self, scope: &Scope) -> Payer {
        scope
            .tenant
            .budget
            .payer(self.directory.as_ref(), scope.tenant())
    }

    pub(super) fn next_version(&self) -> Version {
        self.versions.next(&self.clock)
    }

    pub(super) fn key<'a>(&self, scope: &Scope, key: &'a [u8]) -> KeyRef<'a> {
        self.hasher.key(scope.id, key)
    }

    pub(super) fn moved_since(&self, key: &Key, as_of: Version) -> bool {
        self.stripes.of(&key.borrow()).moved_since(as_of)
    }

    /// Takes account of records that are no longer unsettled.
    pub(super) fn loads_ended(&self, ended: usize) {
        // Relaxed: a bound, not an order.
        self.unsettled.fetch_sub(ended, Ordering::Relaxed);
    }

    /// How long a lease is under a policy.
    pub(super) fn lease_time(policy: &Policy, asked: Option<Duration>) -> Duration {
        asked
            .unwrap_or(policy.lease)
            .max(MIN_LEASE)
            .min(policy.max_load)
    }
}
