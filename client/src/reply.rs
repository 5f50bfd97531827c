//! What a cache answers, wherever it is: the contract of a read as one type.
//!
//! Found: use it. A turn: load and settle it, in the background when something
//! was found too. Neither: load privately, or do not load at all.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::Times;

use crate::direct;
use crate::embedded;
use crate::error::Error;
use crate::loaded::Loaded;
use crate::remote;
use crate::value::{Value, Version};

/// What a read comes to.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A value or its absence, and perhaps the turn to refresh it.
    Held(Option<Value>, Option<Turn>),
    /// Nothing held: this caller loads.
    Turn(Turn),
    /// Nothing held, and nobody coordinates the load.
    Nothing,
    /// Nothing held, somebody else loads it, and this call did not wait.
    LedElsewhere,
    /// Nothing held, and nobody may load now.
    Refused(Error),
}

/// The right to load one key alone. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "dropping a turn gives it up"]
pub(crate) enum Turn {
    Embedded(embedded::Turn),
    /// Boxed: it names tenant, cache and key, and every reply has room for it.
    Remote(Box<remote::Turn>),
    /// While the sidecar is away.
    Direct(direct::Turn),
}

/// How a turn ends, but for giving it up.
#[derive(Clone, Debug)]
pub(crate) enum Fill {
    Loaded(Loaded),
    NotModified { times: Times },
    Failed { message: String },
}

/// What settling comes to.
#[derive(Debug)]
pub(crate) enum Settled {
    /// Stored under this version, or not stored.
    Done(Option<Version>),
    /// `NotModified`, but the value it confirms is gone. The turn is held on.
    NeedValue(Turn),
}

impl Turn {
    /// The validator of what this load may confirm.
    pub(crate) fn etag(&self) -> Option<Bytes> {
        let etag = match self {
            Self::Embedded(turn) => turn.etag(),
            Self::Remote(turn) => turn.etag(),
            Self::Direct(_) => return None,
        };
        (!etag.is_empty()).then(|| etag.clone())
    }

    /// Waits for leave to run a loader; held while it runs.
    pub(crate) async fn pass(&self) -> Result<Option<direct::Pass>, Error> {
        match self {
            Self::Embedded(_) | Self::Remote(_) => Ok(None),
            Self::Direct(turn) => turn.pass().await.map(Some),
        }
    }

    /// How long it excludes others from now on, if it was not renewed.
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Self::Embedded(turn) => turn.lasts(),
            Self::Remote(turn) => turn.lasts(),
            Self::Direct(turn) => turn.lasts(),
        }
    }

    /// Asks for more time; how long it lasts from now on, `None` when it does not.
    pub(crate) async fn renew(&self) -> Option<Duration> {
        match self {
            Self::Embedded(turn) => turn.renew(),
            Self::Remote(turn) => turn.renew().await,
            Self::Direct(turn) => turn.renew(),
        }
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        match self {
            Self::Embedded(turn) => turn.settle(fill).await,
            Self::Remote(turn) => turn.settle(fill).await,
            Self::Direct(turn) => turn.settle(fill).await,
        }
    }
}

/// Settles turns of one cache, each by itself; what each is stored as.
pub(crate) async fn settle_many(turns: Vec<(Turn, Fill)>) -> Vec<Option<Version>> {
    let mut distant = Vec::new();
    let mut versions = Vec::with_capacity(turns.len());
    for (turn, fill) in turns {
        match turn {
            Turn::Remote(turn) => distant.push((*turn, fill)),
            here => versions.push(match here.settle(fill).await {
                Settled::Done(version) => version,
                Settled::NeedValue(_) => None,
            }),
        }
    }
    // One cache is in one place: one of the two is empty.
    versions.extend(remote::settle_many(distant).await);
    versions
}
