//! The right to load one key alone.
//!
//! A [`Lease`] settles exactly once: by [`Lease::settle`], or by being dropped,
//! which gives it up and promotes a waiter (cancellation and panic take that way
//! too). [`Lease::detach`] turns it into a [`Grant`] that goes over a unary call
//! and is settled by [`Pond::fill`], or by its deadline.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cache::answer::LoadError;
use crate::cache::entry::Body;
use crate::cache::key::Key;
use crate::cache::policy::Times;
use crate::cache::pond::Pond;
use crate::cache::scope::Scope;
use crate::clock::Time;
use crate::fence::{Boot, GiveBack, Held, Token};
use crate::version::Version;

/// A lease's identity, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The process that granted it.
    pub boot: Boot,
    /// Which of its grants.
    pub token: Token,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub enum Fill {
    /// The key's value, or that there is none.
    Found {
        /// The value or its absence.
        body: Body,
        /// Instead of the policy's times.
        times: Times,
        /// At most [`MAX_TAGS`](crate::cache::MAX_TAGS).
        tags: Vec<Bytes>,
        /// The origin's validator; empty for none.
        etag: Bytes,
    },
    /// The origin says that what was held under the lease's etag is still right.
    NotModified {
        /// Instead of the policy's times.
        times: Times,
    },
    /// The load failed. Its waiters get the error; what is stale stays.
    Failed(LoadError),
    /// Nobody loads any more. A waiter is promoted.
    GivenUp,
}

impl Fill {
    /// A value with the policy's times, no tags and no etag.
    #[must_use]
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self::found(Body::Value(value.into()))
    }

    /// There is no such thing.
    #[must_use]
    pub fn absent() -> Self {
        Self::found(Body::Absent)
    }

    fn found(body: Body) -> Self {
        Self::Found {
            body,
            times: Times::default(),
            tags: Vec::new(),
            etag: Bytes::new(),
        }
    }
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Stored, under this version.
    Stored(Version),
    /// The failure or the giving up was taken note of.
    Noted,
    /// Nothing was written: something moved since the load began, or the lease is
    /// unknown here. The caller may use what it loaded; nobody else sees it.
    Superseded,
    /// `NotModified`, but the value it confirms is no longer held. The lease
    /// stays: load the value and fill again.
    NeedValue,
    /// The value is larger than the policy's `max_value`: its waiters got it, and
    /// it was not stored.
    TooLarge {
        /// The most a value may be, in bytes.
        limit: usize,
        /// What it was.
        size: usize,
    },
}

/// What [`Lease::settle`] came to: [`Filled`], where `NeedValue` returns the
/// lease.
#[derive(Debug)]
pub enum Settlement {
    /// The lease is settled.
    Done(Filled),
    /// The lease is held on: see [`Filled::NeedValue`].
    NeedValue(Lease),
}

#[derive(Debug)]
pub(crate) struct FillRight {
    pub(crate) pond: Arc<Pond>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) key: Key,
    pub(crate) token: Token,
    pub(crate) deadline: Time,
    /// Whether it shuts others out: an observer's does not.
    pub(crate) exclusive: bool,
    pub(crate) etag: Bytes,
}

impl GiveBack for FillRight {
    fn give_back(&mut self) {
        self.pond.fill_key(&self.key, self.token, Fill::GivenUp);
    }
}

/// The right to load one key alone, until its deadline.
#[must_use = "dropping a lease gives it up"]
pub struct Lease(Held<FillRight>);

impl Lease {
    pub(crate) fn new(right: FillRight) -> Self {
        Self(Held::new(right))
    }

    pub(crate) fn right(&self) -> &FillRight {
        self.0.right()
    }

    /// Its identity.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant {
            boot: self.right().pond.boot(),
            token: self.right().token,
        }
    }

    /// How long it still excludes others.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.right()
            .deadline
            .since(self.right().pond.clock().precise())
    }

    /// The validator of the held value that this load may confirm with
    /// [`Fill::NotModified`]; empty for none.
    #[must_use]
    pub fn etag(&self) -> &Bytes {
        &self.right().etag
    }

    /// Asks for more time alone, as [`Pond::renew`] does; when it now ends, or `None`
    /// when it is void.
    #[must_use]
    pub fn renew(&self, asked: Option<Duration>) -> Option<Time> {
        let right = self.right();
        let key = right.key.user_bytes();
        right.pond.renew(&right.scope, key, self.grant(), asked)
    }

    /// Settles it.
    pub fn settle(self, fill: Fill) -> Settlement {
        let right = self.right();
        match right.pond.fill_key(&right.key, right.token, fill) {
            Filled::NeedValue => Settlement::NeedValue(self),
            filled => {
                self.0.release();
                Settlement::Done(filled)
            }
        }
    }

    /// Lets it go without giving it up: [`Pond::fill`] settles it, or its
    /// deadline does.
    #[must_use = "only the grant can settle it now"]
    pub fn detach(self) -> Grant {
        let grant = self.grant();
        self.0.release();
        grant
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("token", &self.right().token)
            .finish_non_exhaustive()
    }
}
