//! The connections to one sidecar, and who makes them again.
//!
//! ```text
//!            a call finds one missing           all there
//!  resting ─────────────────────────► mending ───────────► resting
//!                                      │   ▲
//!                        an attempt    │   │ after a pause:
//!                        failed ──────►└───┘ 10 ms doubling to 1 s, with jitter
//! ```
//!
//! One task mends, with one attempt at a time however many callers there are. A
//! call takes any connection that stands. If none does it waits for the attempt
//! under way, unless the last one failed: then the sidecar is known to be away and
//! the call fails at once. A sidecar that is back is noticed within one pause.
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

    /// Takes a connection that broke out of use.
    pub(super) fn broke(&self, live: &Arc<Live>) {
        let is_it =
            |held: &Option<Arc<Live>>| held.as_ref().is_some_and(|it| Arc::ptr_eq(it, live));
        let gone = self.shared.state.send_if_modified(|state| {
            let held = state.lives.iter_mut().find(|held| is_it(held));
            held.is_some_and(|held| held.take().is_some())
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
    let mut backoff = Backoff::new();
    while let Some(shared) = shared.upgrade() {
        let mut missing = None;
        shared.state.send_if_modified(|state| {
            missing = state.missing();
            state.mending = missing.is_some();
            false
        });
        let Some(missing) = missing else {
            return;
        };
        match Live::open(&shared.address, shared.patience).await {
            Ok(live) => {
                backoff = Backoff::new();
                shared.state.send_modify(|state| {
                    state.lives[missing] = Some(Arc::new(live));
                    state.away = None;
                });
            }
            Err(error) => {
                shared.state.send_modify(|state| state.away = Some(error));
                drop(shared);
                sleep(backoff.pause(fastrand::f64())).await;
            }
        }
    }
}
