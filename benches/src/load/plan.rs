//! What is asked for, of a cache of what size, with what origin behind it.

use std::time::Duration;

use millpond_core::cache::ENTRY_OVERHEAD;

use super::value::{KEY_BYTES, MIN_VALUE_BYTES};
use crate::trace::Trace;
use crate::workload::ZIPF_EXPONENT;
use crate::zipf::{Zipf, ZipfError};

/// How much the cache may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Room {
    /// A share of the workload's different keys.
    Percent(f64),
    /// Entries.
    Entries(u64),
}

/// The origin that callers load from, and what is made of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// How long a load takes, at least.
    pub delay: Duration,
    /// Bytes of a value, at least [`MIN_VALUE_BYTES`].
    pub value_bytes: usize,
    /// How long a value is fresh.
    pub fresh: Duration,
    /// How long it is answered after that while one caller refreshes it.
    pub stale: Duration,
}

impl Default for Origin {
    /// Nothing expires: what is missed was never loaded, or was evicted.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            value_bytes: 128,
            fresh: Duration::from_secs(3_600),
            stale: Duration::ZERO,
        }
    }
}

/// A replay.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The trace's name.
    pub name: String,
    /// The keys, in the order of their accesses.
    pub accesses: Vec<u64>,
    /// How many different keys these are.
    pub distinct: u64,
    /// Entries the cache has room for; nothing when it is another's, who knows.
    pub entries: Option<u64>,
    /// Tasks that take accesses from the list, at once.
    pub callers: usize,
    /// Where values come from.
    pub origin: Origin,
}

impl Plan {
    /// A replay of a trace, or of its first `limit` accesses. Without `room` the cache is
    /// another's, and has what it has.
    #[must_use]
    pub fn new(
        mut trace: Trace,
        limit: Option<usize>,
        room: Option<Room>,
        callers: usize,
        origin: Origin,
    ) -> Self {
        trace.accesses.truncate(limit.unwrap_or(usize::MAX));
        let distinct = trace.distinct() as u64;
        Self {
            entries: room.map(|room| room.entries(distinct)),
            name: trace.name,
            accesses: trace.accesses,
            distinct,
            callers: callers.max(1),
            origin,
        }
    }

    /// The bytes that room for its entries comes to; 0 when the cache is another's.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.entries.unwrap_or(0) * entry_bytes(self.origin.value_bytes)
    }
}

impl Room {
    fn entries(self, distinct: u64) -> u64 {
        let entries = match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count of keys; casts from floats saturate"
            )]
            Self::Percent(percent) => (distinct as f64 * percent / 100.0).round() as u64,
            Self::Entries(entries) => entries,
        };
        entries.max(1)
    }
}

/// `accesses` draws by popularity from `keys` keys, the same ones each time.
///
/// # Errors
/// When there are no keys.
pub fn zipf(keys: u32, accesses: usize) -> Result<Trace, ZipfError> {
    const SEED: u64 = 1;
    let ranks = Zipf::new(keys, ZIPF_EXPONENT)?.ranks(SEED);
    Ok(Trace {
        name: format!("zipf-{keys}"),
        accesses: ranks.take(accesses).map(u64::from).collect(),
    })
}

/// What the cache counts an entry of the load as.
fn entry_bytes(value: usize) -> u64 {
    (ENTRY_OVERHEAD + KEY_BYTES + value.max(MIN_VALUE_BYTES)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_keys_is_room_for_as_many_entries() {
        let trace = Trace {
            name: "t".to_owned(),
            accesses: (0..100).chain(0..100).collect(),
        };
        let plan = |limit, room| Plan::new(trace.clone(), limit, Some(room), 4, Origin::default());
        let tenth = plan(None, Room::Percent(10.0));
        assert_eq!((tenth.distinct, tenth.entries), (100, Some(10)));
        assert_eq!(tenth.budget(), 10 * (ENTRY_OVERHEAD as u64 + 16 + 128));
        let cut = plan(Some(50), Room::Percent(10.0));
        assert_eq!((cut.accesses.len(), cut.entries), (50, Some(5)));
        assert_eq!(plan(None, Room::Entries(7)).entries, Some(7));
        assert_eq!(plan(None, Room::Percent(0.0)).entries, Some(1));
        let others = Plan::new(trace.clone(), None, None, 4, Origin::default());
        assert_eq!((others.entries, others.budget()), (None, 0));
    }
}
