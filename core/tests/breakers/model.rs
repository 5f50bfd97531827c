//! Random schedules, against a list of outcomes and a few numbers.

use std::time::Duration;

use millpond_core::breaker::{Forced, Outcome, Policy, State, Ticket, Window};
use proptest::prelude::*;

use crate::rig::{FAST, Rig, SECOND, by_count, by_time};

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("short")
}

/// What a breaker should be.
struct Model {
    policy: Policy,
    now: u64,
    state: State,
    generation: u32,
    until: u64,
    opens: u32,
    /// When, failed, slow.
    calls: Vec<(u64, bool, bool)>,
    permits: usize,
    /// Numbers of the probes that are out.
    out: Vec<u32>,
    issued: u32,
}

/// A right of the model's: generation, and the number of a probe.
type Right = (u32, u32);

impl Model {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: 0,
            state: State::Closed,
            generation: 0,
            until: 0,
            opens: 0,
            calls: Vec::new(),
            permits: 0,
            out: Vec::new(),
            issued: 0,
        }
    }

    fn turn(&mut self, state: State, until: u64) {
        self.state = state;
        self.until = until;
        self.generation += 1;
        self.calls.clear();
        self.out.clear();
        self.permits = 0;
        self.issued = 0;
        if state == State::Closed {
            self.opens = 0;
        }
    }

    fn open(&mut self) {
        let opens = self.opens + 1;
        let open = self.policy.open * (1 << (opens - 1).min(10));
        let open = millis(open.min(self.policy.open_max));
        self.turn(State::Open, self.now + open);
        self.opens = opens;
    }

    fn admit(&mut self) -> Result<Right, State> {
        let due = self.now >= self.until;
        match self.state {
            State::Open | State::HalfOpen if due => {
                let timeout = millis(self.policy.half_open_timeout);
                let opens = self.opens;
                self.turn(State::HalfOpen, self.now + timeout);
                self.opens = opens;
                self.permits = self.policy.probes as usize;
            }
            State::Closed | State::Disabled => return Ok((self.generation, 0)),
            State::HalfOpen if self.permits > 0 => {}
            refusing => return Err(refusing),
        }
        self.permits -= 1;
        self.issued += 1;
        self.out.push(self.issued);
        Ok((self.generation, self.issued))
    }

    fn bad(&self, failures: usize, slow: usize, of: usize) -> bool {
        failures * 100 >= self.policy.failure_rate as usize * of
            || slow * 100 >= self.policy.slow_rate as usize * of
    }

    fn window(&self) -> Vec<(u64, bool, bool)> {
        match self.policy.window {
            Window::Count(calls) => {
                let skip = self.calls.len().saturating_sub(calls as usize);
                self.calls[skip..].to_vec()
            }
            Window::Time(time) => {
                let slot = millis(time) / 8;
                let first = (self.now / slot).saturating_sub(7);
                let within = |call: &&(u64, bool, bool)| call.0 / slot >= first;
                self.calls.iter().filter(within).copied().collect()
            }
        }
    }

    fn counts(calls: &[(u64, bool, bool)]) -> (usize, usize, usize) {
        let failures = calls.iter().filter(|call| call.1).count();
        (
            calls.len(),
            failures,
            calls.iter().filter(|call| call.2).count(),
        )
    }

    fn settle(&mut self, right: Right, outcome: Outcome, slow: bool) {
        if right.0 != self.generation {
            return;
        }
        let failed = matches!(outcome, Outcome::Failure | Outcome::Timeout);
        let ignored = outcome == Outcome::Ignored;
        match self.state {
            State::Closed if !ignored => {
                self.calls.push((self.now, failed, slow));
                let (calls, failures, slow_calls) = Self::counts(&self.window());
                let enough = calls >= self.policy.minimum_calls as usize;
                if (failed || slow) && enough && self.bad(failures, slow_calls, calls) {
                    self.open();
                }
            }
            State::HalfOpen => {
                let Some(at) = self.out.iter().position(|number| *number == right.1) else {
                    return;
                };
                if ignored {
                    self.out.swap_remove(at);
                    self.permits += 1;
                    return;
                }
                if self.now >= self.until {
                    return;
                }
                self.out.swap_remove(at);
                self.calls.push((self.now, failed, slow));
                let probes = self.policy.probes as usize;
                let (calls, failures, slow_calls) = Self::counts(&self.calls);
                let rest = probes - calls;
                if self.bad(failures, slow_calls, probes) {
                    self.open();
                } else if !self.bad(failures + rest, slow_calls + rest, probes) {
                    self.turn(State::Closed, 0);
                }
            }
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Admit,
    Settle {
        which: usize,
        outcome: Outcome,
        slow: bool,
    },
    Pass(u64),
    Force(Option<Forced>),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::Timeout),
        1 => Just(Outcome::Ignored),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let settle = (any::<usize>(), outcome(), prop::bool::weighted(0.2));
    let settle = settle.prop_map(|(which, outcome, slow)| Step::Settle {
        which,
        outcome,
        slow,
    });
    let force = prop_oneof![
        Just(None),
        Just(Some(Forced::Open)),
        Just(Some(Forced::Disabled)),
    ];
    prop_oneof![
        20 => Just(Step::Admit),
        20 => settle,
        2 => (0..400_u64).prop_map(Step::Pass),
        1 => (0..8_000_u64).prop_map(Step::Pass),
        1 => force.prop_map(Step::Force).boxed(),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let window = prop_oneof![
        (4..60_u32).prop_map(Window::Count),
        (1..30_u64).prop_map(|slots| Window::Time(Duration::from_millis(slots * 200))),
    ];
    let rates = (window, 1..=100_u32, 1..=100_u32, 1..=4_u32, 1..=6_u32);
    rates.prop_map(
        |(window, failure_rate, slow_rate, minimum_calls, probes)| Policy {
            window,
            failure_rate,
            slow_rate,
            minimum_calls,
            probes,
            open: SECOND,
            open_max: 8 * SECOND,
            half_open_timeout: 2 * SECOND,
            ..by_count()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_breaker_agrees_with_a_list_of_outcomes(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let rig = Rig::new(policy);
        let mut model = Model::new(policy);
        let mut rights: Vec<(Ticket, Right)> = Vec::new();
        for step in steps {
            match step {
                Step::Admit => match (rig.breaker.issue(rig.clock.now()), model.admit()) {
                    (Ok(ticket), Ok(right)) => rights.push((ticket, right)),
                    (Err(refusal), Err(state)) => prop_assert_eq!(refusal.state, state),
                    (is, should) => prop_assert!(false, "{:?}, and not {:?}", is, should),
                },
                Step::Settle { which, outcome, slow } if !rights.is_empty() => {
                    // Mostly the latest, now and then one that is settled or late.
                    let back = which % rights.len().min(if which % 5 == 0 { 60 } else { 3 });
                    let (ticket, right) = rights[rights.len() - 1 - back];
                    rig.settle(ticket, outcome, if slow { SECOND } else { FAST });
                    model.settle(right, outcome, slow);
                }
                Step::Settle { .. } => {}
                Step::Pass(millis) => {
                    rig.clock.advance(Duration::from_millis(millis));
                    model.now += millis;
                }
                Step::Force(forced) => {
                    rig.breaker.force(forced);
                    let state = match forced {
                        None => State::Closed,
                        Some(Forced::Open) => State::ForcedOpen,
                        Some(_) => State::Disabled,
                    };
                    model.turn(state, 0);
                    model.opens = 0;
                }
            }
            let standing = rig.standing();
            prop_assert_eq!(standing.state, model.state);
            prop_assert_eq!(standing.opens, model.opens);
            prop_assert_eq!(standing.permits as usize, model.permits);
            if model.state == State::Closed {
                let (calls, failures, slow) = Model::counts(&model.window());
                let is = standing.counted;
                let should = [calls, failures, slow].map(|count| count as u64);
                prop_assert_eq!([is.calls, is.failures, is.slow], should);
            }
        }
    }
}

#[test]
fn the_policies_of_the_other_tests_are_valid() {
    assert_eq!(by_count().check(), Ok(()));
    assert_eq!(by_time().check(), Ok(()));
}
