//! One limiter of a few tenants.

use std::sync::Arc;
use std::time::Duration;

use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::limit::{Call, Charge, Config, Decision, Limiter, Quota, Verdict};
use millpond_core::tenant::{
    self, Declaration, Directory, LimitName, NamedQuota, Overrides, Pace, Strangers, TenantId,
    Tier, TierName, Tiers,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Rig {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) clock: ManualClock,
}

pub(crate) fn quota(amount: u64, burst: u64) -> Quota {
    Quota::per_second(amount, burst).expect("valid")
}

pub(crate) fn named(name: &str, total: Option<Quota>, per_key: Option<Quota>) -> NamedQuota {
    NamedQuota {
        total,
        per_key,
        ..NamedQuota::new(LimitName::parse(name).expect("valid"))
    }
}

pub(crate) fn tier(name: &str, request: Option<Quota>, limits: Vec<NamedQuota>) -> Tier {
    Tier {
        name: TierName::parse(name).expect("valid"),
        extends: None,
        settings: Overrides {
            request: request.map(Pace::from).unwrap_or_default(),
            limits,
            ..Overrides::default()
        },
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

impl Rig {
    /// Tenant `a` is of the first tier.
    pub(crate) fn new(tiers: Vec<Tier>) -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND));
        let first = Declaration::of(tiers[0].name.clone());
        let directory = Directory::new(tenant::Config {
            tiers: Tiers::new(tiers).expect("valid"),
            strangers: Strangers::Refuse,
            tenants: vec![(tenant("a"), first.clone()), (tenant("b"), first)],
            clock: Clock::Manual(clock.clone()),
        });
        Self {
            limiter: Limiter::new(directory.expect("valid"), Config::default()),
            clock,
        }
    }

    /// Burst 5, one a second.
    pub(crate) fn five() -> Self {
        Self::new(vec![tier("five", Some(quota(1, 5)), Vec::new())])
    }

    pub(crate) fn put(&self, tier: &str) {
        let tier = Declaration::of(TierName::parse(tier).expect("valid"));
        let directory = self.limiter.directory();
        directory.put(&tenant("a"), &tier).expect("valid");
    }

    pub(crate) fn call(&self, charges: &[(&str, &str, u64)]) -> Decision {
        let charges = charges_of(charges);
        let call = Call {
            charges: &charges,
            ..Call::default()
        };
        self.limiter.acquire("a", &call).expect("decided").decision
    }

    /// One call of the tenant's own bucket: `Ok`, or when to come back in milliseconds;
    /// `None` is never.
    pub(crate) fn own(&self, cost: u64) -> Result<(), Option<u128>> {
        let slow = self.limiter.peek("a", &charges_of(&[("", "", cost)]));
        let decision = self.limiter.acquire_own("a", cost).expect("known");
        let slow = slow.expect("known");
        assert_eq!(
            slow.verdict, decision.verdict,
            "the short way says the same"
        );
        assert_eq!(slow.retry_after, decision.retry_after);
        match decision.verdict {
            Verdict::Allowed => Ok(()),
            Verdict::OverLimit => Err(Some(decision.retry_after.as_nanos().div_ceil(1_000_000))),
            Verdict::Never => Err(None),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn drain(&self) -> usize {
        (0..).take_while(|_| self.own(1).is_ok()).count()
    }
}

pub(crate) fn charges_of<'a>(charges: &[(&'a str, &'a str, u64)]) -> Vec<Charge<'a>> {
    let charge = |&(limit, key, cost): &(&'a str, &'a str, u64)| Charge {
        limit,
        key: key.as_bytes(),
        cost,
    };
    charges.iter().map(charge).collect()
}
