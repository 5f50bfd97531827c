//! Tenants whom nobody named.
//!
//! Under a default tier each gets buckets of its own with its first call, so their
//! number is bounded: when it is reached, a few of those that came first are looked
//! at, and those whose buckets are full are forgotten. A forgotten tenant that comes
//! again starts full, which is what it was; one that has spent something is kept. If
//! none can go, newcomers share one bucket, and whoever gets its own later starts
//! with as much spent as that one: so no order of coming and going is a refill.
//!
//! Cost: a newcomer takes the directory's lock once and looks at [`LOOKS`] others at
//! most. A stranger that is forgotten while somebody calls it keeps that caller
//! waiting for the lock.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Changing, Directory, Unresolved};
use crate::cache::TenantId;
use crate::sync::Ordering;
use crate::tenant::entry::{Entry, Source};
use crate::tenant::lifecycle::State;
use crate::tenant::name::TierName;

/// What becomes of tenants that nobody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// They are refused.
    Refuse,
    /// They are let in and nothing limits them. Nothing is kept of each.
    Unlimited,
    /// They are of this tier.
    Tier {
        /// Its name.
        tier: TierName,
        /// How many have buckets of their own, at about 200 bytes each.
        most: usize,
    },
}

impl Strangers {
    /// Strangers with buckets of their own, unless said otherwise.
    pub const MOST: usize = 65_536;
}

/// [`Strangers`] as the request path reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Refuse = 0,
    Unlimited = 1,
    Tier = 2,
}

impl Strangers {
    pub(super) fn rule(&self) -> Rule {
        match self {
            Self::Refuse => Rule::Refuse,
            Self::Unlimited => Rule::Unlimited,
            Self::Tier { .. } => Rule::Tier,
        }
    }
}

/// The tier's name on what is unlimited for want of one.
pub(super) fn unlimited() -> TierName {
    TierName::parse("unlimited").expect("it is of the form")
}

/// Others that a newcomer looks at.
const LOOKS: usize = 8;

/// Strangers with buckets of their own, those that came or were looked at longest
/// ago first. Some may have been named or removed since.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<TenantId>);

impl Directory {
    pub(super) fn shared(&self) -> Option<Arc<Entry>> {
        let shared = self.entries.get(TenantId::OTHERS)?;
        // None while it is being replaced; the map will know.
        self.follow(&shared)
    }

    /// What holds for a name that the map does not lead to.
    pub(super) fn stranger(&self, name: &str) -> Result<Arc<Entry>, Unresolved> {
        // Relaxed: a rule takes effect within nanoseconds; what it leads to is read
        // from the map.
        let rule = self.rule.load(Ordering::Relaxed);
        if rule == Rule::Unlimited as u64
            && let Some(shared) = self.shared()
        {
            TenantId::check(name).map_err(Unresolved::Name)?;
            return Ok(shared);
        }
        let id = TenantId::parse(name).map_err(Unresolved::Name)?;
        if rule == Rule::Refuse as u64 {
            return Err(Unresolved::Unknown(id));
        }
        self.admit(id)
    }

    fn admit(&self, id: TenantId) -> Result<Arc<Entry>, Unresolved> {
        // Under it no entry of the map has a successor.
        let mut changing = self.changing.lock();
        if let Some(known) = self.entries.get(&id) {
            return Ok(known);
        }
        let most = match &changing.strangers {
            Strangers::Refuse => return Err(Unresolved::Unknown(id)),
            Strangers::Unlimited => 0,
            Strangers::Tier { most, .. } => *most,
        };
        if changing.waiting.0.len() >= most {
            self.forget_some(&mut changing);
        }
        let shared = self.shared();
        if changing.waiting.0.len() < most {
            let entry = self.first(&changing, id.clone(), Source::Stranger, shared.as_deref());
            changing.waiting.0.push_back(id);
            return Ok(entry);
        }
        Ok(shared
            .unwrap_or_else(|| self.first(&changing, TenantId::others(), Source::Shared, None)))
    }

    fn first(
        &self,
        changing: &Changing,
        id: TenantId,
        source: Source,
        like: Option<&Entry>,
    ) -> Arc<Entry> {
        let profile = Arc::clone(&changing.stranger);
        let entry = Entry::first(id, 1, State::Active, source, profile, &self.numbers, like);
        self.entries.insert(entry.id().clone(), Arc::clone(&entry));
        if source != Source::Shared {
            self.tell(changing, entry.id(), Some(&entry));
        }
        entry
    }

    /// Forgets those of the first few that are full.
    fn forget_some(&self, changing: &mut Changing) {
        for _ in 0..LOOKS.min(changing.waiting.0.len()) {
            let Some(id) = changing.waiting.0.pop_front() else {
                return;
            };
            let entry = self.entries.get(&id);
            match entry.filter(|entry| entry.source() == Source::Stranger) {
                Some(entry) if !self.forget(changing, &entry) => {
                    changing.waiting.0.push_back(id);
                }
                _ => {}
            }
        }
    }

    /// Forgets a tenant that has spent nothing; `false` when it has.
    fn forget(&self, changing: &Changing, entry: &Arc<Entry>) -> bool {
        let now = self.now();
        if !entry.is_full(now) {
            return false;
        }
        entry.end();
        if entry.ended_full(now) {
            self.entries.remove(entry.id());
            self.tell(changing, entry.id(), None);
            return true;
        }
        // Somebody spent between the look and the end.
        let profile = Arc::clone(entry.profile());
        let (id, incarnation, state) = (entry.id().clone(), entry.incarnation(), entry.state());
        let like = Some(&**entry);
        let source = entry.source();
        let again = Entry::first(id, incarnation, state, source, profile, &self.numbers, like);
        self.entries.insert(again.id().clone(), again);
        false
    }

    /// Makes a stranger of a tenant, under the rule in force.
    pub(super) fn estrange(&self, changing: &mut Changing, entry: &Arc<Entry>) {
        if entry.state() == State::Purged || entry.source() == Source::Shared {
            return;
        }
        let id = entry.id();
        if changing.strangers.rule() != Rule::Tier {
            entry.end();
            self.entries.remove(id);
            return self.tell(changing, id, None);
        }
        if self.forget(changing, entry) {
            return;
        }
        // It may have been replaced by what it spent at the last moment.
        let entry = self.entries.get(id);
        let profile = Arc::clone(&changing.stranger);
        let active = Some(State::Active);
        self.place(
            changing,
            id,
            entry.as_ref(),
            Source::Stranger,
            profile,
            active,
        );
        changing.waiting.0.push_back(id.clone());
    }

    /// Brings the rule of `changing` into force for those who are there. `reprofile`
    /// says that what strangers have is another.
    pub(super) fn rule_strangers(&self, changing: &mut Changing) {
        let rule = changing.strangers.rule();
        if let Some(shared) = self.entries.get(TenantId::OTHERS) {
            let same = Arc::ptr_eq(shared.profile(), &changing.stranger);
            if rule == Rule::Refuse || (rule == Rule::Tier && changing.waiting.0.is_empty()) {
                shared.end();
                self.entries.remove(TenantId::OTHERS);
            } else if !same {
                let profile = Arc::clone(&changing.stranger);
                let now = self.now();
                let new = Entry::after(&shared, State::Active, Source::Shared, profile, now);
                shared.give_way(&new, now);
                self.entries.insert(new.id().clone(), new);
            }
        } else if rule == Rule::Unlimited {
            self.first(changing, TenantId::others(), Source::Shared, None);
        }
        // Release: what it leads to is in the map.
        self.rule.store(rule as u64, Ordering::Release);
    }
}
