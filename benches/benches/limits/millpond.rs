//! Millpond's ways to decide.

use std::sync::Arc;
use std::time::Duration;

use millpond_core::clock::Clock;
use millpond_core::limit::{self, Call, Charge, Granted, Limiter, MAX_CHARGES, Quota};
use millpond_core::tenant::{
    Config, Declaration, Directory, LimitName, NamedQuota, Overrides, Strangers, TenantId, TierName,
};

use crate::work::{Contender, Draws, MOST_THREADS, names};

const LIMITS: [&str; MAX_CHARGES] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A bucket, as it is made.
pub(crate) struct Bucket {
    amount: u64,
    period: Duration,
    burst: u64,
}

impl Bucket {
    fn quota(&self) -> Quota {
        Quota::new(self.amount, self.period, self.burst).expect("within the bounds")
    }
}

/// The fastest there is, and more of it than a run can spend.
pub(crate) const ADMITS: Bucket = Bucket {
    amount: Quota::MAX_PER_SECOND,
    period: Duration::from_secs(1),
    burst: 1 << 50,
};
pub(crate) const DENIES: Bucket = Bucket {
    amount: 1,
    period: Duration::from_secs(3_600),
    burst: 1,
};

/// Whether threads spend from a bucket each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    Each,
    One,
}

fn limiter(bucket: &Bucket, limits: Vec<NamedQuota>) -> Arc<Limiter> {
    let declaration = Declaration {
        overrides: Overrides {
            request: bucket.quota().into(),
            limits,
            ..Overrides::default()
        },
        ..Declaration::of(TierName::parse("pro").expect("valid"))
    };
    let tenant = |name: &String| {
        let id = TenantId::parse(name).expect("valid");
        (id, declaration.clone())
    };
    let directory = Directory::new(Config {
        strangers: Strangers::Refuse,
        tenants: names().iter().map(tenant).collect(),
        ..Config::default()
    });
    Limiter::new(directory.expect("valid"), limit::Config::default())
}

/// A tenant in hand; and tokens that were granted to this process, where there are any.
pub(crate) fn in_hand(bucket: &Bucket, share: Share) -> Vec<Contender> {
    let (names, limiter) = (names(), limiter(bucket, Vec::new()));
    let of = move |thread: usize| if share == Share::Each { thread } else { 0 };
    let handle = Contender::new("Millpond, a handle", move |thread| {
        let mut handle = limiter.handle(&names[of(thread)]).expect("known");
        move || handle.try_acquire(1).is_ok()
    });
    let mut all = vec![handle];
    if bucket.burst > 1 {
        let hands: Arc<[Granted]> = (0..MOST_THREADS).map(|_| full_hand()).collect();
        all.push(Contender::new("Millpond, granted", move |thread| {
            let hands = Arc::clone(&hands);
            move || hands[of(thread)].spend(1).is_some()
        }));
    }
    all
}

/// As much as can be held at once, for longer than a run takes.
fn full_hand() -> Granted {
    let granted = Granted::none(Clock::Kernel);
    granted.add(u32::MAX, Clock::Kernel.now(), Duration::from_secs(3_600));
    granted
}

/// Random ones of many tenants.
pub(crate) fn by_name(bucket: &Bucket) -> Contender {
    let shared = Arc::new((names(), limiter(bucket, Vec::new()), Draws::new()));
    Contender::new("Millpond, by name", move |thread| {
        let shared = Arc::clone(&shared);
        let mut draw = shared.2.of(thread);
        move || {
            let decision = shared.1.acquire_own(&shared.0[draw()], 1);
            decision.is_ok_and(|decision| decision.is_allowed())
        }
    })
}

/// A limit of one tenant, at which only keys have buckets, and of those as many as
/// governor has. The tenant's own bucket is charged too, unless the limit is apart.
pub(crate) fn by_key(bucket: &Bucket, apart: bool) -> Contender {
    let limit = NamedQuota {
        per_key: Some(bucket.quota()),
        apart,
        ..NamedQuota::new(LimitName::parse("api").expect("valid"))
    };
    let shared = Arc::new((names(), limiter(bucket, vec![limit]), Draws::new()));
    let name = if apart {
        "Millpond, a limit's key"
    } else {
        "Millpond, a limit's key and the tenant"
    };
    Contender::new(name, move |thread| {
        let shared = Arc::clone(&shared);
        let mut draw = shared.2.of(thread);
        move || {
            let charge = Charge {
                limit: "api",
                key: shared.0[draw()].as_bytes(),
                cost: 1,
            };
            allowed(&shared.1, &shared.0[0], &[charge])
        }
    })
}

/// So many limits of a random tenant, and its own bucket beside.
pub(crate) fn charges(bucket: &Bucket, count: usize) -> Contender {
    let limit = |at: usize| NamedQuota {
        total: Some(bucket.quota()),
        ..NamedQuota::new(LimitName::parse(LIMITS[at]).expect("valid"))
    };
    let limits = (0..count).map(limit).collect();
    let shared = Arc::new((names(), limiter(bucket, limits), Draws::new()));
    Contender::new("Millpond, several charges", move |thread| {
        let shared = Arc::clone(&shared);
        let mut draw = shared.2.of(thread);
        let charges = LIMITS.map(|limit| Charge {
            limit,
            key: &[],
            cost: 1,
        });
        move || allowed(&shared.1, &shared.0[draw()], &charges[..count])
    })
}

fn allowed(limiter: &Arc<Limiter>, tenant: &str, charges: &[Charge<'_>]) -> bool {
    let call = Call {
        charges,
        ..Call::default()
    };
    let acquired = limiter.acquire(tenant, &call);
    acquired.is_ok_and(|acquired| acquired.decision.is_allowed())
}
