//! Logs: to stderr, as text or JSON. They tell changes of state, and never a key,
//! a value or a tag.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Starts logging for the process. `filter` is a level, or directives such as
/// `warn,millpond_sidecar=info`.
///
/// # Errors
/// When the filter is not of that form. A process that logs already stays as it is.
pub fn start(format: Format, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        Format::Text => lines.with_target(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    // Already set: whoever embeds us logs in their own way.
    drop(started);
    Ok(())
}
