//! The caller that leads a load goes away while others wait for it: dropped, as when
//! its own client hung up, or by a panic of its loader. The others asked for a value
//! that can be had; they must get it, by few loads, and not somebody else's fate.

use std::sync::Arc;

use serde::Serialize;

use super::{FOLLOWERS, ROOM, each_round, settled};
use crate::{
    origin::{Ending, Gate, Origin},
    subject::{Key, Subject},
};

/// How the leader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its future is dropped.
    Cancelled,
    /// Its loader panics.
    Panicked,
}

/// What the followers got, over all rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Rounds run.
    pub rounds: u64,
    /// Followers, all rounds together.
    pub followers: u64,
    /// Those that got the value.
    pub served: u64,
    /// Those that were handed an error or a panic.
    pub errors: u64,
    /// Loads begun, the lost leader's among them.
    pub loads: u64,
    /// Rounds that did not end.
    pub hung: u64,
}

struct Round {
    served: usize,
    loads: u64,
}

/// Runs the rounds.
pub async fn run<S: Subject>(loss: Loss, rounds: u64) -> Tally {
    let mut tally = Tally::default();
    each_round(
        rounds,
        |key| round::<S>(loss, key),
        |round| tally.count(round),
    )
    .await;
    tally
}

async fn round<S: Subject>(loss: Loss, key: Key) -> Round {
    let subject = Arc::new(S::with_room(ROOM));
    let origin = Origin::default();
    let gate = Gate::default();
    let read = |load| {
        let subject = Arc::clone(&subject);
        tokio::spawn(async move { subject.read(key, load).await })
    };

    let ending = match loss {
        Loss::Cancelled => Ending::Answer,
        Loss::Panicked => Ending::Panic,
    };
    let leader = read(origin.held_load(&gate, ending));
    gate.reached().await;
    let followers: Vec<_> = (0..FOLLOWERS).map(|_| read(origin.load())).collect();
    settled().await;

    if loss == Loss::Cancelled {
        leader.abort();
        settled().await;
    }
    // Where a load outlives its caller it is still held after the abort.
    gate.open();
    // Cancelled, panicked, or an error of the cache: the leader's own affair.
    let _ = leader.await;

    let mut served = 0;
    for follower in followers {
        served += usize::from(matches!(follower.await, Ok(Ok(_))));
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
        self.followers += FOLLOWERS as u64;
        self.served += round.served as u64;
        self.errors += (FOLLOWERS - round.served) as u64;
        self.loads += round.loads;
    }
}
