//! The port to the fleet's buckets, by the model that every grantor is like.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::fence::Boot;
use millpond_core::limit::grantor::memory::{Fault, LIVES, MemoryGrantor};
use millpond_core::limit::grantor::{FleetAsk, FleetBucket, Grantor, conformance};
use millpond_core::limit::{Granted, Quota};
use proptest::prelude::*;

use crate::rig::{quota, tenant};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the model waits for nobody"),
    }
}

fn clock() -> ManualClock {
    ManualClock::starting_at(Time::ZERO.after(Duration::from_secs(1_000)))
}

#[test]
fn the_model_of_a_fleet_passes_the_suite() {
    let clock = clock();
    let grantor = MemoryGrantor::new(Clock::Manual(clock.clone()));
    now(conformance::check(&grantor, |time| {
        clock.advance(time);
        std::future::ready(())
    }));
}

/// A sidecar with tokens of one bucket of the fleet.
struct Sidecar {
    boot: Boot,
    granted: Granted,
}

impl Sidecar {
    fn new(clock: &ManualClock, nth: u64) -> Self {
        Self {
            boot: Boot::from_bits(nth),
            granted: Granted::none(Clock::Manual(clock.clone())),
        }
    }

    fn ask(&self, grantor: &MemoryGrantor, quota: Quota, want: u32, at: Time) {
        let tenant = tenant("a");
        let report = self.granted.report();
        let ask = FleetAsk {
            bucket: FleetBucket {
                tenant: &tenant,
                limit: "",
                key: &[],
                quota,
            },
            holder: self.boot,
            want,
            used: report.used,
            returned: report.returned,
        };
        if let Ok(given) = now(grantor.ask(ask)) {
            self.granted.add(given.tokens, at, LIVES);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Ask(usize, u32),
    AskWith(Fault, usize, u32),
    Spend(usize, u32),
    HandBack(usize, u32),
    Die(usize),
    /// The store restarts empty.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0_usize..3;
    let fault = prop_oneof![Just(Fault::Away), Just(Fault::AnswerLost)];
    prop_oneof![
        4 => (0_u64..1_500).prop_map(Step::Advance),
        5 => (who.clone(), 0_u32..60).prop_map(|(who, want)| Step::Ask(who, want)),
        1 => (fault, who.clone(), 0_u32..60).prop_map(|(f, who, want)| Step::AskWith(f, who, want)),
        6 => (who.clone(), 1_u32..20).prop_map(|(who, cost)| Step::Spend(who, cost)),
        3 => (who.clone(), 1_u32..60).prop_map(|(who, count)| Step::HandBack(who, count)),
        1 => who.prop_map(Step::Die),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_fleet_admits_rate_and_burst_and_what_was_on_grant_whatever_is_lost(
        (rate, burst) in (1_u64..50, 1_u64..60),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (clock, quota) = (clock(), quota(rate, burst));
        let grantor = MemoryGrantor::new(Clock::Manual(clock.clone()));
        let mut boots = 1_u64..;
        let mut begin = || Sidecar::new(&clock, boots.next().expect("endless"));
        let mut sidecars = [begin(), begin(), begin()];
        // When, how much was admitted, and what was on grant just before.
        let mut history: Vec<(Time, u64, u64)> = Vec::new();
        for step in steps {
            let left = |sidecar: &Sidecar| u64::from(sidecar.granted.left());
            let on_grant = sidecars.iter().map(left).sum();
            let (mut admitted, at) = (0, clock.now());
            match step {
                Step::Advance(ms) => clock.advance(Duration::from_millis(ms)),
                Step::Ask(who, want) => sidecars[who].ask(&grantor, quota, want, at),
                Step::AskWith(fault, who, want) => {
                    grantor.suffer(fault);
                    sidecars[who].ask(&grantor, quota, want, at);
                    grantor.suffer(Fault::None);
                }
                Step::Spend(who, cost) => {
                    if sidecars[who].granted.spend(cost).is_some() {
                        admitted = cost.into();
                    }
                }
                Step::HandBack(who, count) => {
                    sidecars[who].granted.take_back(count);
                    sidecars[who].ask(&grantor, quota, 0, at);
                }
                Step::Die(who) => sidecars[who] = begin(),
                Step::Restart => grantor.restart(),
            }
            history.push((clock.now(), admitted, on_grant));
        }
        for (at, &(from, _, on_grant)) in history.iter().enumerate() {
            let mut admitted = 0;
            for &(to, count, _) in &history[at..] {
                admitted += count;
                let window = to.since(from).as_nanos();
                let refilled = u128::from(rate) * window / 1_000_000_000;
                let bound = u128::from(burst) + refilled + u128::from(on_grant);
                prop_assert!(
                    u128::from(admitted) <= bound,
                    "{admitted} admitted within {window} ns, at most {bound}"
                );
            }
        }
    }
}
