//! What a tenant may, resolved: its tier's settings with its own over them.
//!
//! A profile never changes; a tenant gets another. Tenants of one tier without
//! overrides have equal profiles, so equal ones are kept once: [`Profiles`] finds
//! them by content and holds on to none of them itself.
//!
//! Cost: about 300 bytes a profile that differs, 8 bytes a tenant that shares one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::name::{LimitName, TierName};
use super::pace::{BadPace, Pace};
use super::tier::{Class, OnLimit, Overrides, WithoutStore};
use crate::limit::Quota;

/// What a tenant may.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Profile {
    /// The tier it was resolved from.
    pub tier: TierName,
    /// What the tenant has over its tier.
    pub overrides: Overrides,
    /// Requests of the tenant, over all its keys and limits. `None` is unlimited.
    pub request: Option<Quota>,
    /// Loads for the tenant: one a lease granted, however many wait for it. `None`
    /// is unlimited.
    pub origin: Option<Quota>,
    /// The most bytes of L1 the tenant may hold. `None` is all of it.
    pub cache_cap: Option<u64>,
    /// Bytes of L1 that nobody else can take from the tenant.
    pub cache_reserve: u64,
    /// Who is shed first.
    pub class: Class,
    /// The tenant's share of what is divided within its class, relative to others.
    pub weight: u32,
    /// What becomes of a request over the tenant's own limit.
    pub on_limit: OnLimit,
    /// Before this, a request over the tenant's own limit is counted and admitted.
    pub enforce_from: Option<SystemTime>,
    /// The tenant's own limit is decided and counted, and never refuses.
    pub shadow: bool,
    /// Over whom the tenant's own limit counts.
    pub scope: LimitScope,
    /// What becomes of a limit over the fleet while its store is away.
    pub without_store: WithoutStore,
    /// The limits beside the tenant's own, by name, each name once.
    pub limits: Vec<NamedQuota>,
}

impl Profile {
    /// The heaviest a tenant may weigh.
    pub const MAX_WEIGHT: u32 = 1_000;

    /// Named limits a tenant may have.
    pub const MAX_LIMITS: usize = 64;

    /// A tier's name and nothing that limits.
    pub(crate) fn unlimited(tier: TierName) -> Self {
        Self::of(tier, &Overrides::none()).expect("nothing said contradicts nothing")
    }

    /// What settings come to.
    pub(crate) fn of(tier: TierName, settings: &Overrides) -> Result<Self, BadProfile> {
        let pace = |pace: Pace, of| pace.quota().map_err(|wrong| BadProfile::Pace { of, wrong });
        let profile = Self {
            tier,
            overrides: Overrides::none(),
            request: pace(settings.request, Paced::Request)?,
            origin: pace(settings.origin, Paced::Origin)?,
            cache_cap: settings.cache_cap.flatten(),
            cache_reserve: settings.cache_reserve.unwrap_or(0),
            class: settings.class.unwrap_or_default(),
            weight: settings.weight.unwrap_or(1),
            on_limit: settings.on_limit.unwrap_or_default(),
            enforce_from: settings.enforce_from.flatten(),
            shadow: settings.shadow.unwrap_or(false),
            scope: settings.scope.unwrap_or_default(),
            without_store: settings.without_store.unwrap_or_default(),
            limits: settings.limits.clone(),
        };
        profile.check()?;
        Ok(profile)
    }

    /// The named limit and its place in [`Self::limits`].
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<(usize, &NamedQuota)> {
        let at = self
            .limits
            .binary_search_by(|limit| limit.name.as_str().cmp(name));
        at.ok().map(|at| (at, &self.limits[at]))
    }

    fn check(&self) -> Result<(), BadProfile> {
        if let Some(cap) = self.cache_cap
            && self.cache_reserve > cap
        {
            let reserve = self.cache_reserve;
            return Err(BadProfile::ReserveAboveCap { reserve, cap });
        }
        if self.weight == 0 || self.weight > Self::MAX_WEIGHT {
            return Err(BadProfile::Weight(self.weight));
        }
        if self.limits.len() > Self::MAX_LIMITS {
            return Err(BadProfile::TooManyLimits(self.limits.len()));
        }
        let unkeyed =
            |limit: &&NamedQuota| limit.max_keys == 0 || limit.max_keys > NamedQuota::MOST_KEYS;
        match self.limits.iter().find(unkeyed) {
            Some(limit) => Err(BadProfile::Keys {
                limit: limit.name.clone(),
                max_keys: limit.max_keys,
            }),
            None => Ok(()),
        }
    }
}

/// A limit beside the tenant's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedQuota {
    /// What charges call it.
    pub name: LimitName,
    /// Over all keys. `None` is unlimited.
    pub total: Option<Quota>,
    /// For each key by itself. `None` is unlimited.
    pub per_key: Option<Quota>,
    /// Keys that are told apart at once, at about 100 bytes each; beyond it new ones
    /// share one bucket. Default 65 536.
    pub max_keys: u32,
    /// Does not charge the tenant's own limit as well.
    pub apart: bool,
    /// What becomes of a charge over it.
    pub on_limit: OnLimit,
    /// Before this, a charge over it is counted and admitted.
    pub enforce_from: Option<SystemTime>,
    /// Is decided and counted, and never refuses.
    pub shadow: bool,
    /// Over whom it counts.
    pub scope: LimitScope,
}

impl NamedQuota {
    /// Keys told apart, unless said otherwise.
    pub const DEFAULT_KEYS: u32 = 65_536;

    /// The most keys that may be told apart: about 1.6 GB.
    pub const MOST_KEYS: u32 = 1 << 24;

    /// One that limits nothing yet.
    #[must_use]
    pub const fn new(name: LimitName) -> Self {
        Self {
            name,
            total: None,
            per_key: None,
            max_keys: Self::DEFAULT_KEYS,
            apart: false,
            on_limit: OnLimit::Deny,
            enforce_from: None,
            shadow: false,
            scope: LimitScope::Pod,
        }
    }
}

/// Over whom a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitScope {
    /// Each pod has all of it.
    #[default]
    Pod,
    /// Each pod has an equal part of it.
    Divided,
    /// All pods share it.
    Fleet,
}

/// Settings that contradict each other, or are out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadProfile {
    /// A rate and a burst.
    Pace {
        /// Of what.
        of: Paced,
        /// What is wrong with them.
        wrong: BadPace,
    },
    /// More is reserved than may be held.
    ReserveAboveCap {
        /// Bytes.
        reserve: u64,
        /// Bytes.
        cap: u64,
    },
    /// Outside `1..=`[`Profile::MAX_WEIGHT`].
    Weight(u32),
    /// More than [`Profile::MAX_LIMITS`].
    TooManyLimits(usize),
    /// Outside `1..=`[`NamedQuota::MOST_KEYS`].
    Keys {
        /// Of this limit.
        limit: LimitName,
        /// What was asked.
        max_keys: u32,
    },
}

/// What a rate and a burst are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paced {
    /// Requests.
    Request,
    /// Loads.
    Origin,
}

impl fmt::Display for BadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pace { of, wrong } => match of {
                Paced::Request => wrong.fmt(f),
                Paced::Origin => write!(f, "of the origin: {wrong}"),
            },
            Self::ReserveAboveCap { reserve, cap } => write!(
                f,
                "a cache_reserve of {reserve} bytes above the cache_cap of {cap}"
            ),
            Self::Weight(weight) => write!(
                f,
                "a weight of {weight}: expected 1 to {}",
                Profile::MAX_WEIGHT
            ),
            Self::TooManyLimits(count) => write!(
                f,
                "{count} named limits: expected at most {}",
                Profile::MAX_LIMITS
            ),
            Self::Keys { limit, max_keys } => write!(
                f,
                "limit {limit}: max_keys of {max_keys}: expected 1 to {}",
                NamedQuota::MOST_KEYS
            ),
        }
    }
}

impl std::error::Error for BadProfile {}

/// Every profile in use, found by content.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    by_content: HashMap<u64, Vec<Weak<Profile>>, ahash::RandomState>,
    hasher: ahash::RandomState,
    /// Looked through for those out of use when it has grown to this.
    tidy_at: usize,
}

impl Profiles {
    /// The one of this content: the same `Arc` for as long as anybody holds it.
    pub(crate) fn share(&mut self, profile: Arc<Profile>) -> Arc<Profile> {
        let hash = self.hasher.hash_one(&*profile);
        if let Some(alike) = self.by_content.get(&hash)
            && let Some(held) = alike
                .iter()
                .filter_map(Weak::upgrade)
                .find(|held| *held == profile)
        {
            return held;
        }
        if self.by_content.len() >= self.tidy_at {
            self.tidy();
        }
        self.by_content
            .entry(hash)
            .or_default()
            .push(Arc::downgrade(&profile));
        profile
    }

    fn tidy(&mut self) {
        const FEW: usize = 64;
        self.by_content.retain(|_, alike| {
            alike.retain(|held| held.strong_count() > 0);
            !alike.is_empty()
        });
        self.tidy_at = (self.by_content.len() * 2).max(FEW);
    }

    #[cfg(all(test, not(millpond_loom)))]
    pub(crate) fn len(&self) -> usize {
        self.by_content.values().map(Vec::len).sum()
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn tier(name: &str) -> TierName {
        TierName::parse(name).expect("valid")
    }

    fn named(name: &str, amount: u64) -> NamedQuota {
        NamedQuota {
            total: Quota::per_second(amount, amount).ok(),
            ..NamedQuota::new(LimitName::parse(name).expect("valid"))
        }
    }

    #[test]
    fn equal_profiles_are_one_and_none_outlives_its_tenants() {
        let mut profiles = Profiles::default();
        let first = profiles.share(Arc::new(Profile::unlimited(tier("a"))));
        let again = profiles.share(Arc::new(Profile::unlimited(tier("a"))));
        assert!(Arc::ptr_eq(&first, &again));
        for weight in 2..1_000 {
            let other = Profile {
                weight,
                ..Profile::unlimited(tier("a"))
            };
            assert!(!Arc::ptr_eq(&first, &profiles.share(Arc::new(other))));
        }
        assert!(profiles.len() < 200, "{} kept, 1 in use", profiles.len());
    }

    #[test]
    fn limits_are_merged_by_name_and_found_by_it() {
        let over = |limits| Overrides {
            limits,
            ..Overrides::none()
        };
        let merged = over(vec![named("sms", 3), named("mail", 4)])
            .over(&over(vec![named("api", 2), named("sms", 1)]));
        let profile = Profile::of(tier("a"), &merged).expect("valid");
        let names: Vec<_> = profile
            .limits
            .iter()
            .map(|limit| limit.name.as_str())
            .collect();
        assert_eq!(names, ["api", "mail", "sms"]);
        let (at, sms) = profile.limit("sms").expect("valid");
        assert_eq!((at, sms.total.expect("valid").amount()), (2, 3));
        assert!(profile.limit("fax").is_none());
    }

    #[test]
    fn a_rate_and_a_burst_are_inherited_each_by_itself() {
        let minute = std::time::Duration::from_secs(60);
        let over = |request| Overrides {
            request,
            ..Overrides::none()
        };
        let base = over(Pace::of(100, minute, 50));
        let burst = |request: Pace| {
            let profile = Profile::of(tier("a"), &over(request).over(&base)).expect("valid");
            profile.request.map(|quota| (quota.amount(), quota.burst()))
        };
        let rate = Some(super::super::Rate::Of {
            amount: 7,
            period: minute,
        });
        assert_eq!(burst(Pace { rate, burst: None }), Some((7, 50)));
        assert_eq!(
            burst(Pace {
                rate: None,
                burst: Some(9)
            }),
            Some((100, 9))
        );
        assert_eq!(burst(Pace::unlimited()), None);
        let alone = Profile::of(tier("a"), &over(Pace { rate, burst: None })).expect("valid");
        assert_eq!(
            alone.request.expect("valid").burst(),
            7,
            "as many as come back in its period"
        );
        let no_rate = Profile::of(
            tier("a"),
            &over(Pace {
                rate: None,
                burst: Some(9),
            }),
        );
        assert_eq!(
            no_rate.expect_err("refused").to_string(),
            "a burst without a rate"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let base = || Profile::unlimited(tier("a"));
        let refused = |profile: Profile| profile.check().expect_err("refused").to_string();
        assert_eq!(
            refused(Profile {
                cache_cap: Some(5),
                cache_reserve: 6,
                ..base()
            }),
            "a cache_reserve of 6 bytes above the cache_cap of 5"
        );
        assert_eq!(
            refused(Profile {
                weight: 0,
                ..base()
            }),
            "a weight of 0: expected 1 to 1000"
        );
        assert!(
            Profile {
                weight: 1_001,
                ..base()
            }
            .check()
            .is_err()
        );
        let limits = (0..65).map(|i| named(&format!("l{i}"), 1)).collect();
        assert!(Profile { limits, ..base() }.check().is_err());
        let limits = vec![NamedQuota {
            max_keys: 0,
            ..named("api", 1)
        }];
        assert!(Profile { limits, ..base() }.check().is_err());
        assert_eq!(base().check(), Ok(()));
    }
}
