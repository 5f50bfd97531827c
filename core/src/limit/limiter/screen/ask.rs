//! What a screening is asked, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use crate::limit::call::{CallError, Standing, Verdict};
use crate::limit::quota::Quota;
use crate::tenant::LimitName;

/// Asks in one screening.
pub const MAX_ASKS: usize = 64;

/// One limit that is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Which.
    pub of: Of<'a>,
    /// Which of its buckets, of any length. Empty is nobody's in particular.
    pub key: &'a [u8],
    /// Tokens. 0 asks whether one is there, and spends none.
    pub cost: u64,
    /// It is counted and never refuses. A limit of the profile says that for itself.
    pub shadow: bool,
    /// It is charged even when it is refused. Not of a limit of the profile.
    pub overdraw: bool,
}

/// A limit.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// One of the tenant's profile: at most
    /// [`MAX_CHARGES`](crate::limit::MAX_CHARGES) of each tenant. Empty is the tenant's
    /// own.
    Limit(&'a str),
    /// A rule's, which has a quota of its own.
    Rule {
        /// Where the rule stands; no other has the same.
        path: &'a Arc<str>,
        /// Its quota.
        quota: &'a Quota,
    },
    /// None that lets anybody through.
    Blocked,
    /// One that the caller brought along.
    Own {
        /// Of the domain that it came to.
        domain: &'a Arc<str>,
        /// The quota.
        quota: &'a Quota,
    },
}

/// What a bucket is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The tenant's own.
    Own,
    /// A limit of its profile.
    Limit(LimitName),
    /// The quota that was asked with.
    Quota,
}

/// What became of one ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether its limit allows it, or why that cannot be said, which refuses all.
    pub verdict: Result<Verdict, CallError>,
    /// It is allowed, and a limit that is only counted would have refused it.
    pub would_deny: bool,
    /// The bucket that refused or would have; when none did, the one with the fewest
    /// tokens left, as it stands now. `None` when nothing limits it.
    pub standing: Option<(Bound, Standing)>,
    /// When the same ask would be allowed if nobody else spends meanwhile; zero when it
    /// is, or never will be. Rounded up to the next step of the clock.
    pub retry_after: Duration,
}

/// What became of a screening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screened {
    /// Whether all are allowed, and spent.
    pub allowed: bool,
    /// In the order of the asks.
    pub answers: Vec<Answer>,
}

/// More than [`MAX_ASKS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyAsks(pub usize);

impl Answer {
    pub(super) fn stopped(verdict: Result<Verdict, CallError>) -> Self {
        Self {
            verdict,
            would_deny: false,
            standing: None,
            retry_after: Duration::ZERO,
        }
    }

    /// Whether it is allowed by itself.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict == Ok(Verdict::Allowed)
    }
}
