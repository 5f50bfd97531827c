//! The connections to one sidecar, and who makes them again.
//!
//! ```text
//!            a call finds one missing           all there
//!  resting ─────────────────────────► mending ───────────► resting
//!                                      │   ▲
//!                     two attempts     │   │ after a pause:
//!                     failed ─────────►└───┘ 10 ms doubling to 1 s, with jitter
//! ```
//!
//! One task mends, with one attempt at a time however many callers there are. A
//! call takes any connection that stands. If none does it waits for the attempt
//! under way, unless the last one failed: then the sidecar is known to be away and
//! the call fails at once. A sidecar that is back is noticed within one pause.
//!
//! When a connection breaks under a call its whole generation goes: on one machine
//! that is a sidecar that died, and the call that goes out again must not meet the
//! same fate on the next dead connection. One that the sidecar closed in good order
//! goes alone.
//!
//! Invariants: a connection that broke is not handed out again; a pool that is
//! dropped ends its mending.
//!
//! Cost: a read lock and two reference counts a call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::address::Address;
use super::backoff::Backoff;
use super::live::{Live, Takes};
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    next: AtomicUsize,
    /// Where the connections live.
    runtime: Handle,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    /// How long a sidecar may be silent before it is dead.
    patience: Duration,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct State {
    lives: Box<[Option<Arc<Live>>]>,
    /// Raised when a connection breaks under a call.
    generation: u64,
    mending: bool,
    /// Why the last attempt failed, until one succeeds.
    away: Option<Error>,
}

impl State {
    /// A connection that stands, beginning with the one whose turn it is.
    fn pick(&self, turn: usize) -> Option<&Arc<Live>> {
        let (before, from) = self.lives.split_at(turn % self.lives.len());
        from.iter().chain(before).find_map(Option::as_ref)
    }

    /// What a call comes to; `None`: it waits.
    fn decide(&self, turn: usize) -> Option<Result<Arc<Live>, Error>> {
        match (self.pick(turn), &self.away) {
            (Some(live), _) => Some(Ok(Arc::clone(live))),
            (None, Some(error)) => Some(Err(error.clone())),
            (None, None) => None,
        }
    }

    fn missing(&self) -> Option<usize> {
        self.lives.iter().position(Option::is_none)
    }
}

impl Pool {
    pub(super) fn new(
        address: Address,
        connections: usize,
        patience: Duration,
        runtime: Handle,
    ) -> Self {
        let state = State {
            lives: vec![None; connections.max(1)].into(),
            generation: 0,
            mending: false,
            away: None,
        };
        Self {
            shared: Arc::new(Shared {
                address,
                patience,
                state: watch::Sender::new(state),
            }),
            next: AtomicUsize::new(0),
            runtime,
        }
    }

    /// A connection that stands.
    pub(super) async fn live(&self, until: Instant) -> Result<Arc<Live>, Error> {
        // Relaxed: only spreads calls.
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(live) = self.shared.state.borrow().pick(turn) {
            return Ok(Arc::clone(live));
        }
        self.wait(turn, until).await
    }

    #[cold]
    async fn wait(&self, turn: usize, until: Instant) -> Result<Arc<Live>, Error> {
        let mut changes = self.shared.state.subscribe();
        self.mend();
        let waiting = async {
            loop {
                if let Some(decided) = changes.borrow_and_update().decide(turn) {
                    return decided;
                }
                // The sender cannot be gone: it is held here.
                drop(changes.changed().await);
            }
        };
        let late = |_| Error::Unavailable {
            message: format!("{}: the call's time is up", self.shared.address),
        };
        timeout_at(until, waiting).await.map_err(late)?
    }

    /// Waits until a connection stands, however long the sidecar is away until then;
    /// false when that takes beyond `until`.
    pub(super) async fn back(&self, until: Instant) -> bool {
        let mut changes = self.shared.state.subscribe();
        self.mend();
        let stands = changes.wait_for(|state| state.pick(0).is_some());
        let stands = timeout_at(until, stands).await;
        stands.is_ok_and(|stands| stands.is_ok()) && Instant::now() < until
    }

    /// Takes a connection out of use on which nothing more can be sent.
    pub(super) fn ended(&self, live: &Arc<Live>) {
        self.retire(live, |held| Arc::ptr_eq(held, live));
    }

    /// Takes a connection that broke under a call out of use, and its generation.
    pub(super) fn lost(&self, live: &Arc<Live>) {
        // First, so that what is made from now on is of the next.
        self.shared.state.send_if_modified(|state| {
            state.generation = state.generation.max(live.generation + 1);
            false // nothing that a call waits for
        });
        self.retire(live, |held| held.generation <= live.generation);
    }

    fn retire(&self, live: &Live, which: impl Fn(&Arc<Live>) -> bool) {
        live.end();
        let gone = self.shared.state.send_if_modified(|state| {
            let mut gone = false;
            for held in &mut state.lives {
                if let Some(dead) = held.take_if(|held| which(held)) {
                    dead.end();
                    gone = true;
                }
            }
            gone
        });
        if gone {
            self.mend();
        }
    }

    /// What the sidecar takes, as it last said.
    pub(super) fn takes(&self) -> Takes {
        let state = self.shared.state.borrow();
        state.pick(0).map_or(Takes::REVISION_1, |live| live.takes)
    }

    /// Makes what is missing, unless that is under way.
    fn mend(&self) {
        let mut begun = false;
        self.shared.state.send_if_modified(|state| {
            begun = !state.mending && state.missing().is_some();
            state.mending |= begun;
            false // nothing that a call waits for
        });
        if begun {
            self.runtime.spawn(mend(Arc::downgrade(&self.shared)));
        }
    }
}

async fn mend(shared: Weak<Shared>) {
    let (mut backoff, mut failed) = (Backoff::new(), false);
    while let Some(shared) = shared.upgrade() {
        let mut missing = None;
        shared.state.send_if_modified(|state| {
            missing = state.missing().map(|at| (at, state.generation));
            state.mending = missing.is_some();
            false
        });
        let Some((missing, generation)) = missing else {
            return;
        };
        match Live::open(&shared.address, shared.patience, generation).await {
            Ok(live) => {
                (backoff, failed) = (Backoff::new(), false);
                shared.state.send_modify(|state| {
                    state.away = None;
                    // Greeted before others of its generation broke: it is not known
                    // to stand.
                    if live.generation == state.generation {
                        state.lives[missing] = Some(Arc::new(live));
                    }
                });
            }
            // Whatever broke the others may have broken this attempt too: a second
            // one says whether the sidecar is away, or it was silent, which says so.
            Err(why) if !why.silent && !std::mem::replace(&mut failed, true) => {}
            Err(why) => {
                shared
                    .state
                    .send_modify(|state| state.away = Some(why.error));
                drop(shared);
                sleep(backoff.pause(fastrand::f64())).await;
            }
        }
    }
}
