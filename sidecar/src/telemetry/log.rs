//! Logs: to stderr, a line an event, as text or JSON. They tell changes of state, and
//! never a key, a value or a tag.
//!
//! ```text
//! {"ts":"2026-01-31T12:00:00.000000Z","level":"info","target":"millpond_sidecar::drain","msg":"stopped","fields":{}}
//! ```
//!
//! Whatever a value holds, a line stays a line: control characters are escaped, and
//! what is longer than 1 KiB is cut. One place in the code logs at most 64 lines in ten
//! seconds; the next one after that says how many were `suppressed`. The target `audit`
//! is exempt. Inside a traced call, lines carry `trace_id` and `span_id`.
//!
//! Nobody waits for stderr but the thread `millpond-log`: 1 024 lines or 1 MiB may wait
//! for it. What comes in addition is dropped, counted, and told of once there is room.

use std::time::Duration;

use millpond_core::clock::Clock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::line::Lines;
use self::writer::Writer;

mod limit;
mod line;
mod writer;

/// The target of what operators did.
pub(crate) const AUDIT: &str = "audit";

/// How long the end of the process waits for the last lines, or for a reader of them.
const LAST_LINES: Duration = Duration::from_secs(1);
/// The same for the line of a panic, which may end the process and may not.
const PANIC_LINE: Duration = Duration::from_millis(250);

/// A process has one stderr, and one queue before it.
static WRITER: Writer = Writer::new();

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Changes what is logged while the process runs.
#[derive(Clone, Debug)]
pub struct Handle(Option<reload::Handle<EnvFilter, Registry>>);

impl Handle {
    /// Puts a filter into force: a level, or directives such as
    /// `warn,millpond_sidecar=info`. A release build has nothing below `info`.
    ///
    /// # Errors
    /// When the filter is not of that form; the one before stays in force.
    pub fn set_filter(&self, filter: &str) -> Result<(), String> {
        let filter = parse(filter)?;
        match &self.0 {
            Some(handle) => handle.reload(filter).map_err(|error| error.to_string()),
            // Whoever embeds us filters in their own way.
            None => Ok(()),
        }
    }
}

/// Starts logging for the process. `filter` is a level, or directives such as
/// `warn,millpond_sidecar=info`.
///
/// Lines are written by a thread of their own; [`flush`] before the process ends, or
/// the last ones are lost.
///
/// # Errors
/// When the filter is not of that form, or the system gives no thread. A process that
/// logs already stays as it is.
pub fn start(format: Format, filter: &str) -> Result<Handle, String> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = Lines::to(format, Clock::Kernel, Box::new(|line| WRITER.push(line)));
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    if started.is_err() {
        // Whoever embeds us logs in their own way.
        return Ok(Handle(None));
    }
    std::thread::Builder::new()
        .name("millpond-log".to_owned())
        .spawn(move || WRITER.run(|dropped| line::notice(format, dropped), writer::to_stderr))
        .map_err(|error| format!("threads: {error}"))?;
    Ok(Handle(Some(handle)))
}

/// Waits until all that was logged is written, for at most a second: a process whose
/// stderr nobody reads must end too.
pub fn flush() {
    WRITER.flush(LAST_LINES);
}

/// Lines that were not written: nobody read stderr in time, or it was closed.
pub(crate) fn dropped() -> u64 {
    WRITER.dropped()
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    // What operators did is told whatever else is not, unless it is named.
    let named = |directive: &str| directive.split(['=', '[']).next().map(str::trim) == Some(AUDIT);
    let audited = if filter.split(',').any(named) {
        filter.to_owned()
    } else {
        format!("{filter},{AUDIT}=info")
    };
    EnvFilter::try_new(audited).map_err(|error| error.to_string())
}

/// From now on a panic is one line of the log: its thread, its place, its message.
/// For a process that is ours; a library leaves the hook alone.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("not a text");
        tracing::error!(target: "panic", thread, place, "{said}");
        // The process may be about to abort. It may also go on, with a thread of calls
        // that panics again and again: that waits for a stuck stderr once.
        if !WRITER.stalled() {
            WRITER.flush(PANIC_LINE);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_did_is_told_unless_its_target_is_named_and_no_other_that_is_like_it() {
        for (filter, told) in [
            ("error", true),
            ("warn,auditor=warn", true),
            ("warn,app::audit=warn", true),
            ("warn,audit=off", false),
            ("audit=error,warn", false),
        ] {
            let filter = parse(filter).unwrap().to_string();
            assert_eq!(filter.contains("audit=info"), told, "{filter}");
        }
    }
}
