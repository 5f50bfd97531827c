//! Waiting for a breaker to change, without asking each of them.
//!
//! All breakers of a registry count their changes in one number. Whoever watches some
//! remembers the number, looks at them, and waits for another number: what changed after
//! the look ends the wait at once. The wait is a plain future.
//!
//! Invariant: the number moves on under the lock that a waker is left under, so a waker
//! that is left has not missed the change. Wakers are other people's code: none is
//! woken, cloned or dropped under the lock.
//!
//! Cost: a change takes the lock once; a call takes nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::planted::{Bug, planted};
use crate::sync::Mutex;

/// The changes of some breakers.
#[derive(Debug)]
pub(super) struct Changes(Mutex<State>);

#[derive(Debug)]
struct State {
    number: u64,
    tickets: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Changes {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            number: 0,
            tickets: 0,
            wakers: Vec::new(),
        }))
    }

    pub(super) fn number(&self) -> u64 {
        self.0.lock().number
    }

    /// Something has changed.
    pub(super) fn tell(&self) {
        let wakers = {
            let mut state = self.0.lock();
            state.number += 1;
            if planted(Bug::ChangeUntold) {
                return;
            }
            std::mem::take(&mut state.wakers)
        };
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}

/// Resolves to the number of changes once it is another than the one that was seen.
#[must_use = "a future does nothing until it is polled"]
pub struct Changed {
    changes: Arc<Changes>,
    seen: u64,
    /// Under which its waker is left.
    ticket: Option<u64>,
}

impl Changed {
    pub(super) fn since(changes: Arc<Changes>, seen: u64) -> Self {
        Self {
            changes,
            seen,
            ticket: None,
        }
    }
}

impl Future for Changed {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        let this = &mut *self;
        let new = context.waker().clone();
        let (number, _old) = {
            let mut state = this.changes.0.lock();
            if state.number != this.seen {
                (Some(state.number), Some(new))
            } else {
                let ticket = match this.ticket {
                    Some(ticket) => ticket,
                    None => {
                        state.tickets += 1;
                        state.tickets
                    }
                };
                this.ticket = Some(ticket);
                let left = state.wakers.iter_mut().find(|(of, _)| *of == ticket);
                let old = match left {
                    Some((_, waker)) => Some(std::mem::replace(waker, new)),
                    None => {
                        state.wakers.push((ticket, new));
                        None
                    }
                };
                (None, old)
            }
        };
        number.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let _left = {
            let mut state = self.changes.0.lock();
            let at = state.wakers.iter().position(|(of, _)| *of == ticket);
            at.map(|at| state.wakers.swap_remove(at))
        };
    }
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
