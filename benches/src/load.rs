//! Load on a cache as a program would put it there: what `millpond bench` and the
//! soak run, embedded or against a sidecar.
//!
//! Every value says whose it is and when its load began and ended, so that each
//! answer can be checked, and the origin's time taken off what the caller waited.
//! The cache's own counters are read before and after: the number of loads that
//! loaders counted must be the number of leases that the cache granted.
//!
//! | module | what it owns |
//! |---|---|
//! | `plan` | what is asked for, of a cache of what size, with what origin |
//! | `value` | values that can be checked |
//! | `origin` | where values come from |
//! | `worker` | the callers, and what they found |
//! | `herd` | many callers of one cold key |
//! | `target` | the cache: embedded, a sidecar told of, or one started here |
//! | `sidecar` | a sidecar as a child process |
//! | `counters` | the cache's counters, and what must be equal |
//! | `process` | what the kernel counts of a process |
//! | `report` | what a replay found, for a person or a program |
//! | `oracle` | whether a read was older than an invalidation allows |

pub mod counters;
pub mod herd;
pub mod oracle;
mod origin;
pub mod plan;
pub mod process;
pub mod report;
pub mod sidecar;
pub mod target;
pub mod value;
pub mod worker;
