//! Breakers: calls to what fails are refused for a while, and then tried again.
//!
//! ```text
//!              failure_rate or slow_rate met
//!    ┌────────┐ ───────────────────────────► ┌──────┐ ◄─────────────┐
//!    │ closed │                              │ open │               │ the trial failed:
//!    └────────┘ ◄──────────┐                 └──┬───┘               │ open twice as long
//!                          │  the trial passed  │ the deadline passed
//!                          │               ┌────▼──────┐            │
//!                          └────────────── │ half-open │ ───────────┘
//!                                          └───────────┘ ⟲ void after half_open_timeout
//!    forced open, disabled, metrics only: as an operator says, and back to closed
//! ```
//!
//! - [`Policy`]: when it opens, and for how long.
//! - `word`: state, permits, generation and deadline in one word, pure.
//! - `window`: what became of the calls of late.
//! - `trial`: what became of the probes, pure.
//! - `admit`, `settle`: what is decided of a call, and what of its outcome.
//! - `permit`: the right to a call, on the wire and in process.
//! - `changes`: waiting for a breaker to change.
//! - `registry`: the breakers of a process, by tenant and name.
//!
//! Callers read the word and nothing else. Whoever *changes* it holds the breaker's one
//! lock and looks at the word again under it: so one of many failures trips, a trial has
//! no more probes out than permits, and the count of times open in a row, the trial and
//! the policy change with it in one step. The lock is held for some 20 ns, never while
//! anybody waits or is woken; a closed breaker takes it when it trips, an open one not
//! before its deadline, a half-open one for each probe.
//!
//! Invariants:
//! - every change of state is a new generation, and an outcome counts under the
//!   generation of its permit or not at all;
//! - a trial has `probes` permits: each is out, settled, or to be had. Past the trial's
//!   deadline there is another trial with all of them, and nothing of the old counts;
//! - a success never opens a breaker; and a call that is refused changes nothing but, once,
//!   an open breaker past its deadline.
//!
//! Cost: a call that is admitted and answered well is a load of the word, twice, and
//! what its window costs; one that is refused is one load. Half a kilobyte, and 384 bytes
//! a shard.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::entropy::Entropy;
use crate::sync::{AtomicU64, Mutex, Ordering};

mod admit;
mod changes;
mod permit;
mod policy;
pub mod registry;
mod settle;
mod trial;
mod window;
mod word;

pub use crate::tenant::BreakerName;
pub use changes::Changed;
pub use permit::{Outcome, Permit, Refusal, Ticket};
pub use policy::{Policy, PolicyError, Window};
pub use registry::Registry;
pub use trial::Probe;
pub use window::Counted;
pub use word::{Forced, Generation, State};

use changes::Changes;
use trial::Trial;
use window::Outcomes;
use word::{Millis, Snapshot};

const NANOS_A_MILLI: u64 = 1_000_000;

/// What is asked before calling something, and told what became of the call.
pub struct Breaker {
    /// Read by everybody, written under the lock of `desk`.
    word: AtomicU64,
    /// `Thresholds`, and from which duration on a call is slow: copies of the policy's, so
    /// that nobody takes the lock for them.
    thresholds: AtomicU64,
    slow: AtomicU64,
    outcomes: Outcomes,
    origin: Time,
    entropy: Entropy,
    desk: Mutex<Desk>,
    changes: Arc<Changes>,
}

/// What changes with the word.
#[derive(Debug)]
struct Desk {
    policy: Policy,
    /// Times open in a row.
    opens: u32,
    trial: Trial,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it does with calls. An open one past its deadline is open until somebody
    /// calls.
    pub state: State,
    /// Changes with every change of state.
    pub generation: Generation,
    /// Until it is tried again, or the trial is void; of one that is held to
    /// `metrics_only`, how long it would still refuse. Zero of the others.
    pub remaining: Duration,
    /// What is in the window. Nothing in other states than closed and `metrics_only`.
    pub counted: Counted,
    /// Times it opened since it was last closed.
    pub opens: u32,
    /// Probes that may still go.
    pub permits: u32,
}

impl Breaker {
    /// A closed one, that counts time from `origin`.
    ///
    /// # Errors
    /// When the policy makes no sense: all that is wrong with it.
    pub fn new(policy: Policy, origin: Time, entropy: Entropy) -> Result<Self, Vec<PolicyError>> {
        policy.check()?;
        Ok(Self::telling(
            policy,
            origin,
            entropy,
            Arc::new(Changes::new()),
        ))
    }

    /// One of several that tell of their changes together. The policy was checked.
    fn telling(policy: Policy, origin: Time, entropy: Entropy, changes: Arc<Changes>) -> Self {
        Self {
            word: AtomicU64::new(Snapshot::first().to_bits()),
            thresholds: AtomicU64::new(policy.thresholds().to_bits()),
            slow: AtomicU64::new(in_order(policy.slow)),
            outcomes: Outcomes::new(policy.window),
            origin,
            entropy,
            desk: Mutex::new(Desk {
                policy,
                opens: 0,
                trial: Trial::default(),
            }),
            changes,
        }
    }

    /// Holds it to something, whatever becomes of calls; with `None`, closes it. What
    /// was counted is void.
    pub fn force(&self, forced: Option<Forced>) {
        {
            let mut desk = self.desk.lock();
            desk.opens = 0;
            let word = self.read();
            self.write(match forced {
                None => word.closed(),
                Some(forced) => word.forced(forced),
            });
        }
        self.changes.tell();
    }

    /// Puts another policy in force. What was counted stays, and so does its state.
    ///
    /// # Errors
    /// When the policy makes no sense, or its window is another: then nothing changes.
    pub fn revise(&self, policy: Policy) -> Result<(), Vec<PolicyError>> {
        policy.check()?;
        let mut desk = self.desk.lock();
        if desk.policy.window != policy.window {
            return Err(vec![PolicyError {
                field: "window",
                expected: "the window that the breaker was made with",
            }]);
        }
        // Relaxed: `look_again` orders them before the next look.
        self.thresholds
            .store(policy.thresholds().to_bits(), Ordering::Relaxed);
        self.slow.store(in_order(policy.slow), Ordering::Relaxed);
        self.outcomes.look_again();
        desk.policy = policy;
        Ok(())
    }

    /// How often it changed its state; of one of a registry, how often any of them did.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.number()
    }

    /// Waits for another number of changes than the one that was seen.
    pub fn changed(&self, seen: u64) -> Changed {
        Changed::since(Arc::clone(&self.changes), seen)
    }

    /// What is in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.desk.lock().policy
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self, now: Time) -> Standing {
        let desk = self.desk.lock();
        let word = self.read();
        Standing {
            state: word.state(),
            generation: word.generation(),
            remaining: self.remaining(word, now),
            counted: self.outcomes.sum(word.generation(), self.millis(now)),
            opens: desk.opens,
            permits: word.permits(),
        }
    }

    #[inline]
    fn read(&self) -> Snapshot {
        // Acquire: whoever sees a generation sees the thresholds it began under.
        Snapshot::of_bits(self.word.load(Ordering::Acquire))
    }

    /// By whoever holds the lock.
    fn write(&self, word: Snapshot) {
        // Release: see `read`.
        self.word.store(word.to_bits(), Ordering::Release);
    }

    #[inline]
    fn millis(&self, now: Time) -> Millis {
        let nanos = now.as_nanos().saturating_sub(self.origin.as_nanos());
        Millis(0).plus(nanos / NANOS_A_MILLI)
    }

    /// So much after `now`, and never sooner.
    fn after(&self, now: Time, millis: u64) -> Millis {
        let nanos = now.as_nanos().saturating_sub(self.origin.as_nanos());
        Millis(0).plus(nanos.div_ceil(NANOS_A_MILLI)).plus(millis)
    }

    /// Until the word's deadline, to the nanosecond.
    fn remaining(&self, word: Snapshot, now: Time) -> Duration {
        let until = Duration::from_millis(word.deadline().0);
        self.origin.after(until).since(now)
    }

    #[inline]
    fn is_slow(&self, latency: Duration) -> bool {
        // Relaxed: a number by itself.
        in_order(latency) >= self.slow.load(Ordering::Relaxed)
    }
}

/// A number that orders durations as they are: seconds (32) | nanoseconds (30). One of
/// more than a century is that.
#[inline]
fn in_order(duration: Duration) -> u64 {
    let seconds = duration.as_secs().min(u64::from(u32::MAX));
    seconds << 30 | u64::from(duration.subsec_nanos())
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("word", &self.read())
            .finish_non_exhaustive()
    }
}
