//! What was admitted, replayed against an ideal bucket: whatever was held, released,
//! left, retried or re-rated, it fits.

use millpond_core::fence::Token;
use millpond_core::limit::{Call, Settlement, Turn};
use proptest::prelude::*;

use crate::rig::{Rig, SECOND, charges_of, quota, tenant, tier};

#[derive(Clone, Debug)]
enum Step {
    Spend(u64),
    Hold { cost: u64, seconds: u32 },
    Release(usize),
    Commit { which: usize, cost: u64 },
    Wait { cost: u64, patience: u32 },
    Leave(usize),
    Advance(u32),
    Sweep,
    Retier(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6_u64).prop_map(Step::Spend),
        3 => (1..10_u64, 1..20_u32).prop_map(|(cost, seconds)| Step::Hold { cost, seconds }),
        2 => any::<usize>().prop_map(Step::Release),
        // At most what was held: more is a debt, which no bound covers.
        2 => (any::<usize>(), 0..10_u64).prop_map(|(which, cost)| Step::Commit { which, cost }),
        2 => (1..4_u64, 0..8_u32).prop_map(|(cost, patience)| Step::Wait { cost, patience }),
        2 => any::<usize>().prop_map(Step::Leave),
        5 => (1..6_000_u32).prop_map(Step::Advance),
        1 => Just(Step::Sweep),
        1 => any::<bool>().prop_map(Step::Retier),
    ]
}

/// Rates a second and bursts of the two tiers.
const TIERS: [(u64, u64); 2] = [(2, 10), (20, 30)];

/// Millitokens spent and not come back.
#[derive(Default)]
struct Ideal {
    spent: u64,
    tier: usize,
}

/// When something was spent, or the rate changed, in milliseconds.
#[derive(Clone, Copy, Debug)]
enum Event {
    Spent(u64),
    Tier(usize),
}

impl Ideal {
    /// Replays events in the order of time.
    fn replay(mut events: Vec<(u64, usize, Event)>) -> Result<(), String> {
        events.sort_by_key(|(at, nth, _)| (*at, *nth));
        let (mut ideal, mut now) = (Self::default(), 0);
        for (at, _, event) in events {
            let back = (at - now) * TIERS[ideal.tier].0;
            ideal.spent = ideal.spent.saturating_sub(back);
            now = at;
            match event {
                Event::Tier(tier) => ideal.tier = tier,
                Event::Spent(cost) => {
                    ideal.spent += cost * 1_000;
                    let may = TIERS[ideal.tier].1 * 1_000;
                    if ideal.spent > may {
                        return Err(format!("{} of {may} millitokens at {now} ms", ideal.spent));
                    }
                }
            }
        }
        Ok(())
    }
}

/// `MILLPOND_BOUND_CASES` for more of them.
fn cases() -> u32 {
    let said = std::env::var("MILLPOND_BOUND_CASES").ok();
    said.and_then(|cases| cases.parse().ok()).unwrap_or(4_000)
}

struct Held {
    token: Token,
    at: u64,
    nth: usize,
    cost: u64,
    ends: u64,
}

struct Run {
    rig: Rig,
    now: u64,
    nth: usize,
    events: Vec<(u64, usize, Event)>,
    held: Vec<Held>,
    turns: Vec<(u64, usize, u64, Turn)>,
    admitted: u64,
}

impl Run {
    fn new() -> Self {
        let of = |name, (rate, burst)| tier(name, Some(quota(rate, burst)), Vec::new());
        Self {
            rig: Rig::new(vec![of("slow", TIERS[0]), of("fast", TIERS[1])]),
            now: 0,
            nth: 0,
            events: Vec::new(),
            held: Vec::new(),
            turns: Vec::new(),
            admitted: 0,
        }
    }

    fn spent(&mut self, at: u64, nth: usize, cost: u64) {
        self.events.push((at, nth, Event::Spent(cost)));
        self.admitted += cost;
    }

    /// Holds that have ended are settled by time: nothing was spent in the end.
    fn end_holds(&mut self) {
        self.rig.limiter.sweep();
        let now = self.now;
        self.held.retain(|held| held.ends > now);
    }

    fn take_turns(&mut self) {
        let turns = std::mem::take(&mut self.turns);
        for (comes, nth, cost, turn) in turns {
            if comes <= self.now {
                turn.take();
                self.spent(comes, nth, cost);
            } else {
                self.turns.push((comes, nth, cost, turn));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        self.nth += 1;
        let (now, nth) = (self.now, self.nth);
        match *step {
            Step::Spend(cost) => {
                if self.rig.own(cost).is_ok() {
                    self.spent(now, nth, cost);
                }
            }
            Step::Hold { cost, seconds } => {
                let charges = charges_of(&[("", "", cost)]);
                let hold = Some(SECOND * seconds);
                let call = Call {
                    charges: &charges,
                    hold,
                    ..Call::default()
                };
                let decision = self
                    .rig
                    .limiter
                    .acquire("a", &call)
                    .expect("known")
                    .decision;
                if let Some(token) = decision.reservation {
                    let ends = now + u64::from(seconds) * 1_000;
                    self.held.push(Held {
                        token,
                        at: now,
                        nth,
                        cost,
                        ends,
                    });
                }
            }
            Step::Release(which) if !self.held.is_empty() => {
                let held = self.held.swap_remove(which % self.held.len());
                let released = self.rig.limiter.release(&tenant("a"), held.token);
                assert_eq!(released, Settlement::Done);
            }
            Step::Commit { which, cost } if !self.held.is_empty() => {
                let held = self.held.swap_remove(which % self.held.len());
                let cost = cost.min(held.cost);
                let committed = self.rig.limiter.commit(&tenant("a"), held.token, &[cost]);
                assert_eq!(committed, Ok(Settlement::Done));
                self.spent(held.at, held.nth, cost);
            }
            Step::Wait { cost, patience } => {
                let charges = charges_of(&[("", "", cost)]);
                let patience = SECOND * patience;
                let call = Call {
                    charges: &charges,
                    patience,
                    ..Call::default()
                };
                let acquired = self.rig.limiter.acquire("a", &call).expect("known");
                match acquired.turn {
                    Some(turn) => {
                        let wait = acquired.decision.wait.as_nanos().div_ceil(1_000_000);
                        let comes = now + u64::try_from(wait).expect("short");
                        self.turns.push((comes, nth, cost, turn));
                    }
                    None if acquired.decision.is_allowed() => self.spent(now, nth, cost),
                    None => {}
                }
            }
            Step::Leave(which) if !self.turns.is_empty() => {
                let at = which % self.turns.len();
                drop(self.turns.swap_remove(at));
            }
            Step::Advance(ms) => {
                self.now += u64::from(ms);
                self.rig.clock.advance(SECOND * ms / 1_000);
                self.take_turns();
                self.end_holds();
            }
            Step::Retier(fast) => {
                self.rig.put(if fast { "fast" } else { "slow" });
                self.events.push((now, nth, Event::Tier(usize::from(fast))));
            }
            Step::Sweep | Step::Release(_) | Step::Commit { .. } | Step::Leave(_) => {
                self.end_holds();
            }
        }
    }

    /// What is held or waits may still be spent, at the time it was charged or comes.
    fn end(mut self) -> Result<u64, String> {
        for held in std::mem::take(&mut self.held) {
            self.spent(held.at, held.nth, held.cost);
        }
        for (comes, nth, cost, turn) in std::mem::take(&mut self.turns) {
            turn.take();
            self.spent(comes, nth, cost);
        }
        Ideal::replay(self.events).map(|()| self.admitted)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn whatever_is_held_released_or_left_the_bucket_admits_rate_and_burst(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut run = Run::new();
        for step in steps.iter().filter(|step| !matches!(step, Step::Retier(_))) {
            run.step(step);
        }
        prop_assert_eq!(run.end().err(), None);
    }

    #[test]
    fn whatever_the_tier_was_meanwhile_nothing_is_minted(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut run = Run::new();
        // A turn given at one rate comes at that rate: it is left out here.
        for step in steps.iter().filter(|step| !matches!(step, Step::Wait { .. })) {
            run.step(step);
        }
        prop_assert_eq!(run.end().err(), None);
    }
}
