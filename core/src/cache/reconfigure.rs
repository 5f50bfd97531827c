//! Other policies for a pond that is in use.
//!
//! Who decides about a cache: its policy, which is declared or that of undeclared
//! caches; and over the policy's mode an operator, whose word holds for every
//! tenant of that name, present and future, and outlives a change of policies.
//!
//! All of it changes under the scope table's lock; readers take none.

use std::collections::HashMap;
use std::sync::Arc;

use super::name::CacheName;
use super::policy::{Mode, Policy};
use super::pond::{Pond, require};
use super::rules::Rules;
use super::scope::TooManyCaches;
use super::stats::{CacheCounts, Counters, Slot};

/// The most that [`Pond::caches`] lists.
pub const MAX_CACHES_LISTED: usize = 1_024;

/// What is decided about a cache of one name.
#[derive(Debug)]
pub(super) struct Ruling {
    pub(super) rules: Arc<Rules>,
    declared: bool,
    switched: Option<Mode>,
    /// Where the cache is counted; of one that is not declared, with the others.
    pub(super) slot: Slot,
    /// Scopes that obey it.
    pub(super) tenants: usize,
}

impl Ruling {
    pub(super) fn declared(cache: CacheName, policy: &Policy) -> Self {
        Self {
            declared: true,
            ..Self::undeclared(cache, policy)
        }
    }

    pub(super) fn undeclared(cache: CacheName, policy: &Policy) -> Self {
        Self {
            rules: Arc::new(Rules::new(cache, policy)),
            declared: false,
            switched: None,
            slot: Slot::OTHERS,
            tenants: 0,
        }
    }

    pub(super) fn is_needed(&self) -> bool {
        self.declared || self.switched.is_some() || self.tenants > 0
    }

    fn mode(&self) -> Mode {
        self.switched.unwrap_or_else(|| self.rules.policy().mode)
    }

    /// What a hit asks: the mode's word, the bits of the early refresh, and the slot's
    /// number.
    pub(super) fn for_hits(&self) -> (u32, u32, u32) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 100, and as precise as a guess needs to be"
        )]
        let early_refresh = self.rules.policy().early_refresh as f32;
        let slot = self.slot.to_word();
        (self.mode().word(), early_refresh.to_bits(), slot)
    }

    fn counts(&self, counters: &Counters) -> Option<CacheCounts> {
        (self.slot != Slot::OTHERS).then(|| counters.at(self.slot))
    }

    fn in_force(&self, counters: &Counters) -> CacheInForce {
        let (matches, mismatches) = self.rules.observed();
        CacheInForce {
            name: self.rules.cache.clone(),
            declared: self.declared,
            policy: self.rules.policy(),
            mode: self.mode(),
            switched: self.switched.is_some(),
            tenants: self.tenants,
            matches,
            mismatches,
            counts: self.counts(counters),
        }
    }
}

/// A cache that is declared, switched or in use, and what holds for it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CacheInForce {
    /// As calls name it.
    pub name: CacheName,
    /// Whether it has a policy of its own.
    pub declared: bool,
    /// Its policy.
    pub policy: Policy,
    /// What it does with reads.
    pub mode: Mode,
    /// Whether that is an operator's word, and not the policy's.
    pub switched: bool,
    /// Tenants that use it.
    pub tenants: usize,
    /// In [`Mode::Observe`]: loads that brought what would have been served.
    pub matches: u64,
    /// In [`Mode::Observe`]: loads that brought something else.
    pub mismatches: u64,
    /// Its reads and loads; `None` where [`Pond::other_counts`] has them.
    pub counts: Option<CacheCounts>,
}

/// What a switch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The mode that was in force.
    pub before: Mode,
    /// The mode that is.
    pub after: Mode,
}

impl Pond {
    /// Brings other policies into force, for the caches in use and those to come.
    /// What an operator switched ([`Pond::switch`]) stays switched.
    ///
    /// What a changed policy does:
    /// - Deadlines were written when an entry was stored. Shorter or longer `fresh`,
    ///   `stale`, `stale_if_error` and `negative` hold for what is stored from now on;
    ///   invalidate the cache to be rid of what is held under the old ones.
    /// - `max_value` is asked when a value is stored. What is held stays.
    /// - A lease ends when it was granted to end, and a load may be stored as long as
    ///   the `max_load` says under which it began. Its value gets the deadlines of the
    ///   policy in force when it is stored.
    /// - `mode` and `early_refresh` hold for the next read of whatever is held.
    /// - Settle times are remembered for the longest load under way, whichever policy
    ///   it began under.
    ///
    /// # Panics
    /// When a policy does not pass [`Policy::check`]; then nothing has changed.
    pub fn reconfigure(&self, declared: HashMap<CacheName, Policy>, undeclared: Policy) {
        require(&declared, &undeclared);
        self.scopes.rule(|growing| {
            for (cache, ruling) in &mut growing.rulings {
                ruling.declared = declared.contains_key(cache);
                ruling.slot = Slot::OTHERS;
                let policy = declared.get(cache).unwrap_or(&undeclared);
                ruling.rules.put(policy, &self.clock);
            }
            growing.declare(declared);
            self.counters.make_room(&growing.slots);
            growing.undeclared = undeclared;
        });
    }

    /// Switches a cache for all tenants, present and future, whatever its policy
    /// says, until it is switched again. `None` goes back to the policy's mode.
    ///
    /// # Errors
    /// When nobody declared or uses the cache, and as many are declared, switched
    /// or in use as may be.
    pub fn switch(&self, cache: &CacheName, mode: Option<Mode>) -> Result<Switched, TooManyCaches> {
        let limit = self.scopes.limit();
        self.scopes.rule(|growing| {
            if growing.rulings.len() >= limit && !growing.rulings.contains_key(cache) {
                return Err(TooManyCaches { limit });
            }
            let ruling = growing.ruling(cache);
            let before = ruling.mode();
            ruling.switched = mode;
            let after = ruling.mode();
            Ok(Switched { before, after })
        })
    }

    /// What holds for the caches that are declared, switched or in use: the declared
    /// ones first, then those that most tenants use; by name among equals. Where there
    /// are more than [`MAX_CACHES_LISTED`] the last of them are left out, and a switched
    /// one never for one that is not: who looks for a kill switch must see it.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheInForce> {
        self.scopes.rulings(|rulings| {
            let mut listed: Vec<_> = rulings.values().collect();
            let order = |one: &&Ruling, other: &&Ruling| {
                (other.declared, other.tenants)
                    .cmp(&(one.declared, one.tenants))
                    .then_with(|| one.rules.cache.as_str().cmp(other.rules.cache.as_str()))
            };
            if listed.len() > MAX_CACHES_LISTED {
                listed.select_nth_unstable_by(MAX_CACHES_LISTED, |one, other| {
                    let switched = |ruling: &Ruling| ruling.switched.is_some();
                    switched(other)
                        .cmp(&switched(one))
                        .then_with(|| order(one, other))
                });
                listed.truncate(MAX_CACHES_LISTED);
            }
            listed.sort_unstable_by(order);
            let in_force = |ruling: &Ruling| ruling.in_force(&self.counters);
            listed.into_iter().map(in_force).collect()
        })
    }

    /// The same for one cache, however many there are; `None` when it is neither
    /// declared nor switched nor in use.
    #[must_use]
    pub fn cache(&self, name: &CacheName) -> Option<CacheInForce> {
        self.scopes
            .rulings(|rulings| Some(rulings.get(name)?.in_force(&self.counters)))
    }

    /// Reads and loads of each cache that is counted by itself, by name: of those that
    /// are declared, and at most [`MAX_CACHES_COUNTED`](super::MAX_CACHES_COUNTED).
    #[must_use]
    pub fn counts_by_cache(&self) -> Vec<(CacheName, CacheCounts)> {
        let mut counted: Vec<_> = self.scopes.rulings(|rulings| {
            let all = rulings.iter();
            all.filter(|(_, ruling)| ruling.slot != Slot::OTHERS)
                .map(|(cache, ruling)| (cache.clone(), ruling.slot))
                .collect()
        });
        counted.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let counts = |(cache, slot)| (cache, self.counters.at(slot));
        counted.into_iter().map(counts).collect()
    }

    /// Reads and loads of all other caches together: those that are not declared, and
    /// those that were when nothing could be counted by itself any more.
    #[must_use]
    pub fn other_counts(&self) -> CacheCounts {
        self.counters.at(Slot::OTHERS)
    }
}
