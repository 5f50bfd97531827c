//! Waiting for somebody else's load.
//!
//! ```text
//!  Waiting ──offer──► Ready ──taken──► Gone
//!     └────── own deadline, drop ───────┘
//! ```
//!
//! A [`Waiter`] is a plain future. It is woken by the load's settlement; for its
//! two deadlines (its own, and the leader's lease, after which it may lead) it
//! must be polled at [`Waiter::wake_at`], by a timer of whatever runtime there is.
//!
//! What a waiter is handed is checked once more when it takes it: an invalidation
//! that returned in between wins, and the waiter asks again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::lease::Lease;
use crate::cache::answer::{Answer, LoadError, Lookup, Reason, Source, Want};
use crate::cache::entry::Node;
use crate::cache::expiry::Phase;
use crate::cache::key::Key;
use crate::cache::pond::Pond;
use crate::cache::scope::Scope;
use crate::clock::Time;
use crate::planted::{Bug, planted};
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::version::Version;

/// A value on its way to those who wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) node: Arc<Node>,
    /// It accounts for every write of its stripe up to here.
    pub(crate) as_of: Version,
    /// Whether it outlives its storing. If not, it still answers who waited.
    pub(crate) lives: bool,
    /// Stale at birth: softened under way, or adopted so.
    pub(crate) stale: bool,
    pub(crate) source: Source,
}

/// What a waiter is handed.
#[derive(Debug)]
pub(crate) enum Outcome {
    Value(Handed),
    Failed(LoadError),
    /// The leader is gone: this waiter loads.
    Lead(Lease),
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Ready(Outcome),
    Gone,
}

/// The place where one waiter is handed its outcome.
#[derive(Debug)]
pub(crate) struct Cell {
    state: Mutex<State>,
    /// The lease it asked for, should it come to lead.
    pub(crate) lease: Option<Duration>,
    /// Counts those of its flight that stopped waiting by themselves.
    departed: Arc<AtomicUsize>,
}

impl Cell {
    fn new(lease: Option<Duration>, departed: Arc<AtomicUsize>) -> Self {
        Self {
            state: Mutex::new(State::Waiting(None)),
            lease,
            departed,
        }
    }

    /// Hands over; gives the outcome back when nobody waits here any more.
    pub(crate) fn offer(&self, outcome: Outcome) -> Result<(), Outcome> {
        let waker = {
            let mut state = self.state.lock();
            match &mut *state {
                State::Waiting(waker) => {
                    let waker = waker.take();
                    *state = State::Ready(outcome);
                    waker
                }
                State::Ready(_) | State::Gone => return Err(outcome),
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    pub(crate) fn is_gone(&self) -> bool {
        !matches!(*self.state.lock(), State::Waiting(_))
    }

    /// Takes the outcome, or remembers whom to wake. Wakers are other people's code:
    /// none is cloned or dropped under the lock.
    fn poll(&self, waker: &Waker) -> Option<Outcome> {
        let new = waker.clone();
        let (outcome, _old) = {
            let mut state = self.state.lock();
            match &mut *state {
                State::Waiting(held) => (None, held.replace(new)),
                State::Ready(_) | State::Gone => {
                    let State::Ready(outcome) = std::mem::replace(&mut *state, State::Gone) else {
                        return None;
                    };
                    (Some(outcome), Some(new))
                }
            }
        };
        outcome
    }

    /// Stops waiting; what was handed over meanwhile is the caller's to handle.
    pub(crate) fn leave(&self) -> Option<Outcome> {
        let old = std::mem::replace(&mut *self.state.lock(), State::Gone);
        match old {
            State::Ready(outcome) => Some(outcome),
            State::Waiting(_) => {
                // Relaxed: only how many, never which.
                self.departed.fetch_add(1, Ordering::Relaxed);
                None
            }
            State::Gone => None,
        }
    }
}

/// Waits for the load of one key. Resolves to a value, an error, or the lease.
#[must_use = "a waiter does nothing until it is polled"]
pub struct Waiter {
    pond: Arc<Pond>,
    scope: Arc<Scope>,
    key: Key,
    want: Want,
    cell: Arc<Cell>,
    lease_ends: Time,
}

impl Waiter {
    pub(crate) fn new(
        pond: Arc<Pond>,
        scope: Arc<Scope>,
        key: Key,
        want: Want,
        lease_ends: Time,
        departed: Arc<AtomicUsize>,
    ) -> Self {
        let cell = Arc::new(Cell::new(want.lease, departed));
        Self {
            pond,
            scope,
            key,
            want,
            cell,
            lease_ends,
        }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// When this future must be polled again if nothing woke it before, by
    /// [`Clock::precise`](crate::clock::Clock::precise).
    #[must_use]
    pub fn wake_at(&self) -> Time {
        self.want.deadline.min(self.lease_ends)
    }

    /// What to do with an outcome; `None` to go on waiting.
    fn settle(&mut self, outcome: Outcome) -> Option<Answer> {
        match outcome {
            Outcome::Lead(lease) => Some(Answer::lead(lease)),
            Outcome::Failed(error) => Some(self.pond.answer_failure(&self.key, &self.want, error)),
            Outcome::Value(handed) => self.take(handed),
        }
    }

    fn take(&mut self, handed: Handed) -> Option<Answer> {
        let entry = &handed.node.entry;
        let gone = handed.lives && entry.phase(self.pond.clock().now()) == Phase::Gone;
        let moved = self.pond.moved_since(&self.key, handed.as_of) || Pond::covered(entry);
        if (gone || moved) && !planted(Bug::DeliverUnchecked)
            || handed.stale && self.want.fresh_only
        {
            return self.ask_again();
        }
        let answer = if handed.stale {
            Answer::stale(handed.node, Reason::Revalidating)
        } else {
            Answer::loaded(handed.node)
        };
        Some(Answer {
            source: Some(handed.source),
            ..answer
        })
    }

    fn ask_again(&mut self) -> Option<Answer> {
        let lookup = self.pond.get(&self.scope, self.key.user_bytes(), self.want);
        match lookup {
            Lookup::Answer(answer) => Some(answer),
            Lookup::Follow(other) => {
                *self = other;
                None
            }
        }
    }

    fn expired(&mut self) -> Option<Answer> {
        match self.cell.leave() {
            Some(outcome) => self.settle(outcome),
            None => Some(self.pond.answer_expired(&self.key, &self.want)),
        }
    }

    fn take_over(&mut self) -> Option<Answer> {
        match self
            .pond
            .take_over(&self.scope, &self.key, &self.want, &self.cell)
        {
            TakeOver::Lead(lease) => Some(Answer::lead(lease)),
            TakeOver::Handed(outcome) => self.settle(outcome),
            TakeOver::Found(node) => Some(Answer::loaded(node)),
            TakeOver::Follow { until } => {
                self.lease_ends = until;
                None
            }
            TakeOver::Full => Some(self.pond.answer_expired(&self.key, &self.want)),
        }
    }
}

/// What a waiter finds when the lease it waits for has run out.
pub(crate) enum TakeOver {
    Lead(Lease),
    Handed(Outcome),
    /// The value is there.
    Found(Arc<Node>),
    /// Somebody else leads, until then.
    Follow {
        until: Time,
    },
    Full,
}

impl Future for Waiter {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let this = &mut *self;
        loop {
            let answer = match this.cell.poll(context.waker()) {
                Some(outcome) => this.settle(outcome),
                None => {
                    let now = this.pond.clock().precise();
                    // However late it wakes: had it looked in time it would have led,
                    // and perhaps nobody else is left to.
                    let promised = this.lease_ends <= this.want.deadline;
                    if now >= this.lease_ends && promised {
                        this.take_over()
                    } else if now >= this.want.deadline {
                        this.expired()
                    } else {
                        return Poll::Pending;
                    }
                }
            };
            if let Some(answer) = answer {
                return Poll::Ready(answer);
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // An outcome that nobody took: a lease in it goes to the next waiter.
        let outcome = self.cell.leave();
        if planted(Bug::DropKeepsLease)
            && let Some(Outcome::Lead(lease)) = outcome
        {
            let _kept = lease.detach();
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("wake_at", &self.wake_at())
            .finish_non_exhaustive()
    }
}
