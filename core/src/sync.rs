//! The only file that chooses synchronisation primitives.
//!
//! Everything else in the crate takes its atomics, mutexes and concurrent map
//! from here, so that one private cfg (`millpond_loom`) puts loom's under the
//! same code and the models in `loom-tests` check what ships.
//!
//! - [`Mutex`] never poisons: a holder that panics leaves plain data behind it,
//!   and every critical section in this crate is complete or not begun at each
//!   point that can panic.
//! - [`Map`] is lock-free for readers; see `sync/native.rs`. So is [`Queue`] for all.
//! - [`Once`] is given once and then read without a lock.
//! - `Arc` is std's in both worlds: reference counts order nothing here except
//!   in the scope table, which states its own fences.

#[cfg(millpond_loom)]
mod model;
#[cfg(not(millpond_loom))]
mod native;

#[cfg(millpond_loom)]
pub(crate) use model::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Map, Mutex, Once, Queue, fence,
};
#[cfg(not(millpond_loom))]
pub(crate) use native::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Map, Mutex, Once, Queue, fence,
};

pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use papaya::Equivalent;
pub(crate) use std::sync::atomic::Ordering;
