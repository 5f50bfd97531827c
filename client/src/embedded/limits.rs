//! The limits in this process: core's limiter with tokio's timer around it.
//!
//! A thread of its own ends reservations whose hold is over, from the first
//! reservation on: programs that hold nothing do not pay for it.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use millpond_core::cache::lookup::Timer as _;
use millpond_core::limit::{Acquired, Call, Limiter};

use super::Embedded;
use crate::error::Error;
use crate::limit::charges::Asked;
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

    async fn decide(&self, asked: &Asked) -> Result<millpond_core::limit::Decision, Error> {
        let charges: Vec<_> = asked.charges.iter().map(|charge| charge.core()).collect();
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
        let charges: Vec<_> = asked.charges.iter().map(|charge| charge.core()).collect();
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
        Ok(Reserved::Held(Reservation::new(decision.into(), count, right)))
    }
}

/// A thread that sweeps a limiter until it is dropped.
#[derive(Debug)]
struct Sweeper {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often holds are ended.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Sweeps between those of full buckets of keys.
const KEYS_EVERY: u32 = 50;

impl Sweeper {
    fn start(limiter: &Arc<Limiter>) -> std::io::Result<Self> {
        let limiter = Arc::downgrade(limiter);
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("millpond-limits".to_owned())
            .spawn(move || {
                let mut sweeps = 0_u32;
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SWEEP_EVERY) {
                    let Some(limiter) = limiter.upgrade() else {
                        break;
                    };
                    limiter.sweep();
                    sweeps = sweeps.wrapping_add(1);
                    if sweeps.is_multiple_of(KEYS_EVERY) {
                        limiter.sweep_keys();
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked with anything of ours half done; there is
            // nobody to tell.
            drop(thread.join());
        }
    }
}
