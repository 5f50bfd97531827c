//! Every tenant, by name.
//!
//! Changes take turns under one lock and go through as `entry` says. Whatever a
//! change does to a tenant's rates, what was spent stays spent.
//!
//! A tenant whom nobody named is a *stranger*: refused, unlimited, or given its own
//! buckets of a default tier ([`Strangers`]; `directory/strangers` keeps their
//! number bounded).
//!
//! Those who keep something by tenant (which reads are allowed, how much memory is
//! whose) *follow* the directory: they are called with each change, in order, before
//! the call that made it returns.
//!
//! `directory/lookup` reads it, `directory/revision` is what a configuration changes.
//!
//! Cost: a tenant is about 160 bytes beside its name; `core/tests/tenants.rs` measures.

use std::fmt;
use std::sync::Arc;

use super::entry::{Entry, Source};
use super::lifecycle::{State, Transition};
use super::name::TierName;
use super::number::Numbers;
use super::profile::{Profile, Profiles};
use super::tier::{Overrides, Tiers};
use crate::cache::TenantId;
use crate::clock::{Clock, Time};
use crate::limit::Ticks;
use crate::sync::{AtomicU64, Map, Mutex, Ordering};

mod listing;
mod lookup;
mod revision;
mod strangers;

pub use lookup::Unresolved;
pub use revision::{Refused, Revised, Revision};
pub use strangers::Strangers;
use strangers::{Rule, Waiting};

/// What a directory is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The tiers there are. By default those that ship.
    pub tiers: Tiers,
    /// What becomes of tenants that nobody named. By default they are unlimited.
    pub strangers: Strangers,
    /// The tenants that the configuration names.
    pub tenants: Vec<(TenantId, Declaration)>,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tiers: Tiers::shipped(),
            strangers: Strangers::Unlimited,
            tenants: Vec::new(),
            clock: Clock::Kernel,
        }
    }
}

/// What a tenant is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Its tier.
    pub tier: TierName,
    /// What it has over its tier.
    pub overrides: Overrides,
    /// Its state. Without one it keeps that which it has; a new tenant is active.
    pub state: Option<State>,
}

impl Declaration {
    /// Of a tier, as it is.
    #[must_use]
    pub const fn of(tier: TierName) -> Self {
        Self {
            tier,
            overrides: Overrides::none(),
            state: None,
        }
    }
}

/// What a change came to.
#[derive(Clone, Debug)]
pub struct Put {
    /// What was there. Nothing when the tenant is new.
    pub before: Option<Arc<Entry>>,
    /// What is there now.
    pub after: Arc<Entry>,
}

/// Called with each change of a tenant, in order, under the directory's lock: it must
/// be short, and may read the directory but not change it. Without an entry the
/// tenant has nothing of its own any more.
pub type Follower = Box<dyn Fn(&TenantId, Option<&Arc<Entry>>) + Send + Sync>;

/// Every tenant, by name.
pub struct Directory {
    clock: Clock,
    origin: Time,
    entries: Map<TenantId, Arc<Entry>, ahash::RandomState>,
    /// A [`Rule`].
    rule: AtomicU64,
    changes: AtomicU64,
    changing: Mutex<Changing>,
    /// One revision at a time; taken before `changing`, which it takes many times.
    revising: Mutex<()>,
    numbers: Arc<Numbers>,
}

struct Changing {
    tiers: Tiers,
    strangers: Strangers,
    /// What strangers have; of no use while they are refused.
    stranger: Arc<Profile>,
    waiting: Waiting,
    profiles: Profiles,
    followers: Vec<Follower>,
}

impl Directory {
    /// A directory of the tenants that the configuration names.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(config: Config) -> Result<Arc<Self>, Vec<Refused>> {
        let mut profiles = Profiles::default();
        let stranger = profiles.share(Arc::new(Profile::unlimited(strangers::unlimited())));
        let directory = Self {
            origin: config.clock.precise(),
            clock: config.clock,
            entries: Map::with_hasher(ahash::RandomState::new()),
            rule: AtomicU64::new(Rule::Refuse as u64),
            changes: AtomicU64::new(0),
            changing: Mutex::new(Changing {
                tiers: config.tiers.clone(),
                strangers: Strangers::Refuse,
                stranger,
                waiting: Waiting::default(),
                profiles,
                followers: Vec::new(),
            }),
            revising: Mutex::new(()),
            numbers: Arc::new(Numbers::default()),
        };
        directory.revise(Revision {
            tiers: config.tiers,
            strangers: config.strangers,
            put: config.tenants,
            remove: Vec::new(),
        })?;
        Ok(Arc::new(directory))
    }

    /// Changes so far. Whoever polls it and finds it unchanged has missed nothing.
    #[must_use]
    pub fn changes(&self) -> u64 {
        // Acquire: whoever sees a count finds in the map what was counted.
        self.changes.load(Ordering::Acquire)
    }

    /// Has `follower` called with each change from now on.
    pub fn follow_with(&self, follower: Follower) {
        self.changing.lock().followers.push(follower);
    }

    /// Puts a tenant: a new one, another tier or other overrides for one that is
    /// there. One that was purged begins anew, as another incarnation.
    ///
    /// # Errors
    /// When the tier is not there, the overrides do not fit it, or the state cannot
    /// be set.
    pub fn put(&self, id: &TenantId, declaration: &Declaration) -> Result<Put, Refused> {
        let mut changing = self.changing.lock();
        let refuse = |wrong| Refused::Tenant {
            tenant: id.clone(),
            wrong,
        };
        let profile = changing
            .tiers
            .resolve(&declaration.tier, &declaration.overrides)
            .map_err(refuse)?;
        if declaration.state == Some(State::Purged) {
            return Err(Refused::transition(id, Transition::ByPurge));
        }
        let profile = changing.profiles.share(Arc::new(profile));
        let before = self.entries.get(id);
        let source = match &before {
            Some(before) if before.source() == Source::Configured => Source::Configured,
            _ => Source::Operator,
        };
        let after = self.place(
            &changing,
            id,
            before.as_ref(),
            source,
            profile,
            declaration.state,
        );
        Ok(Put { before, after })
    }

    /// Changes a tenant's state. A stranger whom the rule lets in is known from then
    /// on.
    ///
    /// # Errors
    /// When there is no such tenant, or the state cannot follow its present one.
    pub fn set_state(&self, id: &TenantId, state: State) -> Result<Put, Refused> {
        let changing = self.changing.lock();
        let before = self.entries.get(id);
        let was = before.as_ref().map_or(State::Active, |entry| entry.state());
        was.to(state)
            .map_err(|wrong| Refused::transition(id, wrong))?;
        self.enter(&changing, id, before, state)
    }

    /// Marks a tenant purged: nothing of it is served from here on, by whatever name
    /// strangers go, until it is put again. Its buckets are gone with their keys, and
    /// what comes is another incarnation. Purging it again changes nothing.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn purge(&self, id: &TenantId) -> Result<Put, Refused> {
        let mut changing = self.changing.lock();
        let before = self.entries.get(id);
        if let Some(entry) = before
            .as_ref()
            .filter(|entry| entry.state() == State::Purged)
        {
            let after = Arc::clone(entry);
            return Ok(Put { before, after });
        }
        if before.is_none() && changing.strangers == Strangers::Refuse {
            return Err(Refused::Unknown { tenant: id.clone() });
        }
        let (incarnation, source) = match &before {
            Some(entry) if entry.source() == Source::Configured => {
                (entry.incarnation(), Source::Configured)
            }
            Some(entry) => (entry.incarnation(), Source::Operator),
            None => (0, Source::Operator),
        };
        let nothing = Profile::unlimited(strangers::unlimited());
        let nothing = changing.profiles.share(Arc::new(nothing));
        let next = incarnation + 1;
        let after = Entry::first(
            id.clone(),
            next,
            State::Purged,
            source,
            nothing,
            &self.numbers,
            None,
        );
        if let Some(before) = &before {
            before.give_way(&after, self.now());
        }
        self.entries.insert(id.clone(), Arc::clone(&after));
        self.tell(&changing, id, Some(&after));
        Ok(Put { before, after })
    }

    fn enter(
        &self,
        changing: &Changing,
        id: &TenantId,
        before: Option<Arc<Entry>>,
        state: State,
    ) -> Result<Put, Refused> {
        let (source, profile) = match &before {
            Some(entry) if entry.source() == Source::Stranger => {
                (Source::Operator, Arc::clone(entry.profile()))
            }
            Some(entry) => (entry.source(), Arc::clone(entry.profile())),
            None if changing.strangers == Strangers::Refuse => {
                return Err(Refused::Unknown { tenant: id.clone() });
            }
            None => (Source::Operator, Arc::clone(&changing.stranger)),
        };
        let after = self.place(changing, id, before.as_ref(), source, profile, Some(state));
        Ok(Put { before, after })
    }

    /// Forgets that a tenant was named: from here on it is a stranger. One that was
    /// purged stays so. Returns what was there.
    pub fn remove(&self, id: &TenantId) -> Option<Arc<Entry>> {
        let mut changing = self.changing.lock();
        let before = self.entries.get(id)?;
        self.estrange(&mut changing, &before);
        Some(before)
    }

    /// Leads a name to what it is now. `before` is what the map leads to.
    fn place(
        &self,
        changing: &Changing,
        id: &TenantId,
        before: Option<&Arc<Entry>>,
        source: Source,
        profile: Arc<Profile>,
        state: Option<State>,
    ) -> Arc<Entry> {
        let now = self.now();
        let after = match before {
            None => {
                let state = state.unwrap_or_default();
                Entry::first(id.clone(), 1, state, source, profile, &self.numbers, None)
            }
            Some(old) => {
                // One that was purged begins anew, with nothing spent.
                let was = Some(old.state()).filter(|was| *was != State::Purged);
                let state = state.or(was).unwrap_or_default();
                let same = old.state() == state && old.source() == source;
                if same && Arc::ptr_eq(old.profile(), &profile) {
                    return Arc::clone(old);
                }
                let new = Entry::after(old, state, source, profile, now);
                old.give_way(&new, now);
                new
            }
        };
        self.entries.insert(after.id().clone(), Arc::clone(&after));
        self.tell(changing, after.id(), Some(&after));
        after
    }

    fn tell(&self, changing: &Changing, id: &TenantId, entry: Option<&Arc<Entry>>) {
        for follower in &changing.followers {
            follower(id, entry);
        }
        // Release: see `changes`.
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The tiers in force.
    #[must_use]
    pub fn tiers(&self) -> Tiers {
        self.changing.lock().tiers.clone()
    }

    /// Now, as buckets count it when they are charged: the clock of the read path.
    pub(crate) fn coarse_now(&self) -> Ticks {
        Ticks::between(self.origin, self.clock.now())
    }

    /// Now, as buckets count it.
    pub(crate) fn now(&self) -> Ticks {
        Ticks::between(self.origin, self.clock.precise())
    }

    /// What buckets count from.
    #[must_use]
    pub fn origin(&self) -> Time {
        self.origin
    }

    /// The clock everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("len", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Refused {
    fn transition(tenant: &TenantId, wrong: Transition) -> Self {
        Self::State {
            tenant: tenant.clone(),
            wrong,
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
