//! From serving to stopped.
//!
//! ```text
//!  Serving ──told to end──► Draining ──no call in flight,──► Leaving ──no connection left,──► Stopped
//!                           not ready,  or half the time      GOAWAY    or the time is up
//!                           accepts none                      sent
//!     └───────────────────────────────── told to stop ─────────────────────────────────────►
//! ```
//!
//! Draining comes before GOAWAY because callers that follow a load can only
//! finish when their leader's `Fill`, a new call, still gets in.

use std::sync::Arc;

use tokio::sync::watch;

/// How far the end has come. Only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    Draining,
    Leaving,
    Stopped,
}

/// The stage, for all who act on it.
#[derive(Clone, Debug)]
pub(crate) struct Stages(Arc<watch::Sender<Stage>>);

impl Stages {
    pub(crate) fn serving() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Serving)))
    }

    pub(crate) fn now(&self) -> Stage {
        *self.0.borrow()
    }

    pub(crate) fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let later = to > *stage;
            if later {
                *stage = to;
            }
            later
        });
    }

    /// Completes once the stage is `stage` or later.
    pub(crate) async fn reached(&self, stage: Stage) {
        let mut stages = self.0.subscribe();
        // The sender cannot be gone: it is held here.
        drop(stages.wait_for(|now| *now >= stage).await);
    }
}

/// Ends a sidecar from any thread.
#[derive(Clone, Debug)]
pub struct Shutdown(pub(crate) Stages);

impl Shutdown {
    /// Takes no more connections, lets calls in flight finish, then stops.
    pub fn drain(&self) {
        self.0.advance(Stage::Draining);
    }

    /// Stops, whatever is in flight.
    pub fn stop(&self) {
        self.0.advance(Stage::Stopped);
    }
}

/// How a sidecar came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were cut off because the time was up.
    pub cut_off: usize,
}
