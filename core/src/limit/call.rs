//! What is asked of a limiter, and what it answers.

use std::fmt;
use std::time::Duration;

use super::gcra;
use super::quota::{Quota, Ticks};
use crate::cache::{BadField, TenantId};
use crate::clock::Time;
use crate::fence::Token;
use crate::tenant::{LimitName, State};

/// Tokens of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// The limit's name; empty is the tenant's own.
    pub limit: &'a str,
    /// Whose they are within the limit, such as a user or an address: 0 to
    /// [`Charge::MAX_KEY`] bytes. Empty is nobody's in particular. A limit without
    /// buckets by key does not look at it.
    pub key: &'a [u8],
    /// How many. 0 asks and spends nothing.
    pub cost: u64,
}

impl Charge<'_> {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = 1_024;
}

/// One call: its charges are spent all or none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// 1 to [`MAX_CHARGES`](super::MAX_CHARGES). Charges of one bucket add up. The
    /// tenant's own bucket is charged once a call: with its own charge, or with the
    /// largest cost of the others.
    pub charges: &'a [Charge<'a>],
    /// How long the caller is ready to wait for its turn. At most
    /// [`Call::MAX_PATIENCE`]; more is that much.
    pub patience: Duration,
    /// Makes it a reservation, held for so long from the caller's turn on, at most
    /// [`Call::MAX_HOLD`].
    pub hold: Option<Duration>,
    /// The call's name for itself: a retry that gives the same one, at most
    /// [`Call::MAX_REQUEST`] bytes, spends once. Empty is none.
    pub request: &'a [u8],
}

impl Call<'_> {
    /// The longest a caller may wait for its turn.
    pub const MAX_PATIENCE: Duration = Duration::from_secs(60);

    /// The longest a reservation may be held.
    pub const MAX_HOLD: Duration = Duration::from_secs(600);

    /// The longest name of a call, in bytes.
    pub const MAX_REQUEST: usize = 128;
}

/// What becomes of a charge of a limit that the tenant has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnknownLimits {
    /// The call is refused: [`CallError::UnknownLimit`].
    #[default]
    Refuse,
    /// It charges the tenant's own bucket, so that callers may name limits before
    /// anybody has set them.
    Own,
}

/// Whether tokens may be spent, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// They are spent.
    Allowed,
    /// Not now.
    OverLimit,
    /// Not ever: the cost is above what the bucket holds when full.
    Never,
    /// The tenant's state allows none.
    NotServed(State),
    /// There is no room to remember it: nothing was spent.
    Unavailable,
}

/// One of a tenant's buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// The limit; `None` is the tenant's own.
    pub limit: Option<LimitName>,
    /// Whether it is a key's bucket of that limit.
    pub keyed: bool,
}

/// Where a bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Tokens it holds when full.
    pub capacity: u64,
    /// Tokens that come back in each `period`.
    pub rate: u64,
    /// See `rate`.
    pub period: Duration,
    /// Whole tokens that could be spent now.
    pub remaining: u64,
    /// How long until it is full.
    pub reset_after: Duration,
}

impl Standing {
    pub(super) fn of(tat: Ticks, now: Ticks, quota: &Quota) -> Self {
        Self {
            capacity: quota.burst(),
            rate: quota.amount(),
            period: quota.period(),
            remaining: gcra::remaining(tat, now, quota),
            reset_after: gcra::until_full(tat, now).to_duration(),
        }
    }
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on.
    pub verdict: Verdict,
    /// It may go on, and a limit that is not enforced would have denied it.
    pub would_deny: bool,
    /// The bucket that denied or would have; when none did, the one with the fewest
    /// tokens left. `None` when nothing limits the call.
    pub decided_by: Option<Decider>,
    /// Where that bucket stands.
    pub standing: Option<Standing>,
    /// When the same call would be allowed if nobody else spends meanwhile; zero when
    /// it is, or never will be. Rounded up to the next step of the clock.
    pub retry_after: Duration,
    /// How long until the call's turn: it is spent already, and the caller goes on then.
    pub wait: Duration,
    /// To be committed or released.
    pub reservation: Option<Token>,
    /// When its hold ends, by the directory's clock: counted from the caller's turn.
    pub held_until: Option<Time>,
}

impl Decision {
    pub(super) fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            would_deny: false,
            decided_by: None,
            standing: None,
            retry_after: Duration::ZERO,
            wait: Duration::ZERO,
            reservation: None,
            held_until: None,
        }
    }

    /// Whether it may go on, at its turn.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }
}

/// Why a call was not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// A field is not of its form.
    Field(BadField),
    /// No charges, or more than [`MAX_CHARGES`](super::MAX_CHARGES).
    Charges {
        /// How many there were.
        count: usize,
    },
    /// The tenant has no limit of this name.
    UnknownLimit {
        /// As it was asked for.
        limit: String,
    },
    /// Nobody named this tenant, and strangers are refused.
    UnknownTenant {
        /// As it was asked for.
        tenant: TenantId,
    },
}

impl CallError {
    pub(super) fn unknown(limit: &str) -> Self {
        let limit = limit.chars().take(LimitName::MAX_LEN).collect();
        Self::UnknownLimit { limit }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::Charges { count } => write!(
                f,
                "charges: {count} of them, expected 1 to {}",
                super::MAX_CHARGES
            ),
            Self::UnknownLimit { limit } => {
                write!(f, "limit: the tenant has none named `{limit}`")
            }
            Self::UnknownTenant { tenant } => {
                write!(
                    f,
                    "tenant: `{tenant}` is not known, and strangers are refused"
                )
            }
        }
    }
}

impl std::error::Error for CallError {}
