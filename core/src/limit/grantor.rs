//! The port to whoever shares out the buckets of a whole fleet.
//!
//! To its sidecars a fleet is what a sidecar is to the processes beside it
//! ([`Grants`](super::Grants)): a bucket is debited first, tokens are handed out, and a
//! holder spends them without asking ([`Granted`](super::Granted)). Only here the answer
//! comes over a network, may be lost, and the bucket itself may be.
//!
//! What an adapter must keep is checked by one conformance suite (feature `testing`):
//! - tokens are debited before they are told of; of an ask without an answer nobody knows
//!   whether it was done, and what it took is spent;
//! - in any window, all holders together admit at most burst + rate · window + the tokens
//!   on grant at its start;
//! - an ask gets at most what it wants, and no fewer than come back in
//!   [`LEAST_TIME`](super::LEAST_TIME) while there are so many, so that many holders of a
//!   nearly empty bucket need not ask for each token; an empty bucket says when to ask
//!   again;
//! - reports are cumulative by holder and grant: what is said twice counts once, what is
//!   not said was spent, and no more comes back than was granted and not used. What is
//!   handed back of a store that is lost counts against what this one had granted by then
//!   (a holder's tokens are all alike), and not against what it grants later;
//! - a bucket that is not known begins *empty*: what was on grant when the store lost it
//!   may still be spent, so a full one would admit the burst twice;
//! - tenants, limits and keys are apart.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::quota::Quota;
use crate::cache::TenantId;
use crate::fence::Boot;

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "testing")]
pub mod memory;

/// One bucket of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetBucket<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// Of this limit; empty is the tenant's own.
    pub limit: &'a str,
    /// Of this key; empty is all of the limit.
    pub key: &'a [u8],
    /// Its size and rate. A grantor that knows another puts this one in force and forgives
    /// nothing.
    pub quota: Quota,
}

/// What a sidecar says of one of its grants, and wants.
#[derive(Clone, Copy, Debug)]
pub struct FleetAsk<'a> {
    /// The bucket.
    pub bucket: FleetBucket<'a>,
    /// The run of the sidecar that asks.
    pub holder: Boot,
    /// Tokens wanted. 0 only reports.
    pub want: u32,
    /// Spent or expired since the holder first asked.
    pub used: u64,
    /// Handed back since then.
    pub returned: u64,
}

/// What it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetGiven {
    /// Added to what it holds.
    pub tokens: u32,
    /// How long they may be spent, counted from when they were asked for.
    pub lives: Duration,
    /// With no tokens though some were wanted: when to ask again.
    pub retry_after: Duration,
}

/// Nobody answered, or not in time. What was asked may have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantorError {
    /// What happened, for a log line. Never a key.
    pub what: String,
}

impl fmt::Display for GrantorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grantor: {}", self.what)
    }
}

impl std::error::Error for GrantorError {}

/// A grantor's answer, some time later.
pub type GrantorFuture<'a> =
    Pin<Box<dyn Future<Output = Result<FleetGiven, GrantorError>> + Send + 'a>>;

/// Shares out the fleet's buckets.
pub trait Grantor: fmt::Debug + Send + Sync {
    /// Takes a report into account, then grants as much of what is wanted as may be.
    fn ask<'a>(&'a self, ask: FleetAsk<'a>) -> GrantorFuture<'a>;
}
