//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What the process opens beside connections to the cache: listeners, probes, files.
const BESIDE: u64 = 256;

/// Raises the limit as [`raise`] does, and warns if it is too low for so many
/// connections.
pub fn raise_for(connections: usize) {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(BESIDE);
    if let Some(limit) = raise().filter(|limit| *limit < wanted) {
        warn!(
            limit,
            wanted, "the limit on open files is lower than the connections allowed"
        );
    }
}

/// Raises the soft limit to the hard one, and returns what it is then; `None`
/// without a limit.
///
/// Shells and container runtimes start processes with a soft limit of 1 024, kept low
/// for programs that still use `select`. Each connection takes one descriptor.
pub fn raise() -> Option<u64> {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: found.maximum,
        maximum: found.maximum,
    };
    // Up to the hard limit it is not refused; if it is, less must do.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => found.current,
    }
}
