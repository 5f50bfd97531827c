//! The cache: entries, leases, invalidation.
//!
//! [`Pond`] is the whole of it. A read ([`Pond::get`]) is a [`Lookup`]: an answer,
//! or a future to wait on. An [`Answer`] carries what was found, a [`Lease`] when
//! it is the caller's turn to load, or the reason for neither. Loads are settled
//! through their lease ([`Lease::settle`]) or its identity ([`Pond::fill`]).
//!
//! | file | what it owns |
//! |---|---|
//! | `pond` | the composition: everything one pod's cache is made of |
//! | `read`, `begin`, `budget` | what a read comes to; who may load, and what it costs the tenant |
//! | `settle`, `write`, `invalidate` | settling loads, `Set`, invalidations |
//! | `fill/*` | leases, flights, waiters |
//! | `index`, `residency` | L1: the store, and who decides what stays |
//! | `share/*`, `purge` | what each tenant may hold of it, and being rid of what one holds |
//! | `front`, `local` | what a thread just read, read again without the index |
//! | `entry`, `expiry`, `policy` | what is held, and for how long |
//! | `scope`, `barrier`, `tags` | tenants and caches, and invalidating them whole |
//! | `rules`, `reconfigure` | what holds for a cache over all tenants, and changing it |
//! | `store`, `lookup` | the seam to L2, and the lookup over both levels |
//! | `explain`, `recorder` | what is held of a key and why, and what happened to it |
//! | `sweep` | what time leaves behind |

mod answer;
mod barrier;
mod begin;
mod budget;
mod entry;
pub mod expiry;
mod explain;
mod fill;
mod front;
mod index;
mod invalidate;
mod key;
pub(crate) mod local;
pub mod lookup;
pub(crate) mod name;
mod policy;
mod pond;
mod purge;
mod read;
mod reconfigure;
mod recorder;
mod residency;
mod rules;
mod scope;
mod settle;
mod share;
mod stats;
pub mod store;
mod sweep;
mod tags;
mod write;

pub use answer::{
    Answer, Hit, LoadBy, LoadError, Lookup, MAX_LOAD_ERROR_LEN, Reason, Source, Want,
};
pub use barrier::Invalidation;
pub use entry::{Body, Entry};
pub use explain::{Covering, Explanation, Floor, Held, Loading};
pub use fill::lease::{Fill, Filled, Grant, Lease, Settlement};
pub use fill::waiter::Waiter;
pub use index::ENTRY_OVERHEAD;
pub use invalidate::Target;
pub use key::{MAX_KEY_LEN, check_key, triple};
pub use name::{BadField, CacheName, TenantId};
pub use policy::{Mode, Policy, PolicyError, Times};
pub use pond::{Config, Gauges, Pond};
pub use purge::Purged;
pub use reconfigure::{CacheInForce, MAX_CACHES_LISTED, Switched};
pub use recorder::{Event, What, Why};
pub use scope::{Scope, ScopeError, TooManyCaches};
pub use share::allowance::{Allowance, ShareError, ShareFault};
pub use share::moving::ShareAudit;
pub use share::{LENT_OVERHEAD, SHARE_OVERHEAD};
pub use stats::{CacheCounts, MAX_CACHES_COUNTED, OTHER_CACHES, Totals};
pub use sweep::Sweeper;
pub use tags::{MAX_TAG_LEN, MAX_TAGS, check_tags};
pub use write::{MAX_ETAG_LEN, Write, WriteError, Written, check_etag};

#[cfg(millpond_loom)]
pub mod model;
