//! What is held of one key, why it would be served or not, and how that came to be.
//!
//! For people: it takes the key's stripe, so it costs a miss, but changes nothing.
//! Nothing is granted, counted or promised, and the eviction policy is not told, so
//! looking at a key does not keep it. A tenant or a cache that nobody uses is not
//! brought into being by being asked about: see [`Pond::scope_in_use`].

use std::sync::Arc;
use std::time::Duration;

use super::answer::Hit;
use super::expiry::Phase;
use super::name::{CacheName, TenantId};
use super::policy::Mode;
use super::pond::Pond;
use super::recorder::{Event, What};
use super::scope::Scope;
use crate::version::Version;

/// What one pod knows of a key at one moment.
#[derive(Debug)]
pub struct Explanation {
    /// What reads of its cache do.
    pub mode: Mode,
    /// What is held, whether or not it would be served.
    pub held: Option<Held>,
    /// Who loads it.
    pub loading: Option<Loading>,
    /// The last events of the key that are still known, newest first, with how long
    /// ago each was. Invalidations of its cache and its tenant are in `floors`.
    pub events: Vec<(Duration, Event)>,
    /// Invalidations above the key, and how long ago each was, by the wall clock.
    pub floors: Vec<(Duration, Floor)>,
}

/// An entry as it is held.
#[derive(Debug)]
pub struct Held {
    /// The entry.
    pub hit: Hit,
    /// Where it stands.
    pub phase: Phase,
    /// The invalidation that makes it unservable, if one does.
    pub gone_by: Option<Floor>,
    /// The invalidation that makes it stale, if one does.
    pub stale_by: Option<Floor>,
    /// How long until it is no longer fresh, no longer stale, and gone, as stored;
    /// an invalidation overrides that.
    pub left: [Duration; 3],
    /// How long ago it was stored.
    pub age: Duration,
    /// What it counts against the budget, in bytes.
    pub counted: u32,
    /// Refreshes that failed in a row.
    pub failures: u32,
    /// How long the last failure still holds the next refresh back.
    pub backing_off: Option<Duration>,
}

/// An invalidation that covers more than one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// What was invalidated.
    pub of: Covering,
    /// Its version; what began to load at or before it is covered.
    pub version: Version,
    /// Whether it only made stale.
    pub soft: bool,
}

/// What an invalidation covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covering {
    /// A tag that the entry carries.
    Tag(Box<[u8]>),
    /// A tag that was forgotten because its tenant had too many; so was what
    /// carried it.
    ForgottenTag(Box<[u8]>),
    /// The cache.
    Cache,
    /// The tenant.
    Tenant,
}

/// A load under way.
#[derive(Clone, Copy, Debug)]
pub struct Loading {
    /// How long ago the latest load began.
    pub began: Duration,
    /// How long it still excludes others; zero: another may begin beside it.
    pub exclusive: Duration,
    /// Callers that wait.
    pub waiters: usize,
    /// Loads that may still be stored, the latest included.
    pub loads: usize,
    /// Whether it refreshes what was held when it began.
    pub refresh: bool,
    /// Whether what it brings can be stored, as far as is known now.
    pub counts: bool,
}

impl Pond {
    /// The cache of a tenant, if it is in use. Makes none.
    #[must_use]
    pub fn scope_in_use(&self, tenant: &TenantId, cache: &CacheName) -> Option<Arc<Scope>> {
        self.scopes.in_use(tenant.as_str(), cache.as_str())
    }

    /// A key under a hash that says nothing about its bytes: keyed by this pond
    /// alone, equal for the same key until it ends, and not the hash by which keys
    /// are placed.
    #[must_use]
    pub fn pseudonym(&self, scope: &Scope, key: &[u8]) -> u64 {
        self.hasher.pseudonym(scope.id, key)
    }

    /// What is known of a key. A thread that has just read an entry may answer it
    /// from its front for a while after its eviction, of which nobody else knows.
    #[must_use]
    pub fn explain(&self, scope: &Arc<Scope>, key: &[u8]) -> Explanation {
        let key = self.key(scope, key).to_key();
        let (held, loading, mut events) = {
            let state = self.stripes.of(&key.borrow()).state.lock();
            let loading = state
                .flights
                .get(&key)
                .and_then(|flight| flight.explain(self.clock.precise()));
            (self.l1.get(&key.borrow()), loading, state.ring.of(&key))
        };
        if let Some(at) = self.l1.evicted_at(&key) {
            events.push(Event {
                at,
                what: What::Evicted,
                version: Version::NONE,
            });
            // The clock of evictions may lag by a tick: an entry that was stored
            // and given up within it is told in the wrong order.
            events.sort_by_key(|event| std::cmp::Reverse(event.at));
        }
        let now = self.clock.precise();
        Explanation {
            mode: scope.mode(),
            held: held.map(|node| self.explain_held(scope, Hit(node))),
            loading,
            events: events
                .into_iter()
                .map(|event| (now.since(event.at), event))
                .collect(),
            floors: floors(scope)
                .into_iter()
                .map(|floor| (self.ago(floor.version), floor))
                .collect(),
        }
    }

    fn explain_held(&self, scope: &Scope, hit: Hit) -> Held {
        let (now, node) = (self.clock.now(), &hit.0);
        let mut above = floors(scope);
        for tag in &*node.entry.tags {
            let of = |version| {
                let name = tag.name.clone();
                if version == Version::MAX {
                    Covering::ForgottenTag(name)
                } else {
                    Covering::Tag(name)
                }
            };
            push(&mut above, tag.barrier.hard(), false, of);
            push(&mut above, tag.barrier.soft(), true, of);
        }
        // The latest of those that cover it is the one to blame.
        let latest = |soft| {
            above
                .iter()
                .filter(|floor| floor.soft == soft && node.entry.began <= floor.version)
                .max_by_key(|floor| floor.version)
                .cloned()
        };
        Held {
            phase: node.entry.phase(now),
            gone_by: latest(false),
            stale_by: latest(true),
            left: node.entry.deadlines.left(now),
            age: node.entry.age(now),
            counted: node.weight,
            failures: node.failures(),
            backing_off: node.backing_off(now),
            hit,
        }
    }

    /// How long ago a version was issued, by the wall clock: versions are its
    /// microseconds, or run ahead of it.
    fn ago(&self, version: Version) -> Duration {
        Duration::from_micros(self.clock.wall_micros().saturating_sub(version.get()))
    }
}

fn push(
    floors: &mut Vec<Floor>,
    version: Version,
    soft: bool,
    of: impl FnOnce(Version) -> Covering,
) {
    if version != Version::NONE {
        floors.push(Floor {
            of: of(version),
            version,
            soft,
        });
    }
}

/// The invalidations of the whole cache and of the whole tenant.
fn floors(scope: &Scope) -> Vec<Floor> {
    let mut floors = Vec::new();
    push(&mut floors, scope.barrier.hard(), false, |_| {
        Covering::Cache
    });
    push(&mut floors, scope.barrier.soft(), true, |_| Covering::Cache);
    let tenant = &scope.tenant.barrier;
    push(&mut floors, tenant.hard(), false, |_| Covering::Tenant);
    push(&mut floors, tenant.soft(), true, |_| Covering::Tenant);
    floors
}
