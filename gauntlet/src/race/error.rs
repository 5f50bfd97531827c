//! The origin is down while callers wait for one load. Asking it again for each of
//! them would be a herd upon a sick origin; keeping the error would outlast the
//! sickness.

use std::sync::Arc;

use serde::Serialize;

use super::{FOLLOWERS, ROOM, each_round, settled};
use crate::{
    origin::{Ending, Gate, Origin},
    subject::{Failed, Key, Subject},
};

/// What the callers got, over all rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Rounds run.
    pub rounds: u64,
    /// Callers, leader and followers, all rounds together.
    pub callers: u64,
    /// Those that got the origin's own error.
    pub told: u64,
    /// Loads begun while the origin was down.
    pub loads: u64,
    /// Rounds in which a reader after the origin's recovery still got an error.
    pub cached: u64,
    /// Rounds that did not end.
    pub hung: u64,
}

struct Round {
    told: usize,
    loads: u64,
    cached: bool,
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
    let read = |load| {
        let subject = Arc::clone(&subject);
        tokio::spawn(async move { subject.read(key, load).await })
    };

    origin.set_down(true);
    let mut callers = vec![read(origin.held_load(&gate, Ending::Answer))];
    gate.reached().await;
    callers.extend((0..FOLLOWERS).map(|_| read(origin.load())));
    settled().await;
    gate.open();

    let mut told = 0;
    for caller in callers {
        told += usize::from(matches!(caller.await, Ok(Err(Failed::Origin))));
    }
    let loads = origin.loads();
    origin.set_down(false);
    let cached = !matches!(read(origin.load()).await, Ok(Ok(_)));
    Round {
        told,
        loads,
        cached,
    }
}

impl Tally {
    fn count(&mut self, round: Option<Round>) {
        self.rounds += 1;
        let Some(round) = round else {
            self.hung += 1;
            return;
        };
        self.callers += FOLLOWERS as u64 + 1;
        self.told += round.told as u64;
        self.loads += round.loads;
        self.cached += u64::from(round.cached);
    }
}
