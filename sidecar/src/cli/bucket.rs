//! Where a bucket stands, as commands print it: its rate as the configuration writes it.

use std::time::Duration;

use millpond_sidecar::config::rate_as_written;

use super::span::shown;

/// What a bucket holds and has left.
pub(crate) struct Standing {
    pub(crate) remaining: u64,
    pub(crate) capacity: u64,
    pub(crate) rate: u64,
    pub(crate) period_ms: u64,
    pub(crate) reset_after_ms: u64,
}

impl Standing {
    pub(crate) fn in_words(&self) -> String {
        let rate = rate_as_written(self.rate, Duration::from_millis(self.period_ms));
        let mut text = format!("{} of {} left, {rate}", self.remaining, self.capacity);
        match self.reset_after_ms {
            0 => text.push_str(", full"),
            after => {
                text.push_str(", full in ");
                text.push_str(&shown(Duration::from_millis(after)));
            }
        }
        text
    }
}
