//! Tiers: settings that many tenants share.
//!
//! A tier may extend another: it has that one's settings and its own over them. A
//! tenant names a tier and may override any of its settings. Three ship, and a
//! configuration may replace any of them:
//!
//! | tier | request | origin | cache cap | class | weight |
//! |---|---|---|---|---|---|
//! | `free` | 100 a minute, burst 50 | 60 a minute, burst 30 | 32 MiB | `best_effort` | 1 |
//! | `pro` | 5 000 a minute, burst 1 000 | 1 500 a minute, burst 300 | 128 MiB | `standard` | 4 |
//! | `enterprise` | 10 000 a minute, burst 5 000 | 6 000 a minute, burst 1 000 | none | `critical` | 16 |
//!
//! A burst is what a page that opens spends at once: half a minute's rate where that
//! is little, twelve seconds' where it is much. Loads are fewer than requests,
//! because hits cost none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use super::name::TierName;
use super::pace::Pace;
use super::profile::{BadProfile, LimitScope, NamedQuota, Profile};

/// Who is shed first under overload, lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// First.
    BestEffort,
    /// When that was not enough.
    #[default]
    Standard,
    /// Last.
    Critical,
}

/// What becomes of a charge over its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLimit {
    /// It is refused.
    #[default]
    Deny,
    /// It is counted, and admitted.
    Admit,
}

/// What becomes of a limit over the fleet while its store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WithoutStore {
    /// Each pod has the limit divided by the pods last known, starting empty.
    #[default]
    LocalShare,
    /// Nothing is limited.
    Open,
    /// Nothing is admitted.
    Closed,
}

/// Settings over those of a tier. `None` takes the tier's. The fields are those of
/// [`Profile`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is documented on the profile")]
pub struct Overrides {
    pub request: Pace,
    pub origin: Pace,
    /// `Some(None)` lifts the tier's cap.
    pub cache_cap: Option<Option<u64>>,
    pub cache_reserve: Option<u64>,
    pub class: Option<Class>,
    pub weight: Option<u32>,
    pub on_limit: Option<OnLimit>,
    /// `Some(None)` enforces at once.
    pub enforce_from: Option<Option<SystemTime>>,
    pub shadow: Option<bool>,
    pub scope: Option<LimitScope>,
    pub without_store: Option<WithoutStore>,
    /// Each replaces the tier's of the same name whole.
    pub limits: Vec<NamedQuota>,
}

impl Overrides {
    /// Nothing is said.
    #[must_use]
    pub const fn none() -> Self {
        const UNSAID: Pace = Pace {
            rate: None,
            burst: None,
        };
        Self {
            request: UNSAID,
            origin: UNSAID,
            cache_cap: None,
            cache_reserve: None,
            class: None,
            weight: None,
            on_limit: None,
            enforce_from: None,
            shadow: None,
            scope: None,
            without_store: None,
            limits: Vec::new(),
        }
    }

    /// These, and what they do not say as `base` says it. Limits are those of both, by
    /// name, if those of `base` are.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let mut limits = base.limits.clone();
        for limit in &self.limits {
            match limits.binary_search_by(|held| held.name.cmp(&limit.name)) {
                Ok(at) => limits[at] = limit.clone(),
                Err(at) => limits.insert(at, limit.clone()),
            }
        }
        Self {
            request: self.request.over(base.request),
            origin: self.origin.over(base.origin),
            cache_cap: self.cache_cap.or(base.cache_cap),
            cache_reserve: self.cache_reserve.or(base.cache_reserve),
            class: self.class.or(base.class),
            weight: self.weight.or(base.weight),
            on_limit: self.on_limit.or(base.on_limit),
            enforce_from: self.enforce_from.or(base.enforce_from),
            shadow: self.shadow.or(base.shadow),
            scope: self.scope.or(base.scope),
            without_store: self.without_store.or(base.without_store),
            limits,
        }
    }
}

/// Settings under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// What tenants call it.
    pub name: TierName,
    /// The tier whose settings these are over; without one, nothing is limited.
    pub extends: Option<TierName>,
    /// Its own settings.
    pub settings: Overrides,
}

/// Every tier there is, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers {
    resolved: BTreeMap<TierName, Resolved>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Resolved {
    /// Its own, and those of all that it extends.
    settings: Overrides,
    profile: Profile,
}

impl Tiers {
    /// Resolves tiers, beside those that ship. One of the same name as a shipped one
    /// replaces it, and so does what extends it.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(tiers: Vec<Tier>) -> Result<Self, Vec<BadTier>> {
        let mut wrong = Vec::new();
        let mut by_name: BTreeMap<TierName, Tier> = shipped().into();
        let mut said = BTreeSet::new();
        for tier in tiers {
            if !said.insert(tier.name.clone()) {
                wrong.push(BadTier::Twice {
                    tier: tier.name.clone(),
                });
            }
            by_name.insert(tier.name.clone(), tier);
        }
        let mut resolved = BTreeMap::new();
        for name in by_name.keys() {
            match resolve(name, &by_name) {
                Ok(tier) => {
                    resolved.insert(name.clone(), tier);
                }
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() {
            Ok(Self { resolved })
        } else {
            Err(wrong)
        }
    }

    /// Those that ship.
    #[must_use]
    pub fn shipped() -> Self {
        Self::new(Vec::new()).expect("the shipped tiers resolve: a test reads them")
    }

    /// What a tenant of this tier has, without overrides.
    #[must_use]
    pub fn get(&self, name: &TierName) -> Option<&Profile> {
        self.resolved.get(name).map(|tier| &tier.profile)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.resolved.values().map(|tier| &tier.profile)
    }

    /// What a tenant of this tier has with its own settings over it.
    ///
    /// # Errors
    /// When there is no such tier, or the settings do not fit each other.
    pub fn resolve(&self, name: &TierName, over: &Overrides) -> Result<Profile, BadTier> {
        let tier = self.resolved.get(name).ok_or_else(|| BadTier::Unknown {
            tier: name.clone(),
            known: self.resolved.keys().cloned().collect(),
        })?;
        if *over == Overrides::none() {
            return Ok(tier.profile.clone());
        }
        let mut profile = profile(name, &over.over(&tier.settings))?;
        profile.overrides = over.clone();
        Ok(profile)
    }
}

fn profile(name: &TierName, settings: &Overrides) -> Result<Profile, BadTier> {
    Profile::of(name.clone(), settings).map_err(|wrong| BadTier::Profile {
        tier: name.clone(),
        wrong,
    })
}

/// A tier's profile by way of all that it extends.
fn resolve(name: &TierName, tiers: &BTreeMap<TierName, Tier>) -> Result<Resolved, BadTier> {
    let mut chain: Vec<&Tier> = Vec::new();
    let mut next = Some(name);
    while let Some(at) = next {
        let Some(tier) = tiers.get(at) else {
            return Err(BadTier::ExtendsUnknown {
                tier: chain.last().map_or(name, |tier| &tier.name).clone(),
                extends: at.clone(),
            });
        };
        if chain.iter().any(|seen| seen.name == tier.name) {
            let mut through: Vec<_> = chain.iter().map(|tier| tier.name.clone()).collect();
            through.push(tier.name.clone());
            return Err(BadTier::Cycle { through });
        }
        chain.push(tier);
        next = tier.extends.as_ref();
    }
    let farthest_first = chain.iter().rev();
    let settings = farthest_first.fold(Overrides::none(), |far, tier| tier.settings.over(&far));
    let profile = profile(name, &settings)?;
    Ok(Resolved { settings, profile })
}

const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// What [`shipped`] makes a tier of: request and origin are (a minute, burst).
struct Shipped {
    name: &'static str,
    request: (u64, u64),
    origin: (u64, u64),
    cache_cap: Option<u64>,
    class: Class,
    weight: u32,
}

const SHIPPED: [Shipped; 3] = [
    Shipped {
        name: "free",
        request: (100, 50),
        origin: (60, 30),
        cache_cap: Some(32 * MIB),
        class: Class::BestEffort,
        weight: 1,
    },
    Shipped {
        name: "pro",
        request: (5_000, 1_000),
        origin: (1_500, 300),
        cache_cap: Some(128 * MIB),
        class: Class::Standard,
        weight: 4,
    },
    Shipped {
        name: "enterprise",
        request: (10_000, 5_000),
        origin: (6_000, 1_000),
        cache_cap: None,
        class: Class::Critical,
        weight: 16,
    },
];

fn shipped() -> [(TierName, Tier); 3] {
    SHIPPED.map(|row| {
        let fits = "the shipped tiers are within bounds: a test reads them";
        let pace = |(amount, burst)| Pace::of(amount, MINUTE, burst);
        let name = TierName::parse(row.name).expect(fits);
        let settings = Overrides {
            request: pace(row.request),
            origin: pace(row.origin),
            cache_cap: Some(row.cache_cap),
            class: Some(row.class),
            weight: Some(row.weight),
            ..Overrides::default()
        };
        let tier = Tier {
            name: name.clone(),
            extends: None,
            settings,
        };
        (name, tier)
    })
}

/// A tier that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadTier {
    /// Named twice.
    Twice {
        /// The tier.
        tier: TierName,
    },
    /// It extends one that there is not.
    ExtendsUnknown {
        /// The tier.
        tier: TierName,
        /// What it extends.
        extends: TierName,
    },
    /// It extends itself, by way of others.
    Cycle {
        /// From the tier on; the last one is among those before.
        through: Vec<TierName>,
    },
    /// There is no such tier.
    Unknown {
        /// The name.
        tier: TierName,
        /// Those there are.
        known: Vec<TierName>,
    },
    /// Its settings do not fit each other.
    Profile {
        /// The tier.
        tier: TierName,
        /// What does not fit.
        wrong: BadProfile,
    },
}

impl fmt::Display for BadTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[TierName], between| {
            let names: Vec<_> = names.iter().map(TierName::as_str).collect();
            names.join(between)
        };
        match self {
            Self::Twice { tier } => write!(f, "tier {tier} is given twice"),
            Self::ExtendsUnknown { tier, extends } => {
                write!(f, "tier {tier} extends {extends}, which there is not")
            }
            Self::Cycle { through } => {
                write!(
                    f,
                    "tiers extend each other in a circle: {}",
                    list(through, " → ")
                )
            }
            Self::Unknown { tier, known } => {
                write!(f, "no tier {tier}: expected one of {}", list(known, ", "))
            }
            Self::Profile { tier, wrong } => write!(f, "tier {tier}: {wrong}"),
        }
    }
}

impl std::error::Error for BadTier {}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
