//! Rate limits: token buckets that are spent by charges, held by reservations and
//! handed out in grants.
//!
//! - [`Quota`]: a rate and a burst, checked.
//! - `gcra`: the arithmetic, pure.
//! - `word`: one bucket, one atomic word over that arithmetic.
//! - `keys`: the buckets of a limit's keys, bounded, with a tail.
//! - `room`: how many keys may be told apart, over all tables.
//! - `turns`: who waits for a bucket, and what a refund must leave them.
//! - `levels`: what one call spends from several buckets, all or none.
//! - `plan`: which buckets the charges of a call come to.
//! - `call`, `limiter`: what is asked, and who decides it. Start at [`Limiter`].
//! - `ledger`: what is remembered of a tenant's calls beside its buckets.
//! - `replay`: calls that named themselves, so that a retry spends once.
//! - `reservation`: tokens held until the real cost is known.
//! - `grant`: tokens handed to processes that decide by themselves, as whoever grants
//!   accounts for them.
//! - `grantor`: the port to whoever shares out a whole fleet's buckets.
//! - `handle`: one tenant in hand.
//! - `meter`: how much is asked of each limit, counted beside the deciding.
//! - `shadow`: what a limit would have to be, found by observing it.
//! - `sweeper`: what is done from time to time.
//! - `rules`: which limit a descriptor comes to, as Envoy's rate limit services know them.
//! - `granted`: tokens in the hands of a process that decides by itself.
//!
//! Everything counts in [`Ticks`] from an origin that whoever holds the buckets
//! chose; a quota changes by sealing a word and letting a successor adopt it, so
//! that no change gives back what was spent.

mod call;
mod gcra;
mod grant;
mod granted;
pub mod grantor;
mod handle;
pub(crate) mod keys;
mod ledger;
mod levels;
mod limiter;
pub(crate) mod meter;
mod plan;
mod quota;
mod replay;
mod reservation;
pub(crate) mod room;
pub mod rules;
mod shadow;
mod sweeper;
pub(crate) mod turns;
pub(crate) mod word;

pub use call::{Call, CallError, Charge, Decider, Decision, Standing, UnknownLimits, Verdict};
pub use gcra::Receipt;
pub use grant::{Ask, Given, GrantError, Grants, LEAST_TIME};
pub use granted::{Granted, Report};
pub use handle::{Denial, Handle};
pub use levels::MAX_CHARGES;
pub use limiter::{
    Acquired, Config, Figures, Level, Limiter, SettleError, Settlement, Turn, screen,
};
pub use meter::{Counts, Metered, MeteredOf, Recent};
pub use quota::{BadQuota, Quota, Ticks};
pub use shadow::{Advice, Recommended};
pub use sweeper::Sweeper;
