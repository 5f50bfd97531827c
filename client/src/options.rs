//! How a handle reads.

use std::time::Duration;

/// What every read of a handle goes by. See
/// [`TenantCache`](crate::TenantCache) for the setters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How long to follow another's load.
    pub(crate) wait: Duration,
    pub(crate) fresh_only: bool,
    /// Instead of the policy's.
    pub(crate) lease: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(5),
            fresh_only: false,
            lease: None,
        }
    }
}

/// The setters of every handle, which are one and the same.
macro_rules! reading {
    () => {
        /// How long to wait for another's load, instead of the 5 s default. A
        /// caller's own load may take as long as it likes.
        #[must_use]
        pub fn wait(mut self, wait: std::time::Duration) -> Self {
            self.options.wait = wait;
            self
        }

        /// Take nothing stale: rather load, wait or fail.
        #[must_use]
        pub fn fresh_only(mut self) -> Self {
            self.options.fresh_only = true;
            self
        }

        /// How long a load of this handle keeps others from loading the same key,
        /// instead of the policy's `lease`; at most its `max_load`.
        #[must_use]
        pub fn lease(mut self, lease: std::time::Duration) -> Self {
            self.options.lease = Some(lease);
            self
        }
    };
}

pub(crate) use reading;
