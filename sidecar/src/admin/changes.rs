//! What changed: a short list for `Stats`, and a line in the log for each.
//!
//! What an operator did goes to the log's target `audit`: what, why, before, after,
//! and from where. It is written at level `info` whatever else is filtered out.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use millpond_core::clock::{Clock, Time};
use millpond_proto::v1::StateChange;
use parking_lot::Mutex;
use tracing::info;

/// Changes remembered.
pub(super) const MAX_CHANGES: usize = 64;

/// Bytes of the words of a change.
const MAX_WORDS: usize = 512;

/// The last changes of state.
#[derive(Debug)]
pub(crate) struct Changes {
    clock: Clock,
    last: Mutex<VecDeque<Change>>,
}

#[derive(Debug)]
struct Change {
    at: Time,
    kind: &'static str,
    what: String,
}

/// What somebody did.
pub(super) struct Act<'a> {
    /// As in [`Changes::note`].
    pub(super) kind: &'static str,
    /// To what.
    pub(super) of: &'a str,
    pub(super) before: &'a dyn fmt::Display,
    pub(super) after: &'a dyn fmt::Display,
    /// Who did it, as they call themselves; may be empty.
    pub(super) actor: &'a str,
    /// In the words of who did it; may be empty.
    pub(super) why: &'a str,
    /// From where; `None`: by itself.
    pub(super) peer: Option<SocketAddr>,
}

impl Changes {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            last: Mutex::new(VecDeque::with_capacity(MAX_CHANGES)),
        }
    }

    /// Remembers a change.
    pub(crate) fn note(&self, kind: &'static str, what: impl Into<String>) {
        let mut what = what.into();
        what.truncate(what.floor_char_boundary(MAX_WORDS));
        let at = self.clock.precise();
        let mut last = self.last.lock();
        last.truncate(MAX_CHANGES - 1);
        last.push_front(Change { at, kind, what });
    }

    /// Remembers what somebody did, and writes it to the audit log.
    pub(super) fn audit(&self, act: &Act<'_>) {
        let Act {
            kind,
            of,
            before,
            after,
            actor,
            why,
            peer,
        } = act;
        let from = peer.map_or_else(|| "itself".to_owned(), |peer| peer.to_string());
        info!(target: "audit", action = kind, of, %before, %after, actor, why, peer = from, "changed");
        let mut what = format!("{of}: {before} → {after}");
        let by = [*actor, *why].map(str::trim);
        let by: Vec<_> = by.into_iter().filter(|part| !part.is_empty()).collect();
        if !by.is_empty() {
            what.push_str(&format!(" ({})", by.join(": ")));
        }
        self.note(kind, what);
    }

    /// Newest first.
    pub(super) fn told(&self) -> Vec<StateChange> {
        let now = self.clock.precise();
        let last = self.last.lock();
        last.iter()
            .map(|change| StateChange {
                age_ms: super::stats::milliseconds(now.since(change.at)),
                kind: change.kind.to_owned(),
                what: change.what.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_told_newest_first_and_the_rest_is_forgotten() {
        let changes = Changes::new(Clock::Kernel);
        for number in 0..100 {
            changes.note("mode", number.to_string());
        }
        changes.note("mode", "ü".repeat(400));
        let told = changes.told();
        assert_eq!(told.len(), MAX_CHANGES);
        assert_eq!(told[0].what, "ü".repeat(256));
        assert_eq!((&*told[1].what, &*told[63].what), ("99", "37"));
    }
}
