//! The services of the port for callers, the cache and the limits: the wire on one
//! side, core on the other.
//!
//! A call is checked in full before anything is done: what is refused with
//! `INVALID_ARGUMENT` stored nothing of itself. (A value too large is known to be so
//! only by its cache: its `Fill` is refused after the others were settled, and its
//! `Set` removes what it contradicts, as does one too large to be received.) Messages name the field, the limit and what
//! was found, and never bytes of a key, a value or a tag.

mod body;
mod cache;
mod call;
mod deadline;
mod envelope;
mod envoy;
mod fields;
mod fill;
mod get;
mod get_many;
mod limit;
pub(crate) mod limits;
mod message;
mod outline;
mod oversized;
mod reply;
mod services;
mod status;
mod tenants;
mod write;

pub(crate) use cache::Cache;
pub(crate) use call::Desk;
pub(crate) use envoy::{Descriptors, RateLimits};
pub(crate) use limit::Limits;
pub(crate) use services::{Common, Services};
pub(crate) use tenants::{Closings, Tenants};
