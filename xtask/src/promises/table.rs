//! Which planted bug breaks which rule, and which test notices.
//!
//! A rule may have several rows. A row reads:
//!
//! ```text
//! Promise {
//!     rule: "C3",
//!     promise: "At most one unexpired lease per key in the pod.",
//!     kind: Kind::Unit,
//!     package: "millpond-core",
//!     test_target: None,
//!     test: "cache::fill::tests::one_key_has_one_leader",
//!     bug: "two-leaders",
//! },
//! ```

use super::Promise;

pub(crate) const PROMISES: &[Promise] = &[];
