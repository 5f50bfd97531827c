//! How one connection's peer keeps up: its calls that are open, and whether it takes
//! its replies.
//!
//! A reply that its peer does not take holds memory of ours for as long as the peer
//! likes: HTTP/2 lets it keep the window shut while it answers every ping. So a
//! connection on which a reply waits longer than the patience is let go.
//!
//! ```text
//!   replies made now ──► slot[turn]      slot[1 − turn] ◄── made before the last turn
//!   every patience: slot[1 − turn] not empty: stuck. Else turn = 1 − turn.
//! ```
//!
//! So what is stuck is found after one to two patiences, however much else flows on
//! the connection, and a reply costs two additions and no timer. The timer runs only
//! while there are replies.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    open: AtomicUsize,
    turn: AtomicUsize,
    replies: [AtomicUsize; 2],
}

// Relaxed throughout: a connection and its calls live on one thread.
impl Pace {
    /// Calls that are not answered, or whose reply is not taken yet.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn replies(&self) -> usize {
        self.replies
            .iter()
            .map(|slot| slot.load(Ordering::Relaxed))
            .sum()
    }

    /// Ends a turn. Whether a reply of the turn before it is still not taken.
    fn turned(&self) -> bool {
        let next = 1 - self.turn.load(Ordering::Relaxed);
        let stuck = self.replies[next].load(Ordering::Relaxed) > 0;
        self.turn.store(next, Ordering::Relaxed);
        stuck
    }

    /// Completes when a reply was not taken for `patience`, and at most twice that.
    /// To be polled whenever the connection is.
    pub(crate) async fn stuck(&self, patience: Duration) {
        let mut turn = pin!(sleep(patience));
        let mut running = false;
        std::future::poll_fn(|context| {
            loop {
                if !running {
                    if self.replies() == 0 {
                        return Poll::Pending;
                    }
                    turn.as_mut().reset(after(patience));
                    running = true;
                }
                if turn.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                running = false;
                if self.turned() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}

/// A point too far to name is as good as never.
fn after(patience: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);
    Instant::now() + patience.min(FAR)
}

/// A call from its arrival until its reply is taken or lost.
#[derive(Debug)]
pub(crate) struct Open {
    pace: Arc<Pace>,
    /// The slot of its reply, once it is made.
    slot: Option<usize>,
}

impl Open {
    pub(crate) fn on(pace: &Arc<Pace>) -> Self {
        pace.open.fetch_add(1, Ordering::Relaxed);
        Self {
            pace: Arc::clone(pace),
            slot: None,
        }
    }

    /// From here on its peer is waited for.
    pub(crate) fn replied(&mut self) {
        let slot = self.pace.turn.load(Ordering::Relaxed);
        self.pace.replies[slot].fetch_add(1, Ordering::Relaxed);
        self.slot = Some(slot);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pace.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(slot) = self.slot {
            self.pace.replies[slot].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const STEP: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_is_not_taken_is_found_however_many_others_are() {
        let pace = Arc::new(Pace::default());
        let mut stuck = pin!(pace.stuck(PATIENCE));
        let mut old = Open::on(&pace);
        old.replied();
        let began = Instant::now();
        let mut found = false;
        for _ in 0..30 {
            // Others come and are taken.
            Open::on(&pace).replied();
            if stuck.as_mut().now_or_never().is_some() {
                found = true;
                break;
            }
            tokio::time::advance(STEP).await;
        }
        assert!(found);
        assert!((PATIENCE..=2 * PATIENCE + STEP).contains(&began.elapsed()));
        drop(old);
        assert_eq!((pace.open(), pace.replies()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_call_that_waits_nor_replies_that_are_taken_count_as_stuck() {
        let pace = Arc::new(Pace::default());
        let mut stuck = pin!(pace.stuck(PATIENCE));
        let _waiting = Open::on(&pace);
        for _ in 0..100 {
            let mut brisk = Open::on(&pace);
            brisk.replied();
            assert!(stuck.as_mut().now_or_never().is_none());
            tokio::time::advance(STEP).await;
            drop(brisk);
        }
        assert_eq!(pace.open(), 1);
    }
}
