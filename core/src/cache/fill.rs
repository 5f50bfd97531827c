//! The fill table: who may load a key, who waits, and which loads still count.
//!
//! Two things are kept apart. *Exclusivity* is a lease: at most one unexpired
//! lease a key, and others wait for it. *Validity* is a version: each load carries
//! the version at which it began, and its value may be stored as long as the table
//! still has a record of it. The record goes when something moves that the load
//! may not have seen: an invalidation or a `Set` of the key removes it, a stored
//! value of a later load removes it, a barrier above its version voids it, and
//! `max_load` ends it. The lease's deadline does not: a slow loader's value still
//! counts, or a loader slower than its lease would be run for ever. (Leases:
//! Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, there with one
//! deadline for both.)
//!
//! ```text
//!  a key's flight     no load ──begin──► led ──deadline──► led, unexclusive ─┐
//!                        ▲               │  ◄──begin (another load beside)───┘
//!                        └── settle ─────┘
//! ```
//!
//! Invariants, under the stripe's lock:
//! - a flight has at most one load whose lease is unexpired and not void: its
//!   last one;
//! - waiters have their own deadlines and that of the lease they found, so they
//!   wake even if nobody settles;
//! - a load's tokens and versions grow along the list.
//!
//! After an invalidation of its key a waiter is promoted at once although the voided loader
//! may still be at work: each invalidation costs at most one more load, and nobody
//! waits for a value that is already known to be old. (A barrier visits no flight:
//! the next reader, or the voided load's end, finds it.)
//!
//! Cost: one mutex of a stripe for tens of nanoseconds a miss; hits never come
//! here.

pub(crate) mod flight;
pub(crate) mod lease;
pub(crate) mod stripe;
pub(crate) mod waiter;
