//! The limits in this process: core's limiter with tokio's timer around it.
//!
//! A thread of its own ends reservations whose hold is over and drops full buckets of
//! keys, from the first of either on: programs that have neither do not pay for it.

use std::sync::{Arc, OnceLock};

use millpond_core::cache::lookup::Timer as _;
use millpond_core::limit::{self, Acquired, Call, Limiter, Sweeper};

use super::Embedded;
use crate::error::Error;
use crate::limit::charges::{Asked, Charge};
use crate::limit::decision::Decision;
use crate::limit::reservation::{Reservation, Reserved, Right};
use crate::timer::Timer;

/// The limits of this process.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) limiter: Arc<Limiter>,
    timer: Timer,
    /// `None` within when the system refused a thread: holds that end stay spent.
    sweeper: OnceLock<Option<Sweeper>>,
}

impl Limits {
    pub(super) fn new(limiter: Arc<Limiter>) -> Self {
        Self {
            timer: Timer::new(limiter.directory().clock().clone()),
            limiter,
            sweeper: OnceLock::new(),
        }
    }

    fn swept(&self) {
        self.sweeper
            .get_or_init(|| Sweeper::start(&self.limiter).ok());
    }

    async fn decide(&self, asked: &Asked) -> Result<limit::Decision, Error> {
        let charges: Vec<_> = asked.charges.iter().map(Charge::core).collect();
        let call = Call {
            charges: &charges,
            patience: asked.patience(),
            hold: asked.hold,
            request: &[],
        };
        // A limit's keys want sweeping too.
        if asked.hold.is_some() || asked.charges.iter().any(|charge| !charge.key.is_empty()) {
            self.swept();
        }
        let Acquired { decision, turn } = self.limiter.acquire(asked.tenant.as_str(), &call)?;
        if let Some(turn) = turn {
            self.timer.sleep_until(turn.comes()).await;
            turn.take();
        }
        Ok(decision)
    }
}

impl Embedded {
    pub(crate) fn limiter(&self) -> &Arc<Limiter> {
        &self.limits().limiter
    }

    pub(crate) async fn acquire(&self, asked: &Asked) -> Result<Decision, Error> {
        Ok(self.limits().decide(asked).await?.into())
    }

    pub(crate) fn peek_limits(&self, asked: &Asked) -> Result<Decision, Error> {
        let charges: Vec<_> = asked.charges.iter().map(Charge::core).collect();
        let decision = self.limiter().peek(asked.tenant.as_str(), &charges)?;
        Ok(decision.into())
    }

    pub(crate) async fn reserve(&self, asked: &Asked) -> Result<Reserved, Error> {
        let decision = self.limits().decide(asked).await?;
        let Some(token) = decision.reservation else {
            return Ok(Reserved::Denied(decision.into()));
        };
        let right = Right::Embedded {
            limiter: Arc::clone(self.limiter()),
            tenant: asked.tenant.clone(),
            token,
        };
        let count = asked.charges.len();
        Ok(Reserved::Held(Reservation::new(
            decision.into(),
            count,
            right,
        )))
    }
}
