//! The breakers of a process, by tenant and name: bounded, and no tenant's at another's
//! cost.
//!
//! ```text
//!   get ──► index: (tenant, name) ──► breaker          no lock, if it is there
//!             ▲
//!           desk, by tenant: its breakers, and a hand that passes over them
//! ```
//!
//! A breaker is made when it is first asked for, by the policy of its name. A tenant has
//! [`Config::per_tenant`] at most; the first [`GRANTED`] of each need no room, the others
//! of all tenants share [`Config::room`]. A name that finds none is **unguarded**: it gets
//! a breaker that admits all and counts nothing. It could share one with others like it,
//! as keys without a bucket do; but buckets refuse too much then, which a caller can wait
//! out, where a shared breaker would refuse calls to what works because of what does not,
//! and whoever called only half of the time what fails would still be refused nothing.
//! Without a breaker a call is what it was without Millpond.
//!
//! Room is made at a tenant's bound among its own, and by [`Registry::sweep`] among all: a
//! breaker goes that is closed, has counted nothing bad, is in nobody's hands and was not
//! asked for since the hand last came by. It says nothing that a new one would not.
//!
//! Invariant: index and desk hold the same breakers; both change under the desk's lock.
//! Whoever got a breaker just before it goes counts one call in vain.
//!
//! Cost: a look-up and a reference counted; about 200 bytes beside the breaker. The desk's
//! lock is taken for a name that is not there.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::changes::{Changed, Changes};
use super::policy::{Policy, PolicyError};
use super::word::{Forced, State};
use super::{Breaker, Standing};
use crate::cache::TenantId;
use crate::clock::{Clock, Time};
use crate::entropy::Entropy;
use crate::sync::{AtomicBool, Equivalent, Map, Mutex, Ordering};
use crate::tenant::BreakerName;

/// Breakers that each tenant may have whatever the others have.
pub const GRANTED: usize = 8;

/// Which breakers there may be, and how they judge.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where time comes from.
    pub clock: Clock,
    /// Where jitter comes from.
    pub entropy: Entropy,
    /// Breakers a tenant may have. Default 64.
    pub per_tenant: usize,
    /// Breakers of all tenants together, beyond the first [`GRANTED`] of each. Default
    /// 4 096: about 8 MiB on two cores, 30 MiB on eight.
    pub room: usize,
    /// How they judge.
    pub policies: Policies,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock: Clock::Kernel,
            entropy: Entropy::Thread,
            per_tenant: 64,
            room: 4_096,
            policies: Policies::default(),
        }
    }
}

/// Policies by name of breaker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// Of all that are not named.
    pub default: Policy,
    /// Of the others.
    pub named: HashMap<BreakerName, Policy>,
}

/// A policy that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPolicy {
    /// Whose; none is the default's.
    pub name: Option<BreakerName>,
    /// What is wrong with it.
    pub error: PolicyError,
}

impl fmt::Display for BadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}: {}", self.error),
            None => write!(f, "default: {}", self.error),
        }
    }
}

impl std::error::Error for BadPolicy {}

impl Policies {
    /// Checks them all.
    ///
    /// # Errors
    /// All that is wrong with any, by name.
    pub fn check(&self) -> Result<(), Vec<BadPolicy>> {
        let named = self.named.iter().map(|(name, policy)| (Some(name), policy));
        let mut wrong = Vec::new();
        for (name, policy) in std::iter::once((None, &self.default)).chain(named) {
            let errors = policy.check().err().into_iter().flatten();
            wrong.extend(errors.map(|error| BadPolicy {
                name: name.cloned(),
                error,
            }));
        }
        wrong.sort_by(|one, other| one.name.cmp(&other.name));
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn of(&self, name: &BreakerName) -> Policy {
        self.named.get(name).copied().unwrap_or(self.default)
    }
}

/// Breakers by tenant and name.
pub struct Registry {
    index: Map<Key, Arc<Entry>, ahash::RandomState>,
    desk: Mutex<Desk>,
    changes: Arc<Changes>,
    unguarded: Arc<Breaker>,
    clock: Clock,
    origin: Time,
    entropy: Entropy,
    per_tenant: usize,
    room: usize,
}

struct Desk {
    policies: Policies,
    tenants: HashMap<TenantId, Vec<Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    breaker: Arc<Breaker>,
    /// Asked for since the hand came by.
    used: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    tenant: TenantId,
    name: BreakerName,
}

/// A key as it is asked for.
#[derive(Clone, Copy)]
struct Asked<'a>(&'a str, &'a str);

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1).hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Asked(self.tenant.as_str(), self.name.as_str()).hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.tenant.as_str() && self.1 == key.name.as_str()
    }
}

/// One breaker of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub name: BreakerName,
    /// How it stands.
    pub standing: Standing,
}

impl Entry {
    /// Whether nothing is lost with it. Clears the mark that it was used.
    fn may_go(&self, now: Time) -> bool {
        // Relaxed: a hint.
        let used = self.used.swap(false, Ordering::Relaxed);
        let standing = self.breaker.standing(now);
        let counted = standing.counted;
        !used
            && Arc::strong_count(&self.breaker) == 1
            && standing.state == State::Closed
            && counted.failures == 0
            && counted.slow == 0
    }
}

impl Registry {
    /// An empty one.
    ///
    /// # Errors
    /// When a policy makes no sense: all that is wrong with any.
    pub fn new(config: Config) -> Result<Self, Vec<BadPolicy>> {
        config.policies.check()?;
        let changes = Arc::new(Changes::new());
        let origin = config.clock.now();
        let default = Policy::default();
        let unguarded = Breaker::telling(default, origin, config.entropy, Arc::clone(&changes));
        unguarded.force(Some(Forced::Disabled));
        Ok(Self {
            index: Map::with_hasher(ahash::RandomState::new()),
            desk: Mutex::new(Desk {
                policies: config.policies,
                tenants: HashMap::new(),
            }),
            changes,
            unguarded: Arc::new(unguarded),
            clock: config.clock,
            origin,
            entropy: config.entropy,
            per_tenant: config.per_tenant.max(GRANTED),
            room: config.room,
        })
    }

    /// A tenant's breaker of this name; one that admits all if there is no room for it.
    /// To be asked for again for each call, so that another policy reaches it.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, name: &BreakerName) -> Arc<Breaker> {
        let asked = Asked(tenant.as_str(), name.as_str());
        let found = self.index.get_with(&asked, |entry| {
            // Relaxed: a hint. Written once a round, so that the line stays shared.
            if !entry.used.load(Ordering::Relaxed) {
                entry.used.store(true, Ordering::Relaxed);
            }
            Arc::clone(&entry.breaker)
        });
        found.unwrap_or_else(|| self.make(tenant, name))
    }

    /// Whether this is what a name gets that there is no room for.
    #[must_use]
    pub fn is_unguarded(&self, breaker: &Arc<Breaker>) -> bool {
        Arc::ptr_eq(breaker, &self.unguarded)
    }

    #[cold]
    fn make(&self, tenant: &TenantId, name: &BreakerName) -> Arc<Breaker> {
        let mut desk = self.desk.lock();
        let asked = Asked(tenant.as_str(), name.as_str());
        if let Some(entry) = self.index.get(&asked) {
            return Arc::clone(&entry.breaker);
        }
        if !self.has_room(&mut desk, tenant) {
            return Arc::clone(&self.unguarded);
        }
        let key = Key {
            tenant: tenant.clone(),
            name: name.clone(),
        };
        let breaker = self.breaker(desk.policies.of(name));
        let entry = Arc::new(Entry {
            key: key.clone(),
            breaker: Arc::clone(&breaker),
            used: AtomicBool::new(true),
        });
        let own = desk.tenants.entry(tenant.clone()).or_default();
        own.push(Arc::clone(&entry));
        self.index.insert(key, entry);
        breaker
    }

    fn breaker(&self, policy: Policy) -> Arc<Breaker> {
        let changes = Arc::clone(&self.changes);
        Arc::new(Breaker::telling(policy, self.origin, self.entropy, changes))
    }

    /// Whether the tenant may have one more, for which another of its own may have to go.
    fn has_room(&self, desk: &mut Desk, tenant: &TenantId) -> bool {
        let taken: usize = desk.tenants.values().map(|own| beyond(own.len())).sum();
        let Some(own) = desk.tenants.get_mut(tenant) else {
            return true;
        };
        if own.len() < GRANTED || own.len() < self.per_tenant && taken < self.room {
            return true;
        }
        let now = self.clock.now();
        // All are passed over, so that each that was not used until now may go next time.
        let goes: Vec<bool> = own.iter().map(|entry| entry.may_go(now)).collect();
        let Some(at) = goes.iter().position(|goes| *goes) else {
            return false;
        };
        let gone = own.remove(at);
        self.unlist(&gone.key);
        true
    }

    fn unlist(&self, key: &Key) {
        let _gone = self
            .index
            .remove(&Asked(key.tenant.as_str(), key.name.as_str()));
    }

    /// Lets go of all breakers that say nothing and were not asked for since the sweep
    /// before. Visits every breaker.
    pub fn sweep(&self) {
        let now = self.clock.now();
        let mut desk = self.desk.lock();
        desk.tenants.retain(|_, own| {
            own.retain(|entry| {
                let goes = entry.may_go(now);
                if goes {
                    self.unlist(&entry.key);
                }
                !goes
            });
            !own.is_empty()
        });
    }

    /// Lets go of all breakers of a tenant; how many there were.
    pub fn forget(&self, tenant: &TenantId) -> usize {
        let mut desk = self.desk.lock();
        let own = desk.tenants.remove(tenant).unwrap_or_default();
        own.iter().for_each(|entry| self.unlist(&entry.key));
        own.len()
    }

    /// Puts other policies in force. A breaker keeps its state and what it counted if its
    /// window stays; if not, it begins anew, closed, or as an operator forced it.
    ///
    /// # Errors
    /// When a policy makes no sense: all that is wrong with any. Then nothing changes.
    pub fn reconfigure(&self, policies: Policies) -> Result<(), Vec<BadPolicy>> {
        policies.check()?;
        let mut desk = self.desk.lock();
        for own in desk.tenants.values_mut() {
            for entry in own {
                let policy = policies.of(&entry.key.name);
                if entry.breaker.revise(policy).is_ok() {
                    continue;
                }
                let breaker = self.breaker(policy);
                let state = entry.breaker.standing(self.clock.now()).state;
                if let Some(forced) = state.forced() {
                    breaker.force(Some(forced));
                }
                let key = entry.key.clone();
                *entry = Arc::new(Entry {
                    key: key.clone(),
                    breaker,
                    used: AtomicBool::new(true),
                });
                self.index.insert(key, Arc::clone(entry));
            }
        }
        desk.policies = policies;
        drop(desk);
        self.changes.tell();
        Ok(())
    }

    /// All breakers that there are, or all of a tenant, in order of their names.
    #[must_use]
    pub fn list(&self, tenant: Option<&TenantId>) -> Vec<Listed> {
        let now = self.clock.now();
        let mut listed = Vec::new();
        self.index.for_each(|entry| {
            if tenant.is_none_or(|tenant| *tenant == entry.key.tenant) {
                listed.push(Listed {
                    tenant: entry.key.tenant.clone(),
                    name: entry.key.name.clone(),
                    standing: entry.breaker.standing(now),
                });
            }
        });
        listed.sort_by(|one, other| (&one.tenant, &one.name).cmp(&(&other.tenant, &other.name)));
        listed
    }

    /// How often any breaker changed its state. To be read before looking at them.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.number()
    }

    /// Waits for another number of changes than the one that was seen.
    pub fn changed(&self, seen: u64) -> Changed {
        Changed::since(Arc::clone(&self.changes), seen)
    }
}

fn beyond(breakers: usize) -> usize {
    breakers.saturating_sub(GRANTED)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("breakers", &self.index.len())
            .finish_non_exhaustive()
    }
}
