//! The right to make one call, and what became of it.
//!
//! A [`Ticket`] is a plain value, for callers over the wire: nothing happens when it is
//! lost, but that a probe's permit comes back only with the next trial. A [`Permit`]
//! holds it for callers in process: dropping it gives the permit back, which covers
//! cancellation and panic alike.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Breaker;
use super::trial::Probe;
use super::window::Place;
use super::word::{Generation, State};
use crate::clock::Time;
use crate::fence::{GiveBack, Held};

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was answered. Slow if it took the policy's `slow` or longer.
    Success,
    /// It was answered badly, or not at all. Our own refusals are no failures.
    Failure,
    /// It was not answered in time: a failure.
    Timeout,
    /// It says nothing about the callee: it was not made, was cancelled, or was the
    /// caller's own mistake. Its permit comes back, and it counts nowhere.
    Ignored,
}

/// A right, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Under which it was granted: under another one it settles nothing.
    pub generation: Generation,
    /// Which probe it is, if it is one. A probe is settled once; other calls have no
    /// number, and count as often as they are reported.
    pub probe: Probe,
    /// Whether the breaker would have refused it, were it not held to `metrics_only`.
    pub would_refuse: bool,
}

/// Why a call may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Open, forced open, or half-open when all its probes are out.
    pub state: State,
    /// When to ask again; none while it is forced open.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the breaker is {}", self.state)
    }
}

impl std::error::Error for Refusal {}

/// A right in the hands of a caller in process, who holds the breaker as `B`.
#[must_use = "a permit that is dropped counts nothing"]
#[derive(Debug)]
pub struct Permit<B: Deref<Target = Breaker>>(Held<Right<B>>);

struct Right<B: Deref<Target = Breaker>> {
    breaker: B,
    ticket: Ticket,
    /// It was counted as slow before its end.
    overdue: Option<Place>,
}

impl<B: Deref<Target = Breaker>> Permit<B> {
    /// Asks a breaker for one: by reference, or by an `Arc` for a call that outlives
    /// its beginning.
    ///
    /// # Errors
    /// When the call may not be made.
    #[inline(always)]
    pub fn of(breaker: B, now: Time) -> Result<Self, Refusal> {
        let ticket = breaker.issue(now)?;
        Ok(Self(Held::new(Right {
            breaker,
            ticket,
            overdue: None,
        })))
    }

    /// See [`Ticket::would_refuse`].
    #[must_use]
    pub fn would_refuse(&self) -> bool {
        self.0.right().ticket.would_refuse
    }

    /// Says what became of the call, which took `latency`. False if it came too late to
    /// count.
    #[inline(always)]
    pub fn record(self, outcome: Outcome, latency: Duration, now: Time) -> bool {
        let Right {
            breaker,
            ticket,
            overdue,
        } = self.0.release();
        match overdue {
            None => breaker.settle(ticket, outcome, latency, now),
            Some(place) => breaker.settle_overdue(ticket, place, outcome, now),
        }
    }

    /// The call is still on its way after `elapsed`: if that is slow, it counts as slow
    /// from now on. Its end then counts no more than a failure. False if nothing was
    /// counted.
    pub fn overdue(&mut self, elapsed: Duration, now: Time) -> bool {
        let right = self.0.right_mut();
        if right.overdue.is_some() {
            return false;
        }
        right.overdue = right.breaker.count_overdue(right.ticket, elapsed, now);
        right.overdue.is_some()
    }

    /// Lets go of it without giving it back: somebody else settles it.
    #[must_use]
    pub fn into_ticket(self) -> Ticket {
        self.0.release().ticket
    }
}

impl<B: Deref<Target = Breaker>> GiveBack for Right<B> {
    fn give_back(&mut self) {
        if self.ticket.probe != Probe::NONE {
            self.breaker.give_back(self.ticket);
        }
    }
}

impl<B: Deref<Target = Breaker>> fmt::Debug for Right<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Right")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}
