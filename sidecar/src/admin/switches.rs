//! Modes that operators set, and those that end by themselves.
//!
//! The pond obeys the last word about a cache. What is kept here is when a word ends:
//! a task for each, which takes its own word back and no later one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millpond_core::cache::{CacheName, Mode, Pond, Switched, TooManyCaches};
use millpond_core::clock::Time;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::changes::{Act, Changes};

/// Words that may be about to end at once: more than there are caches listed.
const MAX_TIMED: usize = 1_024;

#[derive(Debug)]
pub(super) struct Switches {
    pond: Arc<Pond>,
    changes: Arc<Changes>,
    timed: Arc<Mutex<Timed>>,
}

#[derive(Debug, Default)]
struct Timed {
    by_cache: HashMap<CacheName, Ending>,
    words: u64,
}

#[derive(Debug)]
struct Ending {
    word: u64,
    at: Time,
    task: AbortHandle,
}

/// Why a cache was not switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unswitched {
    TooManyCaches(TooManyCaches),
    TooManyTimed,
}

/// An operator's word about a cache.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) cache: CacheName,
    /// `None`: what the configuration says.
    pub(super) mode: Option<Mode>,
    /// `None`: until said otherwise.
    pub(super) lasts: Option<Duration>,
    pub(super) why: String,
    pub(super) peer: Option<SocketAddr>,
}

impl Switches {
    pub(super) fn new(pond: Arc<Pond>, changes: Arc<Changes>) -> Self {
        Self {
            pond,
            changes,
            timed: Arc::default(),
        }
    }

    /// Obeys a word at once, and takes it back when its time is over. Inside a
    /// runtime.
    pub(super) fn obey(&self, word: Word) -> Result<Switched, Unswitched> {
        let mut timed = self.timed.lock();
        let renewed = timed.by_cache.contains_key(&word.cache);
        if word.lasts.is_some() && !renewed && timed.by_cache.len() >= MAX_TIMED {
            return Err(Unswitched::TooManyTimed);
        }
        let switched = self
            .pond
            .switch(&word.cache, word.mode)
            .map_err(Unswitched::TooManyCaches)?;
        if let Some(ending) = timed.by_cache.remove(&word.cache) {
            ending.task.abort();
        }
        if let Some(lasts) = word.lasts {
            timed.words += 1;
            let number = timed.words;
            let task = tokio::spawn(end(
                Arc::clone(&self.pond),
                Arc::clone(&self.changes),
                Arc::clone(&self.timed),
                word.cache.clone(),
                number,
                lasts,
            ));
            let ending = Ending {
                word: number,
                at: self.pond.clock().precise().after(lasts),
                task: task.abort_handle(),
            };
            timed.by_cache.insert(word.cache.clone(), ending);
        }
        drop(timed);
        let after = match word.lasts {
            Some(lasts) => format!("{} for {} s", name(switched.after), lasts.as_secs_f64()),
            None => name(switched.after).to_owned(),
        };
        self.changes.audit(&Act {
            kind: "mode",
            of: word.cache.as_str(),
            before: &name(switched.before),
            after: &after,
            actor: "",
            why: &word.why,
            peer: word.peer,
        });
        Ok(switched)
    }

    /// How long the word about a cache still holds, if it ends by itself.
    pub(super) fn ends_in(&self, cache: &CacheName) -> Option<Duration> {
        let timed = self.timed.lock();
        let at = timed.by_cache.get(cache)?.at;
        Some(at.since(self.pond.clock().precise()))
    }
}

async fn end(
    pond: Arc<Pond>,
    changes: Arc<Changes>,
    timed: Arc<Mutex<Timed>>,
    cache: CacheName,
    word: u64,
    lasts: Duration,
) {
    tokio::time::sleep(lasts).await;
    let switched = {
        let mut timed = timed.lock();
        // A later word may have come while this task was on its way.
        if timed.by_cache.get(&cache).map(|ending| ending.word) != Some(word) {
            return;
        }
        timed.by_cache.remove(&cache);
        // Taking a word back needs no room.
        pond.switch(&cache, None)
    };
    if let Ok(switched) = switched {
        changes.audit(&Act {
            kind: "mode",
            of: cache.as_str(),
            before: &name(switched.before),
            after: &name(switched.after),
            actor: "",
            why: "its time is over",
            peer: None,
        });
    }
}

/// A mode as it is written.
pub(super) fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::On => "on",
        Mode::Observe => "observe",
        Mode::Bypass => "bypass",
    }
}
