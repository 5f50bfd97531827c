//! A turn to load, held in this process: the core's lease.

use std::sync::Arc;

use bytes::Bytes;
use millpond_core::cache::{self, Filled, Lease, LoadError, Settlement, Times};

use super::Embedded;
use crate::loaded;
use crate::reply::{self, Fill, Settled};

/// Dropping it gives the lease up, and a waiter is promoted before the drop
/// returns.
#[derive(Debug)]
pub(crate) struct Turn {
    home: Arc<Embedded>,
    lease: Lease,
}

impl Turn {
    pub(super) fn new(home: &Arc<Embedded>, lease: Lease) -> Self {
        Self {
            home: Arc::clone(home),
            lease,
        }
    }

    pub(crate) fn etag(&self) -> &Bytes {
        self.lease.etag()
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        let Self { home, lease } = self;
        match home.levels.settle(lease, fill.into()).await {
            Settlement::Done(Filled::Stored(version)) => Settled::Done(Some(home.version(version))),
            // Too large to keep: those who waited got it.
            Settlement::Done(_) => Settled::Done(None),
            Settlement::NeedValue(lease) => {
                Settled::NeedValue(reply::Turn::Embedded(Self { home, lease }))
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
