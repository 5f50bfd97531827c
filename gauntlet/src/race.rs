//! The races, in the order of the table.

use std::{future::Future, time::Duration};

use serde::Serialize;
use tokio::{runtime, task::yield_now, time::timeout};

use crate::subject::{Change, Key, Subject};

pub mod error;
pub mod handover;
pub mod herd;
pub mod stale;

use handover::Loss;
use stale::Reader;

/// A round that takes longer is hung: nothing in it waits for anything but the cache.
pub const ROUND_LIMIT: Duration = Duration::from_secs(2);
/// After this many hung rounds the rest of a race is not run.
const HUNG_LIMIT: u64 = 5;
/// Room enough that nothing is evicted.
const ROOM: usize = 1024;
/// The callers that wait for one load, beside the one that leads it.
pub const FOLLOWERS: usize = 10;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Race {
    /// The truth changes while a load that has read the old value is held.
    Stale(Change, Reader),
    /// The caller that leads a load is lost while others wait.
    Handover(Loss),
    /// The load ends in an error while others wait.
    Error,
    /// Many callers of one cold key at once.
    Herd,
}

/// What came of a race's rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The library has no such thing.
    NoSuchThing,
    /// Of [`Race::Stale`].
    Stale(stale::Tally),
    /// Of [`Race::Handover`].
    Handover(handover::Tally),
    /// Of [`Race::Error`].
    Error(error::Tally),
    /// Of [`Race::Herd`].
    Herd(herd::Tally),
}

impl Race {
    /// Every race.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let changes = [
            Change::Key,
            Change::Set,
            Change::Tag,
            Change::Cache,
            Change::Tenant,
        ];
        let stale = changes.into_iter().flat_map(|change| {
            [Reader::AfterLoad, Reader::DuringLoad].map(|reader| Self::Stale(change, reader))
        });
        stale
            .chain([
                Self::Handover(Loss::Cancelled),
                Self::Handover(Loss::Panicked),
                Self::Error,
                Self::Herd,
            ])
            .collect()
    }

    /// The row's title.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::Stale(change, reader) => {
                let change = match change {
                    Change::Key => "key invalidated",
                    Change::Set => "new value set",
                    Change::Tag => "tag invalidated",
                    Change::Cache => "whole cache invalidated",
                    Change::Tenant => "tenant invalidated",
                };
                let reader = match reader {
                    Reader::AfterLoad => "reader after the load",
                    Reader::DuringLoad => "reader while it is held",
                };
                format!("{change} during a load, {reader}")
            }
            Self::Handover(Loss::Cancelled) => format!("leader dropped, {FOLLOWERS} followers"),
            Self::Handover(Loss::Panicked) => format!("leader panics, {FOLLOWERS} followers"),
            Self::Error => format!("load fails, {FOLLOWERS} followers"),
            Self::Herd => format!("{} callers of a cold key", herd::CALLERS),
        }
    }

    /// Runs it against one cache, on a runtime of its own.
    ///
    /// # Errors
    /// The runtime cannot be started.
    pub fn run<S: Subject>(self, rounds: u64) -> std::io::Result<Outcome> {
        Ok(match self {
            Self::Stale(change, _) if S::call_for(change).is_none() => Outcome::NoSuchThing,
            Self::Stale(change, reader) => {
                Outcome::Stale(one_thread()?.block_on(stale::run::<S>(change, reader, rounds)))
            }
            Self::Handover(loss) => {
                Outcome::Handover(one_thread()?.block_on(handover::run::<S>(loss, rounds)))
            }
            Self::Error => Outcome::Error(one_thread()?.block_on(error::run::<S>(rounds))),
            Self::Herd => Outcome::Herd(two_threads()?.block_on(herd::run::<S>(rounds))),
        })
    }
}

/// On one thread a step of a round is over when everyone who could move has moved.
fn one_thread() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_time().build()
}

fn two_threads() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
}

/// Rounds one after the other, each with its own cache; `None` is a hung one.
async fn each_round<T, F: Future<Output = T>>(
    rounds: u64,
    round: impl Fn(Key) -> F,
    mut count: impl FnMut(Option<T>),
) {
    let mut hung = 0;
    for number in 0..rounds {
        let key = Key {
            tenant: "acme",
            number,
        };
        let result = timeout(ROUND_LIMIT, round(key)).await.ok();
        hung += u64::from(result.is_none());
        count(result);
        if hung == HUNG_LIMIT {
            break;
        }
    }
}

/// Lets every task run until it waits. On one thread a yield runs all that are ready;
/// the number covers chains of one waking the next.
async fn settled() {
    const LONGEST_CHAIN: usize = 64;
    for _ in 0..LONGEST_CHAIN {
        yield_now().await;
    }
}
