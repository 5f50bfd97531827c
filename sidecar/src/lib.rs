//! The process beside a service: `millpond-core` over gRPC.
//!
//! [`Sidecar::start`] listens, starts its threads and returns; [`Running`] says
//! where it listens and ends it. The binary `millpond` is a command line around
//! that, and tests and benchmarks start the same thing in their own process.
//!
//! ```text
//!  control thread   accepts, answers probes, drains
//!       │ connections, round robin
//!  worker threads   one single-threaded runtime each: HTTP/2, gRPC, the cache
//!  sweep thread     gives back what expired
//! ```
//!
//! | module | what it owns |
//! |---|---|
//! | `budget` | bytes in flight over all connections |
//! | `canary` | two tenants that notice a leak between tenants |
//! | `config` | what a sidecar is started with |
//! | `sidecar` | the composition: threads, listeners, and their end |
//! | `drain` | the stages from serving to stopped |
//! | `listen` | binding, accepting, and what a connection may do |
//! | `worker` | a thread that serves connections |
//! | `rpc` | the services: wire to core and back |
//! | `probe` | the HTTP port of kubelet and Prometheus |
//! | `admin` | the port of operators: the console, `AdminService`, draining |
//! | `telemetry` | counters, metrics, logs |
//! | `descriptors` | how many connections the system lets us have |
//! | `memory` | sizes, and how much the machine gives us |
//! | `timer` | waiting for a point of core's time |

mod admin;
mod budget;
pub mod canary;
pub mod config;
pub mod descriptors;
mod drain;
mod listen;
pub mod memory;
mod probe;
mod rpc;
mod sidecar;
pub mod telemetry;
mod tenancy;
mod timer;
mod worker;

pub use config::{Config, DEFAULT_ADMIN, DEFAULT_LISTEN, DEFAULT_PROBE, DEFAULT_SOCKET, Socket};
pub use drain::{Drained, Shutdown};
pub use sidecar::{Addresses, Listening, Running, Sidecar, StartError};
