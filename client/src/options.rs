//! How a handle reads.

use std::time::Duration;

use crate::direct::OnUnavailable;
use crate::value::Version;

/// What every read of a handle goes by. See
/// [`TenantCache`](crate::TenantCache) for the setters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How long to follow another's load, if the caller said so.
    pub(crate) wait: Option<Duration>,
    /// What a call may take in all, instead of the connection's timeout.
    pub(crate) within: Option<Duration>,
    pub(crate) fresh_only: bool,
    /// Instead of the policy's.
    pub(crate) lease: Option<Duration>,
    /// Whether a lease is renewed while its loader runs.
    pub(crate) renew: bool,
    /// Nothing older than this.
    pub(crate) at_least: Option<Version>,
    /// Instead of the connection's choice.
    pub(crate) away: Option<OnUnavailable>,
    /// Read nothing: the process's kill switch.
    pub(crate) bypass: bool,
    /// Whether a fresh value in this process answers without a further thought.
    pub(crate) quick: bool,
}

/// Twice the lease of a policy that says nothing else. A caller that dies keeps the
/// others from loading for one lease; the one that comes to load then has the second,
/// and whoever waits behind it sees what it loads.
const WAIT: Duration = Duration::from_secs(20);

impl Options {
    /// How long to wait for another's load.
    pub(crate) fn patience(&self) -> Duration {
        let two_leases = || self.lease.map_or(WAIT, |lease| lease.saturating_mul(2));
        let wait = self.wait.unwrap_or_else(|| WAIT.max(two_leases()));
        self.within.map_or(wait, |all| wait.min(all))
    }

    pub(crate) fn bypassed(self) -> Self {
        Self {
            bypass: true,
            quick: false,
            ..self
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: None,
            within: None,
            fresh_only: false,
            lease: None,
            renew: true,
            at_least: None,
            away: None,
            bypass: false,
            quick: true,
        }
    }
}

/// The setters of every handle, which are one and the same.
macro_rules! reading {
    () => {
        /// How long to wait for another's load. Default 20 s, or twice this handle's
        /// [`lease`](Self::lease) if that is longer: a caller that dies while it loads
        /// holds the others up for one lease, then one of them loads. Where a policy's
        /// `lease` is longer than its default of 10 s, say more than that here. A
        /// caller's own load may take as long as it likes.
        #[must_use]
        pub fn wait(mut self, wait: std::time::Duration) -> Self {
            self.options.wait = Some(wait);
            self
        }

        /// How long each call to the cache may take in all, waiting for another's
        /// load included, instead of the connection's
        /// [`timeout`](crate::RemoteConfig::timeout) beyond `wait`. The sidecar is
        /// told. In this process it bounds the waiting, which is all there is.
        /// Loaders are bounded by themselves.
        #[must_use]
        pub fn within(mut self, all: std::time::Duration) -> Self {
            self.options.within = Some(all);
            self
        }

        /// Take nothing stale: rather load, wait or fail.
        #[must_use]
        pub fn fresh_only(mut self) -> Self {
            self.options.fresh_only = true;
            self
        }

        /// Take nothing older than a version that a write returned: reads see that
        /// write, for the keys it touched, wherever they go. Where the version
        /// cannot be confirmed (another process issued it, or the sidecar was
        /// restarted since) a read with a loader loads for itself, and one without
        /// fails with [`Error::Unconfirmed`](crate::Error::Unconfirmed).
        #[must_use]
        pub fn at_least(mut self, version: crate::Version) -> Self {
            self.options.at_least = Some(version);
            self.options.quick = false;
            self
        }

        /// How long a load of this handle keeps others from loading the same key,
        /// instead of the policy's `lease`; at most its `max_load`.
        #[must_use]
        pub fn lease(mut self, lease: std::time::Duration) -> Self {
            self.options.lease = Some(lease);
            self
        }

        /// Whether the lease is renewed while the loader runs, each time half of it
        /// has passed, until the policy's `max_load` ends it. Default yes: a loader
        /// that is slow today is not joined by a second one. Without it another
        /// caller loads too once the lease has run out, as when loaders may hang.
        #[must_use]
        pub fn renew(mut self, renew: bool) -> Self {
            self.options.renew = renew;
            self
        }

        /// What reads of this handle do while the sidecar is away, instead of the
        /// [connection's choice](crate::RemoteConfig::on_unavailable). Nothing to a
        /// cache in this process.
        #[must_use]
        pub fn on_unavailable(mut self, away: crate::OnUnavailable) -> Self {
            self.options.away = Some(away);
            self
        }
    };
}

pub(crate) use reading;

#[cfg(test)]
mod tests {
    use millpond_core::cache::Policy;

    use super::*;

    #[test]
    fn who_says_nothing_outlasts_two_leases() {
        for policy in [Policy::declared(), Policy::undeclared()] {
            assert_eq!(Options::default().patience(), policy.lease * 2);
        }
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        let leasing = |lease| Options {
            lease: Some(lease),
            ..Options::default()
        };
        assert_eq!(leasing(short).patience(), WAIT);
        assert_eq!(leasing(long).patience(), long * 2);
        assert_eq!(leasing(Duration::MAX).patience(), Duration::MAX);
        let within = |all| Options {
            within: Some(all),
            ..leasing(long)
        };
        assert_eq!(within(short).patience(), short);
        let said = Options {
            wait: Some(Duration::ZERO),
            ..leasing(long)
        };
        assert_eq!(said.patience(), Duration::ZERO);
    }
}
