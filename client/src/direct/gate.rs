//! How many loaders run at once, and how many more may wait for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// How long a caller that was refused should stay away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A place among the loaders that run; given back by dropping it.
#[derive(Debug)]
#[must_use = "dropping a pass gives the place to another"]
pub(crate) struct Pass(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    queue: usize,
    queued: AtomicUsize,
}

impl Gate {
    pub(super) fn new(at_once: usize, queue: usize) -> Self {
        let at_once = at_once.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            queue,
            queued: AtomicUsize::new(0),
        }
    }

    /// A place, at once or after waiting in the queue; refused when that is full or
    /// `patience` is at an end.
    pub(super) async fn pass(&self, patience: Duration) -> Result<Pass, Error> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Pass(place));
        }
        let shed = Error::Shed {
            retry_after: Some(RETRY_AFTER),
        };
        let Some(_queued) = Queued::enter(&self.queued, self.queue) else {
            return Err(shed);
        };
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(patience, place).await {
            Ok(Ok(place)) => Ok(Pass(place)),
            // The semaphore is never closed: time is up.
            Ok(Err(_)) | Err(_) => Err(shed),
        }
    }
}

/// A place in the queue.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(queued: &'a AtomicUsize, limit: usize) -> Option<Self> {
        // Relaxed: a bound, not an order. Counted first, so that it holds whoever
        // else is counting.
        let before = queued.fetch_add(1, Ordering::Relaxed);
        let place = Self(queued);
        (before < limit).then_some(place)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_pass_so_many_queue_and_the_rest_is_refused() {
        let gate = Arc::new(Gate::new(1, 1));
        let first = gate.pass(Duration::ZERO).await.expect("there is room");
        let queueing = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass(Duration::from_secs(60)).await.is_ok() }
        });
        while gate.queued.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = gate.pass(Duration::from_secs(60)).await;
        assert!(matches!(
            refused,
            Err(Error::Shed {
                retry_after: Some(_)
            })
        ));
        drop(first);
        assert!(queueing.await.expect("no panic"));
        assert_eq!(gate.queued.load(Ordering::Relaxed), 0);
        // The one who queued has left too.
        drop(gate.pass(Duration::ZERO).await.expect("there is room"));
    }

    #[tokio::test]
    async fn nobody_queues_beyond_its_patience() {
        let gate = Gate::new(1, 1);
        let _first = gate.pass(Duration::ZERO).await.expect("there is room");
        let late = gate.pass(Duration::ZERO).await;
        assert!(matches!(late, Err(Error::Shed { .. })));
        assert_eq!(gate.queued.load(Ordering::Relaxed), 0);
    }
}
