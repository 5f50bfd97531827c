//! One breaker and its clock.

use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::breaker::{
    Breaker, Outcome, Permit, Policy, Refusal, Standing, State, Ticket, Window,
};
use millpond_core::clock::{ManualClock, Time};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const FAST: Duration = Duration::from_millis(1);

/// Ten calls at least, of the last 20; half of them failed, or 80 % of a second or more.
pub(crate) fn by_count() -> Policy {
    Policy {
        window: Window::Count(20),
        minimum_calls: 10,
        slow: SECOND,
        ..Policy::default()
    }
}

/// The same of the last 8 s: a slot is a second.
pub(crate) fn by_time() -> Policy {
    Policy {
        window: Window::Time(8 * SECOND),
        ..by_count()
    }
}

pub(crate) struct Rig {
    pub(crate) breaker: Breaker,
    pub(crate) clock: ManualClock,
}

impl Rig {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::drawing(policy, Entropy::Fixed(0.0))
    }

    pub(crate) fn drawing(policy: Policy, entropy: Entropy) -> Self {
        let origin = Time::ZERO.after(1_000 * SECOND);
        Self {
            breaker: Breaker::new(policy, origin, entropy).expect("a valid policy"),
            clock: ManualClock::starting_at(origin),
        }
    }

    /// One that is open, for the first time.
    pub(crate) fn open(policy: Policy) -> Self {
        let rig = Self::new(policy);
        rig.call(10, Outcome::Failure, FAST);
        assert_eq!(rig.state(), State::Open);
        rig
    }

    /// One that is open and may be tried.
    pub(crate) fn due(policy: Policy) -> Self {
        let rig = Self::open(policy);
        rig.clock.advance(policy.open);
        rig
    }

    pub(crate) fn admit(&self) -> Result<Permit<&Breaker>, Refusal> {
        self.breaker.admit(self.clock.now())
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.breaker.issue(self.clock.now()).expect("admitted")
    }

    pub(crate) fn settle(&self, ticket: Ticket, outcome: Outcome, latency: Duration) -> bool {
        let now = self.clock.now();
        self.breaker.settle(ticket, outcome, latency, now)
    }

    /// So many calls, all of the same outcome.
    pub(crate) fn call(&self, calls: usize, outcome: Outcome, latency: Duration) {
        for _ in 0..calls {
            let permit = self.admit().expect("admitted");
            permit.record(outcome, latency, self.clock.now());
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.breaker.standing(self.clock.now())
    }

    pub(crate) fn state(&self) -> State {
        self.standing().state
    }

    pub(crate) fn refusal(&self) -> Refusal {
        self.admit().expect_err("refused")
    }
}
