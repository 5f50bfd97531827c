//! A load has read the old value and is held. The truth changes, the cache is told,
//! and the telling *returns*. From then on nobody who starts a read may get the old
//! value.
//!
//! A cache may make the change wait for the load: the round then opens the gate first
//! and counts that it did. That costs latency, not correctness.

use std::sync::Arc;

use serde::Serialize;

use super::{ROOM, each_round, settled};
use crate::{
    origin::{Ending, Gate, Origin},
    subject::{Change, Failed, Key, Subject, Value},
};

/// When the reader comes that must not get the old value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// After the held load has ended.
    AfterLoad,
    /// After the change has returned, while the load is still held.
    DuringLoad,
}

/// Rounds, by what was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Rounds run.
    pub rounds: u64,
    /// Rounds in which the row's reader, who started after the change, got the old
    /// value.
    pub old: u64,
    /// Rounds of [`Reader::DuringLoad`] in which one more reader, after the load, got
    /// the old value though the first did not: the late fill replaced what was newer.
    pub old_later: u64,
    /// Rounds in which a caller got the old value that was already waiting for the
    /// load when the change was made. Allowed; told because it surprises.
    pub waiter_old: u64,
    /// Rounds in which the change waited for the load.
    pub change_waited: u64,
    /// Rounds in which a reader got an error.
    pub errors: u64,
    /// Rounds that did not end.
    pub hung: u64,
}

struct Round {
    reader: Result<Value, Failed>,
    later: Result<Value, Failed>,
    waiter: Result<Value, Failed>,
    new: Value,
    change_waited: bool,
}

/// Runs the rounds.
pub async fn run<S: Subject>(change: Change, reader: Reader, rounds: u64) -> Tally {
    let mut tally = Tally::default();
    let one = |key| round::<S>(change, reader, key);
    each_round(rounds, one, |round| tally.count(round)).await;
    tally
}

async fn round<S: Subject>(change: Change, reader: Reader, key: Key) -> Round {
    let subject = Arc::new(S::with_room(ROOM));
    let origin = Origin::default();
    let gate = Gate::default();
    let read = |load| {
        let subject = Arc::clone(&subject);
        tokio::spawn(async move { subject.read(key, load).await })
    };

    let leader = read(origin.held_load(&gate, Ending::Answer));
    gate.reached().await;
    let waiter = read(origin.load());
    settled().await;

    let new = origin.change();
    let changing = {
        let subject = Arc::clone(&subject);
        tokio::spawn(async move { subject.apply(change, key, new).await })
    };
    settled().await;
    let change_waited = !changing.is_finished();
    if change_waited {
        gate.open();
    }
    joined(changing.await);

    let during = (reader == Reader::DuringLoad).then(|| read(origin.load()));
    settled().await;
    gate.open();
    let _ = joined(leader.await);
    let waiter = joined(waiter.await);

    let after = joined(read(origin.load()).await);
    let reader = match during {
        Some(during) => joined(during.await),
        None => after.clone(),
    };
    Round {
        reader,
        later: after,
        waiter,
        new,
        change_waited,
    }
}

/// No task of these rounds is aborted and no load panics.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    result.expect("the cache itself panicked")
}

impl Tally {
    fn count(&mut self, round: Option<Round>) {
        self.rounds += 1;
        let Some(round) = round else {
            self.hung += 1;
            return;
        };
        let is_old = |read: &Result<Value, Failed>| {
            read.as_ref()
                .is_ok_and(|value| value.generation < round.new.generation)
        };
        self.old += u64::from(is_old(&round.reader));
        self.old_later += u64::from(!is_old(&round.reader) && is_old(&round.later));
        self.waiter_old += u64::from(is_old(&round.waiter));
        self.errors += u64::from(round.reader.is_err() || round.later.is_err());
        self.change_waited += u64::from(round.change_waited);
    }
}
