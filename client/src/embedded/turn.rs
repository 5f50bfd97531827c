//! A turn to load, held in this process: the core's lease.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{self, Filled, Lease, LoadError, Settlement, Times};

use super::Embedded;
use crate::loaded;
use crate::options::Options;
use crate::reply::{self, Fill, Settled};

/// Dropping it gives the lease up, and a waiter is promoted before the drop
/// returns.
#[derive(Debug)]
pub(crate) struct Turn {
    home: Arc<Embedded>,
    lease: Lease,
    /// What was asked for, for when it is renewed.
    asked: Option<Duration>,
}

impl Turn {
    pub(super) fn new(home: &Arc<Embedded>, lease: Lease, options: &Options) -> Self {
        Self {
            home: Arc::clone(home),
            lease,
            asked: options.lease,
        }
    }

    /// How long it excludes others from now on, if it was not renewed.
    pub(crate) fn lasts(&self) -> Duration {
        self.lease.expires_in()
    }

    /// Asks for more time; how long it lasts from now on, `None` when it is void.
    pub(crate) fn renew(&self) -> Option<Duration> {
        let until = self.lease.renew(self.asked)?;
        Some(until.since(self.home.pond().clock().precise()))
    }

    pub(crate) fn etag(&self) -> &Bytes {
        self.lease.etag()
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        let Self { home, lease, asked } = self;
        match home.levels.settle(lease, fill.into()).await {
            Settlement::Done(Filled::Stored(version)) => Settled::Done(Some(home.version(version))),
            // Too large to keep: those who waited got it.
            Settlement::Done(_) => Settled::Done(None),
            Settlement::NeedValue(lease) => {
                let held = Self { home, lease, asked };
                Settled::NeedValue(reply::Turn::Embedded(held))
            }
        }
    }
}

impl From<Fill> for cache::Fill {
    fn from(fill: Fill) -> Self {
        match fill {
            Fill::Loaded(loaded) => match loaded.0 {
                loaded::Body::Item(item) => Self::Found {
                    body: cache::Body::Value(item.value),
                    times: item.times,
                    tags: item.tags,
                    etag: item.etag,
                },
                loaded::Body::Absent { fresh } => Self::Found {
                    body: cache::Body::Absent,
                    times: Times {
                        fresh,
                        ..Times::default()
                    },
                    tags: Vec::new(),
                    etag: Bytes::new(),
                },
            },
            Fill::NotModified { times } => Self::NotModified { times },
            Fill::Failed { message } => Self::Failed(LoadError::new(&message, None)),
        }
    }
}
