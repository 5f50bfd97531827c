//! Repeats at a bounded rate: what happens a thousand times a second is told 64
//! times, and then how often it happened.
//!
//! By place in the code, of which there are a fixed number: that bounds the table.

use std::collections::HashMap;
use std::time::Duration;

use millpond_core::clock::Time;
use parking_lot::Mutex;
use tracing::Metadata;
use tracing::callsite::Identifier;

/// Lines of one place in one window: more than the mistakes that one configuration
/// file is told of.
pub(super) const BURST: u32 = 64;
const WINDOW: Duration = Duration::from_secs(10);
/// Who changed what: every line of it counts.
const EXEMPT: &str = "audit";

#[derive(Debug, Default)]
pub(super) struct Limit {
    places: Mutex<HashMap<Identifier, Place>>,
}

#[derive(Debug)]
struct Place {
    window: Time,
    lines: u32,
    suppressed: u64,
}

impl Limit {
    /// `None` when the line is one too many, else how many there were since the
    /// last.
    pub(super) fn admit(&self, of: &Metadata<'_>, now: Time) -> Option<u64> {
        if of.target() == EXEMPT {
            return Some(0);
        }
        let mut places = self.places.lock();
        let place = places.entry(of.callsite()).or_insert(Place {
            window: now,
            lines: 0,
            suppressed: 0,
        });
        if now.since(place.window) >= WINDOW {
            place.window = now;
            place.lines = 0;
        }
        if place.lines >= BURST {
            place.suppressed += 1;
            return None;
        }
        place.lines += 1;
        Some(std::mem::take(&mut place.suppressed))
    }
}
