//! Handles for the models in `loom-tests`: charging through a directory, as the
//! limiter does, without the limiter.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Class, Config, Declaration, Directory, Entry, LimitName, NamedQuota, Overrides, Pace,
    Strangers, Tier, TierName, Tiers,
};
use crate::cache::TenantId;
use crate::clock::{Clock, ManualClock, Time};
use crate::limit::word::Refused;
use crate::limit::{Quota, Ticks};

/// One tenant, `t`, on a clock that stands still. Its tiers are `small` (2 tokens) and
/// `large` (3), each with a limit `n` of 1 and 2; a third, `none`, has no limit.
#[derive(Debug)]
pub struct Tenancy {
    directory: Arc<Directory>,
    tenant: TenantId,
}

fn tier(name: &str, request: u64, named: u64) -> Tier {
    let quota = |burst| Quota::per_second(1, burst).ok();
    let limit = NamedQuota {
        total: quota(named),
        ..NamedQuota::new(LimitName::parse("n").expect("valid"))
    };
    let settings = Overrides {
        request: Pace::of(1, Duration::from_secs(1), request),
        class: Some(Class::Standard),
        limits: if named == 0 { Vec::new() } else { vec![limit] },
        ..Overrides::default()
    };
    Tier {
        name: TierName::parse(name).expect("valid"),
        extends: None,
        settings,
    }
}

impl Tenancy {
    /// With the tenant of tier `small`.
    #[must_use]
    pub fn new() -> Self {
        let clock = ManualClock::starting_at(Time::ZERO);
        let tiers = vec![tier("small", 2, 1), tier("large", 3, 2), tier("none", 3, 0)];
        let tenant = TenantId::parse("t").expect("valid");
        let small = Declaration::of(TierName::parse("small").expect("valid"));
        let directory = Directory::new(Config {
            tiers: Tiers::new(tiers).expect("valid"),
            strangers: Strangers::Refuse,
            tenants: vec![(tenant.clone(), small)],
            clock: Clock::Manual(clock),
        });
        let directory = directory.expect("valid");
        Self { directory, tenant }
    }

    /// Moves the tenant to another tier.
    pub fn put(&self, tier: &str) {
        let tier = Declaration::of(TierName::parse(tier).expect("valid"));
        self.directory.put(&self.tenant, &tier).expect("valid");
    }

    /// The entry by name.
    #[must_use]
    pub fn entry(&self) -> Arc<Entry> {
        self.directory.resolve("t").expect("known")
    }

    /// Spends a token of the tenant's own, from an entry that may be old.
    #[must_use]
    pub fn spend(&self, entry: &Arc<Entry>) -> bool {
        self.on_current(entry, |entry| {
            let quota = entry.profile().request.as_ref().expect("limited");
            entry
                .request
                .charge(quota, Ticks::ZERO, 1, Ticks::ZERO, &entry.dues)
        })
    }

    /// Spends a token of limit `n`, from an entry that may be old; `true` without the limit.
    #[must_use]
    pub fn spend_named(&self, entry: &Arc<Entry>) -> bool {
        self.on_current(entry, |entry| {
            let Some((at, limit)) = entry.profile().limit("n") else {
                return Ok(());
            };
            let quota = limit.total.as_ref().expect("limited");
            let charged = entry.named(at, |named| {
                named
                    .total
                    .charge(quota, Ticks::ZERO, 1, Ticks::ZERO, &named.dues)
            });
            charged.unwrap_or(Err(Refused::Sealed)).map(|_| ())
        })
    }

    fn on_current<R>(
        &self,
        entry: &Arc<Entry>,
        charge: impl Fn(&Entry) -> Result<R, Refused>,
    ) -> bool {
        let mut entry = Arc::clone(entry);
        loop {
            match charge(&entry) {
                Ok(_) => return true,
                Err(Refused::Sealed) => {}
                Err(_) => return false,
            }
            entry = self.directory.current(&entry).expect("known");
        }
    }

    /// How many tokens are left to the tenant at rest.
    #[must_use]
    pub fn left(&self) -> u64 {
        let entry = self.entry();
        (0..).take_while(|_| self.spend(&entry)).count() as u64
    }

    /// How many of limit `n`.
    #[must_use]
    pub fn left_named(&self) -> u64 {
        let entry = self.entry();
        (0..).take_while(|_| self.spend_named(&entry)).count() as u64
    }
}

impl Default for Tenancy {
    fn default() -> Self {
        Self::new()
    }
}
