//! Many callers of one cold key, on two threads. Loads are held until every caller's
//! read has been polled, so that none finds the key warm by luck.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use serde::Serialize;
use tokio::sync::Semaphore;

use super::{ROOM, each_round, settled};
use crate::{
    origin::{Ending, Gate, Origin},
    subject::{Key, Subject},
};

/// The callers of a round.
pub const CALLERS: u32 = 100;

/// What the callers got, over all rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Rounds run.
    pub rounds: u64,
    /// Callers, all rounds together.
    pub callers: u64,
    /// Those that got the value.
    pub served: u64,
    /// Loads begun.
    pub loads: u64,
    /// Rounds that did not end.
    pub hung: u64,
}

struct Round {
    served: u64,
    loads: u64,
}

/// Runs the rounds.
pub async fn run<S: Subject>(rounds: u64) -> Tally {
    let mut tally = Tally::default();
    each_round(rounds, round::<S>, |round| tally.count(round)).await;
    tally
}

async fn round<S: Subject>(key: Key) -> Round {
    let subject = Arc::new(S::with_room(ROOM));
    let origin = Origin::default();
    let gate = Gate::default();
    let started = Arc::new(Semaphore::new(0));

    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let subject = Arc::clone(&subject);
            let load = origin.held_load(&gate, Ending::Answer);
            let started = Arc::clone(&started);
            tokio::spawn(async move {
                let mut read = pin!(subject.read(key, load));
                let first = poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await;
                started.add_permits(1);
                match first {
                    Poll::Ready(result) => result,
                    Poll::Pending => read.await,
                }
            })
        })
        .collect();
    // Never closed, so this is only a wait.
    let _ = started.acquire_many(CALLERS).await;
    gate.reached().await;
    settled().await;
    gate.open();

    let mut served = 0;
    for caller in callers {
        served += u64::from(matches!(caller.await, Ok(Ok(_))));
    }
    Round {
        served,
        loads: origin.loads(),
    }
}

impl Tally {
    fn count(&mut self, round: Option<Round>) {
        self.rounds += 1;
        let Some(round) = round else {
            self.hung += 1;
            return;
        };
        self.callers += u64::from(CALLERS);
        self.served += round.served;
        self.loads += round.loads;
    }
}
