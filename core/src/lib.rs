//! The decisions of Millpond.
//!
//! This crate holds the state machines of the two-level cache (which reads are
//! answered, who may load, what a late value is worth), of the limits (who may spend,
//! and when) and of the breakers (who may call what fails). It owns no socket, no runtime and no store. Time comes through a [`clock::Clock`]; waiting is a
//! plain [`std::future::Future`]; lookups return values that say what to do, and
//! the edges (sidecar, client) do it.
//!
//! Start at [`cache::Pond`], [`limit`] and [`breaker::Breaker`].
#![cfg_attr(
    millpond_loom,
    allow(dead_code, unused_imports, reason = "models use a part")
)]

pub mod breaker;
pub mod cache;
pub mod clock;
pub mod fence;
pub mod histogram;
pub mod limit;
pub mod tenant;
pub mod version;

mod entropy;
mod planted;
mod snapshot;
mod sync;

pub use bytes::Bytes;
pub use entropy::Entropy;
