//! Times on the command line and in what it prints: `30s`, `1h30m`, as in the
//! configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use millpond_sidecar::config;

/// A time that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// In milliseconds, as the wire has it.
    pub(crate) fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = config::time(text);
        time.map(Self)
            .ok_or("expected a time such as 30s, 5m or 1h30m")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&config::time_as_written(self.0))
    }
}

/// A time as a person reads it: to the second, or to the millisecond below ten.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 10 {
        return config::time_as_written(Duration::from_millis(
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        ));
    }
    config::time_as_written(Duration::from_secs(seconds))
}
