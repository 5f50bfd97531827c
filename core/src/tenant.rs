//! Tenants: who they are, what they may, and what they have spent.
//!
//! | file | what it owns |
//! |---|---|
//! | `tier` | tiers, which extend each other, and the three that ship |
//! | `profile` | what a tenant may, resolved; shared by all tenants for whom it is the same |
//! | `lifecycle` | the states of a tenant, what is allowed in each, and which may follow which |
//! | `entry` | one tenant as the request path sees it, and how its successor takes over |
//! | `directory` | name → entry, and every change to it |
//!
//! Start at [`Directory`].

mod directory;
mod entry;
mod lifecycle;
mod name;
mod number;
mod pace;
mod profile;
mod tier;

pub use crate::cache::TenantId;
pub use directory::{
    Config, Declaration, Directory, Follower, Put, Refused, Revised, Revision, Strangers,
    Unresolved,
};
pub(crate) use entry::Named;
pub use entry::{Entry, Source};
pub use lifecycle::{Access, State, Transition};
pub use name::{BreakerName, LimitName, TierName};
pub use pace::{BadPace, Pace, Rate};
pub use profile::{BadProfile, LimitScope, NamedQuota, Paced, Profile};
pub use tier::{BadTier, Class, OnLimit, Overrides, Tier, Tiers, WithoutStore};

#[cfg(millpond_loom)]
pub mod model;
