//! The origin behind both caches: slow, counted, and ready to be held or to fail.
//!
//! What it answers names itself: a [`Stamp`] carries the version of the data and
//! the number of the load that read it. So whether an answer is old, or waited for
//! a load, is told by the answer and not by a clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

/// How soon an origin that is down says so: a connection refused, not a timeout.
const REFUSED_AFTER: Duration = Duration::from_millis(20);
/// The version of what nobody has written yet.
const FIRST_VERSION: u64 = 1;

/// What a load found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Version of the data under the key, counted from 1.
    pub(super) version: u64,
    /// Number of the load, counted from 1 over all keys of an origin.
    pub(super) load: u64,
}

impl Stamp {
    pub(super) fn encode(self) -> String {
        format!("version {} load {}", self.version, self.load)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (version, load) = text.strip_prefix("version ")?.split_once(" load ")?;
        Some(Self {
            version: version.parse().ok()?,
            load: load.parse().ok()?,
        })
    }
}

/// The origin does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin is down")
    }
}

#[derive(Debug)]
pub(super) struct Origin {
    latency: Duration,
    /// Loads begun.
    begun: watch::Sender<u64>,
    /// Loads up to this number do not end.
    held: watch::Sender<u64>,
    // Relaxed, both: a switch and a count that order nothing else.
    down: AtomicBool,
    failed: AtomicU64,
    versions: Mutex<HashMap<String, u64>>,
}

impl Origin {
    pub(super) fn new(latency: Duration) -> Self {
        Self {
            latency,
            begun: watch::Sender::new(0),
            held: watch::Sender::new(0),
            down: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            versions: Mutex::new(HashMap::new()),
        }
    }

    /// Reads what is there now, and takes its time to say so.
    pub(super) async fn load(&self, key: &str) -> Result<Stamp, Down> {
        // Read first: as a query whose answer is old by the time it arrives.
        let version = self.version(key).await;
        let mut load = 0;
        self.begun.send_modify(|begun| {
            *begun += 1;
            load = *begun;
        });
        if self.down.load(Relaxed) {
            tokio::time::sleep(REFUSED_AFTER).await;
            self.failed.fetch_add(1, Relaxed);
            return Err(Down);
        }
        tokio::time::sleep(self.latency).await;
        let mut held = self.held.subscribe();
        // The sender lives as long as this origin.
        drop(held.wait_for(|held| *held < load).await);
        Ok(Stamp { version, load })
    }

    async fn version(&self, key: &str) -> u64 {
        let versions = self.versions.lock().await;
        versions.get(key).copied().unwrap_or(FIRST_VERSION)
    }

    /// Changes the data; returns its new version.
    pub(super) async fn write(&self, key: &str) -> u64 {
        let mut versions = self.versions.lock().await;
        let version = versions.entry(key.to_owned()).or_insert(FIRST_VERSION);
        *version += 1;
        *version
    }

    /// Loads begun until now.
    pub(super) fn loads(&self) -> u64 {
        *self.begun.borrow()
    }

    /// Loads that failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Waits until so many loads have begun.
    pub(super) async fn until_begun(&self, count: u64) {
        let mut begun = self.begun.subscribe();
        drop(begun.wait_for(|begun| *begun >= count).await);
    }

    /// The next load does not end before [`Self::let_go`]. Returns its number.
    pub(super) fn hold_next(&self) -> u64 {
        let next = self.loads() + 1;
        self.held.send_replace(next);
        next
    }

    pub(super) fn let_go(&self) {
        self.held.send_replace(0);
    }

    pub(super) fn fail(&self) {
        self.down.store(true, Relaxed);
    }
}
