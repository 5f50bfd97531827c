//! The same schedules through governor's bucket: the same arithmetic by other hands.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::{Quota as Other, RateLimiter};
use millpond_core::limit::{Quota, Verdict};
use millpond_core::tenant::{Declaration, TenantId, TierName};

use crate::rig::{Rig, tenant, tier};

/// Schedules, each of up to 40 calls.
const SCHEDULES: u64 = 120_000;

#[derive(Clone, Debug)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// When the same call would be admitted, in nanoseconds; `None` is never.
type Said = Result<(), Option<u128>>;

fn ours(rig: &Rig, tenant: &TenantId, cost: u64) -> Said {
    let decision = rig
        .limiter
        .acquire_own(tenant.as_str(), cost)
        .expect("known");
    match decision.verdict {
        Verdict::Allowed => Ok(()),
        Verdict::OverLimit => Err(Some(decision.retry_after.as_nanos())),
        Verdict::Never => Err(None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_schedule_is_decided_as_governor_decides_it() {
    let mut random = fastrand::Rng::with_seed(11);
    let begin = || Rig::new(vec![tier("t", None, Vec::new())]);
    let mut rig = begin();
    let (mut admitted, mut denied, mut never) = (0_u64, 0_u64, 0_u64);
    for schedule in 0..SCHEDULES {
        // The clock jumps by hours: all of them would take it past what a word holds.
        if schedule % 10_000 == 0 {
            rig = begin();
        }
        let directory = rig.limiter.directory();
        let period = match random.u32(0..3) {
            0 => random.u64(1_000..1_000_000),
            1 => random.u64(1_000_000..5_000_000_000),
            _ => 1_000_000_000,
        };
        let burst = random.u32(1..50);
        let period = Duration::from_nanos(period);
        let quota = Quota::new(1, period, burst.into()).expect("valid");
        let id = tenant(&format!("s{schedule}"));
        let mut declaration = Declaration::of(TierName::parse("t").expect("valid"));
        declaration.overrides.request = quota.into();
        directory.put(&id, &declaration).expect("valid");
        let start = rig.clock.now().as_nanos();
        let hand = Hand(Arc::new(AtomicU64::new(start)));
        let burst_of_other = NonZeroU32::new(burst).expect("not 0");
        let other = Other::with_period(period).expect("not 0");
        let other = RateLimiter::direct_with_clock(other.allow_burst(burst_of_other), hand.clone());
        for call in 0..random.u32(1..40) {
            let nanos = u64::try_from(period.as_nanos()).expect("small");
            match random.u32(0..20) {
                0 => {
                    // Backwards, but not to before the buckets began.
                    let back = random.u64(0..=nanos * 3);
                    let back = back.min(hand.0.load(Ordering::Relaxed) - start);
                    rig.clock.retreat(Duration::from_nanos(back));
                    hand.0.fetch_sub(back, Ordering::Relaxed);
                }
                step @ 1..12 => {
                    let by = match step {
                        1 => random.u64(0..=nanos * u64::from(burst) * 2),
                        2 => 3_600_000_000_000,
                        3..6 => nanos,
                        _ => random.u64(0..=nanos),
                    };
                    rig.clock.advance(Duration::from_nanos(by));
                    hand.0.fetch_add(by, Ordering::Relaxed);
                }
                _ => {}
            }
            let cost = match random.u32(0..10) {
                0 => burst + 1,
                1..4 => random.u32(1..=burst),
                _ => 1,
            };
            let theirs: Said = match other.check_n(NonZeroU32::new(cost).expect("not 0")) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(until)) => Err(Some(until.wait_time_from(hand.now()).as_nanos())),
                Err(_) => Err(None),
            };
            let said = ours(&rig, &id, cost.into());
            assert_eq!(
                said, theirs,
                "schedule {schedule}, call {call}, cost {cost}"
            );
            match said {
                Ok(()) => admitted += 1,
                Err(Some(_)) => denied += 1,
                Err(None) => never += 1,
            }
        }
        directory.remove(&id);
    }
    // Nothing is proven by schedules that decide nothing.
    assert!(admitted > 500_000 && denied > 300_000 && never > 100_000);
}
