//! Millpond from Rust: one handle on a cache, in this process or in the sidecar.
//!
//! ```
//! use millpond_client::{EmbeddedConfig, Millpond};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Or Millpond::connect("unix:/run/millpond/millpond.sock").await?
//! let pond = Millpond::embedded(EmbeddedConfig::default());
//! let users = pond.cache("users")?;
//!
//! // One caller loads; everybody else who asks meanwhile waits for it.
//! let load = || async { Ok::<_, std::io::Error>("Ada") };
//! let ada = users.get_or_load("acme", "42", load).await?;
//! assert_eq!(ada.map(|value| value.into_inner()), Some("Ada".into()));
//!
//! // After a write to the database: from here on nobody reads the old value.
//! users.invalidate("acme", "42").await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Millpond`] makes handles on caches; [`Cache`] takes the tenant with each
//!   call; [`TenantCache`] is one tenant's, and the fast path.
//! - A loader returns anything that becomes a [`Loaded`]: a value, an [`Item`] with
//!   tags, times and an etag, or `None` for "there is no such thing".
//! - [`get_many_or_load`](TenantCache::get_many_or_load) reads many keys with one
//!   call of a loader that says what it found by [`LoadedMany`].
//! - [`Millpond::limit`] makes handles on the limits of tenants: [`Limit`] decides a
//!   call, [`Charges`] several limits at once, [`GrantedLimit`] in nanoseconds from
//!   tokens that the sidecar granted ahead.
//! - `json` (a default feature) adds [`JsonCache`]: typed values. `tower` adds a layer
//!   that refuses requests over a limit.
//!
//! # A sidecar, and its absence
//!
//! [`Millpond::connect`] takes an address, [`Millpond::from_env`] reads it from
//! `MILLPOND_ADDR`, [`RemoteConfig`] sets more. Connections are made again when they
//! break, and calls that the sidecar did not process go out again, so a sidecar that
//! drains and starts again costs no call where loading directly is chosen.
//!
//! | a read… | takes at most |
//! |---|---|
//! | by default | `wait` (20 s) for another's load and the `timeout` (2 s) |
//! | `within` a time | that time |
//! | where the sidecar hangs | about the `timeout`, whatever `wait` is |
//! | where it is known to be away | nothing |
//!
//! and beyond that whatever its own loader takes. While the sidecar is away reads fail
//! with [`Error::Unavailable`] or load directly: see [`OnUnavailable`]. Writes and
//! invalidations fail in either case. `MILLPOND_BYPASS=1` takes the cache out of a
//! process. On limits, [`WithoutSidecar`] decides.
//!
//! Limits are the same in both modes, and are checked before anything is asked: a key
//! is 1 to 1 024 bytes; an entry has at most 8 tags of 1 to 128 bytes and an etag of
//! at most 256. What a loader brings with more is an error of its caller and of those
//! who wait for it, and is not stored: a value without its tags could not be
//! invalidated by them.
//!
//! Both modes behave alike and need a tokio runtime with time (and, for a sidecar,
//! I/O) enabled where a cache is used. A remote call costs a round trip; an
//! embedded hit costs the core's look-up and two reference counts, or none through
//! [`TenantCache::with`].
//!
//! | file | what it owns |
//! |---|---|
//! | `millpond`, `cache`, `tenant`, `json` | the handles |
//! | `value`, `loaded`, `invalidation`, `error` | what goes in and comes out |
//! | `read`, `bulk` | the protocol of a read that loads, of one key and of many |
//! | `renewal` | leases that last as long as their loader |
//! | `reply`, `place` | what a backend answers, and which one it is |
//! | `limit/*` | limits: the handles, what goes in and comes out, and while the sidecar is away |
//! | `tower/*` | the layer |
//! | `direct/*` | loading while the sidecar is away |
//! | `environment` | what variables say |
//! | `embedded/*`, `timer` | the core in this process |
//! | `remote/*` | the sidecar over gRPC |

mod bulk;
mod cache;
mod direct;
mod embedded;
mod environment;
mod error;
mod invalidation;
#[cfg(feature = "json")]
mod json;
mod limit;
mod loaded;
mod millpond;
mod options;
mod place;
mod read;
mod remote;
mod renewal;
mod reply;
mod tenant;
mod timer;
#[cfg(feature = "tower")]
pub mod tower;
mod value;

pub use bytes::Bytes;
pub use cache::Cache;
pub use direct::OnUnavailable;
pub use embedded::EmbeddedConfig;
pub use environment::{ADDR_VARIABLE, BYPASS_VARIABLE};
pub use error::Error;
pub use invalidation::{Durability, Invalidated, Invalidation, Target};
#[cfg(feature = "json")]
pub use json::{JsonCache, JsonDirection, JsonError, JsonTenantCache};
pub use limit::Limit;
pub use limit::away::WithoutSidecar;
pub use limit::charges::Charges;
pub use limit::decision::{Decider, Decision, LimitReason};
pub use limit::granted::{GrantedLimit, TenantGrant};
pub use limit::reservation::{Reservation, Reserved};
pub use loaded::{Context, Item, Loaded, LoadedMany, Revalidated};
pub use millpond::Millpond;
pub use millpond_core::Entropy;
pub use millpond_core::cache::{BadField, Policy, Source, Times};
pub use millpond_core::clock;
pub use millpond_core::limit::{BadQuota, Quota, Settlement};
pub use millpond_core::tenant as tenants;
pub use remote::RemoteConfig;
pub use tenant::TenantCache;
pub use value::{Held, Stale, StaleReason, Value, Version};
