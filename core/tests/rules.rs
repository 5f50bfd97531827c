//! The correctness rules of the cache, one test each, on hand-moved time.
//!
//! Each test is named by the rule it keeps; `docs/promises.md` says which planted
//! bug makes it fail.

mod support;

#[path = "rules/bounds.rs"]
mod bounds;
#[path = "rules/counts.rs"]
mod counts;
#[path = "rules/explain.rs"]
mod explain;
#[path = "rules/handed.rs"]
mod handed;
#[path = "rules/invalidation.rs"]
mod invalidation;
#[path = "rules/leases.rs"]
mod leases;
#[path = "rules/modes.rs"]
mod modes;
#[path = "rules/reconfigure.rs"]
mod reconfigure;
#[path = "rules/settle.rs"]
mod settle;
#[path = "rules/staleness.rs"]
mod staleness;
