//! What Millpond is measured with: recorded and synthetic workloads, the caches'
//! common face, and reports that a person and a program can read.
//!
//! The library knows no cache but Millpond, and that as a client does. The others are
//! dev-dependencies of the benches, so that `millpond bench` can link the load without
//! them.

pub mod load;
pub mod lockfile;
pub mod race;
pub mod reference;
pub mod report;
pub mod soak;
pub mod stopwatch;
pub mod subject;
pub mod table;
pub mod trace;
pub mod workload;
pub mod zipf;
