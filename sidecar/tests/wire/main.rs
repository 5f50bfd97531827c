//! A real sidecar, a real client, a real connection: one test a behaviour.
//!
//! Nothing here sleeps to wait for something: what a test needs is asked for
//! until it is so, within a bound.

mod arguments;
mod beside;
mod drain;
mod envoy;
mod grants;
mod hostile;
mod idle;
mod leases;
mod limits;
mod many;
mod noisy;
mod probes;
mod process;
mod raw;
mod services;
mod support;
mod tenants;
mod volume;
