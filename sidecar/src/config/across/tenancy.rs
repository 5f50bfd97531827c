//! What tiers, tenants and memory say together.

use std::collections::HashSet;

use millpond_core::tenant::{
    BadProfile, BadTier, Declaration, LimitScope, OnLimit, Overrides, Pace, Paced, Profile,
    Strangers, Tier, TierName, Tiers,
};

use super::warn;
use crate::config::Tenancy;
use crate::config::mistake::{Mistake, Place, cut, inside, nearest};
use crate::config::reading::Reading;
use crate::config::reading::tenancy::{REFUSE, Raw, UNLIMITED, Unknown, bad_pace};
use crate::config::table::tenancy::{LIMITS, TENANTS, TIERS, UNKNOWN_TENANTS};
use crate::memory::ByteSize;

pub(super) fn check(reading: &mut Reading, wrong: &HashSet<String>) {
    let raw = reading.tenancy.clone();
    let mut check = Check {
        known: names(&raw),
        reading,
        wrong,
    };
    let tiers = check.tiers(&raw);
    let strangers = check.strangers(&raw);
    check.tenants(&raw, tiers, strangers);
    let tiers = raw
        .tiers
        .iter()
        .map(|(name, said)| (TIERS, name.as_str(), said));
    let tenants = raw
        .tenants
        .iter()
        .map(|(id, said)| (TENANTS, id.as_str(), said));
    for (group, name, said) in tiers.chain(tenants) {
        check.scopes(&inside(group, name), &said.over);
    }
}

/// Every tier there is, whether or not it is right.
fn names(raw: &Raw) -> Vec<TierName> {
    let shipped = Tiers::shipped();
    let mut names: Vec<_> = shipped.iter().map(|tier| tier.tier.clone()).collect();
    names.extend(raw.tiers.keys().cloned());
    names.sort();
    names.dedup();
    names
}

struct Check<'a> {
    known: Vec<TierName>,
    reading: &'a mut Reading,
    wrong: &'a HashSet<String>,
}

impl Check<'_> {
    fn tiers(&mut self, raw: &Raw) -> Option<Tiers> {
        let tiers = raw.tiers.iter().map(|(name, said)| Tier {
            name: name.clone(),
            extends: said.extends.clone(),
            settings: said.over.clone(),
        });
        match Tiers::new(tiers.collect()) {
            Ok(tiers) => {
                for (name, said) in &raw.tiers {
                    if let Some(profile) = tiers.get(name) {
                        self.beyond_own(&inside(TIERS, name.as_str()), &said.over, profile);
                    }
                }
                Some(tiers)
            }
            Err(wrong) => {
                for error in wrong {
                    self.bad_tier(&error);
                }
                None
            }
        }
    }

    fn bad_tier(&mut self, error: &BadTier) {
        let at = |tier: &TierName| inside(TIERS, tier.as_str());
        match error {
            BadTier::ExtendsUnknown { tier, extends } => {
                self.no_tier(&inside(&at(tier), "extends"), extends, "");
            }
            BadTier::Cycle { through } => {
                let Some(first) = through.first() else { return };
                let names: Vec<_> = through.iter().map(TierName::as_str).collect();
                let problem = format!("goes in a circle: {}", names.join(", "));
                let path = inside(&at(first), "extends");
                self.say(&path, &at(first), problem, "a tier that does not extend it");
            }
            BadTier::Profile { tier, wrong } => self.bad_profile(&at(tier), wrong),
            // A mapping has no key twice, and what it has is there.
            BadTier::Twice { .. } | BadTier::Unknown { .. } => {}
            other => self.say(TIERS, TIERS, other.to_string(), "tiers that can be"),
        }
    }

    fn bad_profile(&mut self, owner: &str, wrong: &BadProfile) {
        let (field, expected) = match wrong {
            BadProfile::Pace { of, wrong } => {
                let names = match of {
                    Paced::Request => ["rate", "burst"],
                    Paced::Origin => ["origin_rate", "origin_burst"],
                };
                bad_pace(names, *wrong)
            }
            BadProfile::ReserveAboveCap { reserve, cap } => {
                let (reserve, cap) = (ByteSize(*reserve), ByteSize(*cap));
                let problem = format!("comes to {reserve:#}, more than cache_cap, {cap:#}");
                let path = inside(owner, "cache_reserve");
                return self.say(&path, owner, problem, "at most cache_cap");
            }
            BadProfile::TooManyLimits(_) => (LIMITS, "at most 64".to_owned()),
            _ => ("weight", "1 to 1000".to_owned()),
        };
        let path = inside(owner, field);
        self.say(&path, owner, format!("makes {wrong}"), &expected);
    }

    /// `or` is what may stand there beside a tier.
    fn no_tier(&mut self, path: &str, tier: &TierName, or: &str) {
        let known: Vec<_> = self.known.iter().map(TierName::as_str).collect();
        let much_like = nearest(tier.as_str(), known.iter().copied());
        let much_like = much_like.map_or(String::new(), |near| format!(", much like {near}"));
        let problem = format!(
            "found \"{}\", which is no tier{much_like}",
            cut(tier.as_str())
        );
        let expected = format!("{or}one of {}", known.join(", "));
        self.say(path, path, problem, &expected);
    }

    /// A limit of more at once than the tenant's own bucket, which is charged as much, never gets there. It is
    /// told where the one or the other is said, and not of all that have it from there.
    fn beyond_own(&mut self, owner: &str, over: &Overrides, profile: &Profile) {
        let Some(own) = profile.request else { return };
        if profile.shadow || profile.on_limit == OnLimit::Admit {
            return;
        }
        let own = own.burst();
        let own_is_said_here = over.request != Pace::default();
        for limit in profile.limits.iter().filter(|limit| !limit.apart) {
            let said_here = over.limits.iter().any(|said| said.name == limit.name);
            if !own_is_said_here && !said_here {
                continue;
            }
            let at = inside(&inside(owner, LIMITS), limit.name.as_str());
            let of = [
                ("rate", "burst", limit.total),
                ("rate_per_key", "burst_per_key", limit.per_key),
            ];
            for (rate, burst, quota) in of {
                let Some(most) = quota.map(|quota| quota.burst()).filter(|most| *most > own) else {
                    continue;
                };
                let [rate, burst] = [rate, burst].map(|field| inside(&at, field));
                let places = [&burst, &rate, owner].map(|path| self.reading.place(path));
                let said = |place: &Place| !matches!(place, Place::Default);
                let place = places.into_iter().find(said).unwrap_or(Place::Default);
                let problem = format!(
                    "comes to {most}, but a call charges the tenant's own bucket as much, and that holds {own}"
                );
                let expected = format!("apart: on, or at most {own}");
                self.reading.warnings.push(Mistake {
                    place,
                    path: burst,
                    problem,
                    expected,
                });
            }
        }
    }

    /// A limit that counts over more than the pod needs a store, and there is none.
    fn scopes(&mut self, owner: &str, over: &Overrides) {
        let own = over.scope.map(|scope| (inside(owner, "scope"), scope));
        let limits = over.limits.iter().map(|limit| {
            let at = inside(&inside(owner, LIMITS), limit.name.as_str());
            (inside(&at, "scope"), limit.scope)
        });
        for (path, scope) in own.into_iter().chain(limits) {
            if scope != LimitScope::Pod {
                let problem = "needs a store, which this version has not: each pod has all of it";
                warn(self.reading, &path, problem.to_owned(), "pod");
            }
        }
    }

    fn strangers(&mut self, raw: &Raw) -> Strangers {
        match &raw.unknown {
            Unknown::Refuse => Strangers::Refuse,
            Unknown::Unlimited => Strangers::Unlimited,
            Unknown::Tier(tier) => {
                if !self.known.contains(tier) {
                    let or = format!("{REFUSE}, {UNLIMITED}, or a tier: ");
                    self.no_tier(UNKNOWN_TENANTS, tier, &or);
                }
                Strangers::Tier {
                    tier: tier.clone(),
                    most: self.reading.config.max_unknown_tenants,
                }
            }
        }
    }

    fn tenants(&mut self, raw: &Raw, tiers: Option<Tiers>, strangers: Strangers) {
        let mut tenancy = Tenancy {
            tiers: tiers.clone().unwrap_or_else(Tiers::shipped),
            strangers,
            ..Tenancy::default()
        };
        let mut reserved: u64 = 0;
        for (id, said) in &raw.tenants {
            let path = inside(TENANTS, id.as_str());
            let at_tier = inside(&path, "tier");
            if let Some((_, false)) = said.state {
                let at = inside(&path, "state");
                let problem = "is not known here, and reads as suspended".to_owned();
                warn(self.reading, &at, problem, "a state of this version");
            }
            let Some(tier) = &said.tier else {
                if !self.wrong.contains(&at_tier) {
                    let known: Vec<_> = self.known.iter().map(TierName::as_str).collect();
                    let expected = format!("tier: and one of {}", known.join(", "));
                    self.say(&path, &path, "says no tier".to_owned(), &expected);
                }
                continue;
            };
            if !self.known.contains(tier) {
                self.no_tier(&at_tier, tier, "");
                continue;
            }
            // What a tier that is wrong comes to helps nobody.
            let Some(tiers) = &tiers else { continue };
            match tiers.resolve(tier, &said.over) {
                Ok(profile) => {
                    reserved = reserved.saturating_add(profile.cache_reserve);
                    self.beyond_own(&path, &said.over, &profile);
                }
                Err(BadTier::Profile { wrong, .. }) => self.bad_profile(&path, &wrong),
                Err(_) => {}
            }
            let declaration = Declaration {
                tier: tier.clone(),
                overrides: Overrides::clone(&said.over),
                state: said.state.map(|(state, _)| state),
            };
            tenancy.tenants.insert(id.clone(), declaration);
        }
        let memory = self.reading.config.cache.budget;
        let mut cache = self.reading.config.cache.clone();
        cache.shares = tenancy.allowances();
        if self.wrong.contains("memory") {
            // Whether they fit into it is not known.
        } else if reserved > memory {
            let (reserved, memory) = (ByteSize(reserved), ByteSize(memory));
            let problem = format!("reserve {reserved:#} together, more than memory, {memory:#}");
            let expected = "cache_reserve that fits into memory";
            self.say(TENANTS, TENANTS, problem, expected);
        } else if let Err(error) = cache.check_shares() {
            let expected = "reserves that can all be kept";
            self.say(TENANTS, TENANTS, error.to_string(), expected);
        }
        self.reading.config.tenancy = tenancy;
    }

    /// `fallback` is where it stands when `path` was not said itself.
    fn say(&mut self, path: &str, fallback: &str, problem: String, expected: &str) {
        if self.wrong.contains(path) {
            return;
        }
        let place = match self.reading.place(path) {
            Place::Default => self.reading.place(fallback),
            place => place,
        };
        self.reading.wrong(place, path, problem, expected);
    }
}
