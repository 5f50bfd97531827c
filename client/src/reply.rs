//! What a cache answers, wherever it is: the contract of a read as one type.
//!
//! Found: use it. A turn: load and settle it, in the background when something
//! was found too. Neither: load privately, or do not load at all.

use millpond_core::cache::Times;

use bytes::Bytes;

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
        };
        (!etag.is_empty()).then(|| etag.clone())
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        match self {
            Self::Embedded(turn) => turn.settle(fill).await,
            Self::Remote(turn) => turn.settle(fill).await,
        }
    }
}
