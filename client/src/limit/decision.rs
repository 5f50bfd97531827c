//! What a limit answers.

use std::fmt;
use std::time::Duration;

use millpond_core::limit::{self, Verdict};
use millpond_core::tenant::LimitName;

use crate::error::Error;

/// Why a call may go on, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitReason {
    /// It may.
    Ok,
    /// Not now: see [`Decision::retry_after`].
    OverLimit,
    /// Not ever: its cost is above what the bucket holds when full.
    Never,
    /// The tenant is not served.
    Suspended,
    /// It cannot be decided now: the tenant is in maintenance, there is no room to
    /// remember the call, or the sidecar is away and
    /// [`WithoutSidecar`](crate::WithoutSidecar) refuses.
    Unavailable,
}

impl fmt::Display for LimitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "within its limits",
            Self::OverLimit => "over the limit",
            Self::Never => "costs more than the limit ever holds",
            Self::Suspended => "the tenant is not served",
            Self::Unavailable => "it cannot be decided now",
        })
    }
}

/// The bucket that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    pub(crate) limit: Option<LimitName>,
    pub(crate) keyed: bool,
}

impl Decider {
    /// The limit's name; empty is the tenant's own.
    #[must_use]
    pub fn limit(&self) -> &str {
        self.limit.as_ref().map_or("", LimitName::as_str)
    }

    /// Whether it is a key's bucket of that limit.
    #[must_use]
    pub fn keyed(&self) -> bool {
        self.keyed
    }
}

/// The answer to a call. A denial is one, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether the caller may go on.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: LimitReason,
    /// Allowed, and a limit that is not enforced would have denied it.
    pub would_deny: bool,
    /// The bucket that denied or would have; when none did, the one with the fewest
    /// tokens left. `None` when nothing limits the call, or the sidecar was away:
    /// then the next five are zero.
    pub decided_by: Option<Decider>,
    /// Tokens that bucket holds when full.
    pub capacity: u64,
    /// Whole tokens that could be spent now.
    pub remaining: u64,
    /// How long until it is full.
    pub reset_after: Duration,
    /// Tokens that come back in each `period`.
    pub rate: u64,
    /// See `rate`.
    pub period: Duration,
    /// When the same call would be allowed if nobody else spends meanwhile; zero: now,
    /// or never.
    pub retry_after: Duration,
    /// How long the call waited for its turn.
    pub waited: Duration,
    /// The sidecar was away, and what was chosen for that decided.
    pub without_sidecar: bool,
}

impl Decision {
    pub(crate) fn of(reason: LimitReason) -> Self {
        Self {
            allowed: reason == LimitReason::Ok,
            reason,
            would_deny: false,
            decided_by: None,
            capacity: 0,
            remaining: 0,
            reset_after: Duration::ZERO,
            rate: 0,
            period: Duration::ZERO,
            retry_after: Duration::ZERO,
            waited: Duration::ZERO,
            without_sidecar: false,
        }
    }
}

/// When to ask again after what says nothing of time, as the sidecar has it.
pub(crate) const UNAVAILABLE_FOR: Duration = Duration::from_secs(1);

impl From<limit::Decision> for Decision {
    fn from(core: limit::Decision) -> Self {
        let reason = match core.verdict {
            Verdict::Allowed => LimitReason::Ok,
            Verdict::OverLimit => LimitReason::OverLimit,
            Verdict::Never => LimitReason::Never,
            Verdict::NotServed(state) if !state.passes() => LimitReason::Suspended,
            _ => LimitReason::Unavailable,
        };
        let retry_after = match reason {
            LimitReason::Unavailable => core.retry_after.max(UNAVAILABLE_FOR),
            _ => core.retry_after,
        };
        let mut decision = Self {
            would_deny: core.would_deny,
            decided_by: core.decided_by.map(|by| Decider {
                limit: by.limit,
                keyed: by.keyed,
            }),
            retry_after,
            waited: core.wait,
            ..Self::of(reason)
        };
        if let Some(standing) = core.standing {
            decision.capacity = standing.capacity;
            decision.remaining = standing.remaining;
            decision.reset_after = standing.reset_after;
            decision.rate = standing.rate;
            decision.period = standing.period;
        }
        decision
    }
}

impl<E> From<limit::CallError> for Error<E> {
    fn from(error: limit::CallError) -> Self {
        match error {
            limit::CallError::Field(bad) => Self::BadField(bad),
            // As the sidecar says it.
            other => Self::Rejected {
                message: other.to_string(),
            },
        }
    }
}
