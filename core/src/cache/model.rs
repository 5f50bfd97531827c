//! What the loom models see of a pond beyond its public face.

use super::entry::Body;
use super::expiry::Phase;
use super::front::Front;
use super::pond::Pond;
use super::scope::Scope;
use crate::snapshot::Snapshot;

/// One thread's front, by hand.
#[derive(Debug)]
pub struct HandFront(Front);

impl HandFront {
    /// An empty front.
    #[must_use]
    pub fn new() -> Self {
        Self(Front::new())
    }
}

impl Default for HandFront {
    fn default() -> Self {
        Self::new()
    }
}

/// Two words that are written together.
#[derive(Debug)]
pub struct TwoWords(Snapshot<2>);

impl TwoWords {
    /// Both are `word`.
    #[must_use]
    pub fn new(word: u64) -> Self {
        Self(Snapshot::new([word; 2]))
    }

    /// Both become `word`. One thread at a time.
    pub fn write(&self, word: u64) {
        self.0.write([word; 2]);
    }

    /// What both are.
    #[must_use]
    pub fn read(&self) -> [u64; 2] {
        self.0.read()
    }
}

impl Pond {
    /// What a reader finds through its front.
    #[must_use]
    pub fn read_through(&self, front: &HandFront, scope: &Scope, key: &[u8]) -> Option<Body> {
        let key = self.key(scope, key);
        let now = self.clock().now();
        let read = self.l1.read_through(&front.0, &key, |node| {
            (node.entry.phase(now) == Phase::Fresh).then(|| node.entry.body().clone())
        });
        read.flatten()
    }

    /// Lets the eviction policy give up the ticket it has held longest.
    pub fn evict_one(&self) {
        self.l1.shares.evict_one(None);
    }

    /// What is wrong with L1 at rest; empty when nothing is.
    #[must_use]
    pub fn disorder(&self) -> Vec<&'static str> {
        let shares = self.audit_shares();
        let mut wrong = self.l1.disorder();
        if shares.iter().any(|share| share.counted != share.found) {
            wrong.push("bytes charged to a share are not the bytes of its nodes");
        }
        if self.audit_bytes() != self.gauges().bytes {
            wrong.push("bytes counted are not bytes held");
        }
        if self.gauges().loads != 0 {
            wrong.push("a load is unsettled");
        }
        wrong
    }
}
