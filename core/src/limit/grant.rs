//! Tokens handed to processes that decide by themselves: whoever grants keeps a ledger.
//!
//! ```text
//!   process: want 100 ──► levels peeked, sized ──► charged ──► lot of 40 ──► reply: 40
//!   process: returned 7 (cumulative) ──► the latest lots ──► refunded, once
//!   process dies ──► the ledger is dropped: what was granted stays spent
//! ```
//!
//! What is granted is *debited first*, on every level of a charge {limit, key}, all or
//! none; so what a process does with it afterwards, however late and however often,
//! was admitted here. Nothing comes back by itself: what is not reported as returned
//! is spent. That gives the bound of the module's test: in any window, admitted
//! ≤ burst + rate · window + tokens on grant at its start.
//!
//! A grant is sized by what is left, not by what is wanted: at most half of it, so that
//! one process cannot take all, but no less than comes back in [`LEAST_TIME`] while
//! there is so much, so that processes at a nearly empty bucket need not ask for each
//! token.
//!
//! Reports are cumulative. What is returned counts up to what was granted less what was
//! used, and once; a report that is lost, sent twice or overtaken changes nothing. A
//! refund goes by the rule of all refunds, and by the charge it belongs to: each grant
//! keeps the charges of its last [`Grant::MOST_LOTS`] replies. What is older stays
//! spent.
//!
//! A ledger is one stream's, and is not shared: no lock here. Cost: about 200 bytes a
//! grant beside its names, and 250 for each lot.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::call::{CallError, Charge, Decision, Standing, Verdict};
use super::ledger::Spent;
use super::levels::Paid;
use super::limiter::{Level, Limiter};
use crate::tenant::Entry;

/// A grant is no smaller than what comes back in this time, while there is so much.
pub const LEAST_TIME: Duration = Duration::from_millis(10);

/// Times a grant is sized anew because somebody else was quicker.
const TRIES: usize = 4;

/// What a process says of one of its grants, and wants.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The process's own number for it.
    pub id: u64,
    /// Whose tokens.
    pub tenant: &'a str,
    /// Of this limit; empty is the tenant's own.
    pub limit: &'a str,
    /// See [`Charge::key`].
    pub key: &'a [u8],
    /// Tokens wanted. 0 only reports.
    pub want: u32,
    /// Spent or expired since the grant began.
    pub used: u64,
    /// Handed back since the grant began.
    pub returned: u64,
}

/// What it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Added to the grant.
    pub tokens: u32,
    /// With no tokens: why. [`Verdict::Allowed`] when none were wanted.
    pub verdict: Verdict,
    /// A limit that is not enforced would have denied it.
    pub would_deny: bool,
    /// With no tokens: when to ask again, at least [`LEAST_TIME`].
    pub retry_after: Duration,
    /// The bucket with the fewest tokens left. `None` when nothing limits the grant.
    pub standing: Option<Standing>,
    /// Handed back by this report, as far as it was counted.
    pub returned: u64,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantError {
    /// There are [`Grants::MOST`] already.
    TooMany,
    /// The number is that of a grant of another bucket.
    OtherBucket {
        /// The number.
        id: u64,
    },
    /// A field is not of its form, or the tenant or the limit is not known.
    Call(CallError),
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(
                f,
                "grant_id: {} of them, limit {}",
                Grants::MOST + 1,
                Grants::MOST
            ),
            Self::OtherBucket { id } => {
                write!(f, "grant_id: {id} is that of a grant of another bucket")
            }
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GrantError {}

/// The grants of one stream.
#[derive(Debug)]
pub struct Grants {
    limiter: Arc<Limiter>,
    by_id: HashMap<u64, Grant, ahash::RandomState>,
}

/// One bucket's tokens in one process.
#[derive(Debug)]
struct Grant {
    tenant: Box<str>,
    limit: Box<str>,
    key: Box<[u8]>,
    granted: u64,
    /// As reported last, beyond what the first report said: that was before.
    used: Cumulative,
    returned: Cumulative,
    /// Returned and accounted for.
    settled: u64,
    /// The oldest first.
    lots: VecDeque<Lot>,
}

/// A count since some beginning that may be before ours.
#[derive(Clone, Copy, Debug)]
struct Cumulative {
    began_at: u64,
    latest: u64,
}

/// What one reply granted.
#[derive(Debug)]
struct Lot {
    entry: Arc<Entry>,
    paid: Box<[Paid]>,
    /// Not returned.
    left: u64,
}

impl Cumulative {
    fn from(first: u64) -> Self {
        Self {
            began_at: first,
            latest: first,
        }
    }

    fn report(&mut self, told: u64) -> u64 {
        self.latest = self.latest.max(told);
        self.latest - self.began_at
    }
}

impl Grant {
    /// Replies whose charges are kept, for what is returned of them.
    const MOST_LOTS: usize = 4;

    fn is_of(&self, ask: &Ask<'_>) -> bool {
        *self.tenant == *ask.tenant && *self.limit == *ask.limit && *self.key == *ask.key
    }

    /// Tokens that this report hands back and no report did before.
    fn handed_back(&mut self, used: u64, returned: u64) -> u64 {
        let used = self.used.report(used);
        let returned = self.returned.report(returned);
        let counted = returned.min(self.granted.saturating_sub(used));
        let new = counted.saturating_sub(self.settled);
        self.settled += new;
        new
    }

    fn keep(&mut self, tokens: u64, spent: Spent) {
        self.granted += tokens;
        if spent.paid.is_empty() {
            return;
        }
        if self.lots.len() == Self::MOST_LOTS {
            self.lots.pop_front();
        }
        self.lots.push_back(Lot {
            entry: spent.entry,
            paid: spent.paid,
            left: tokens,
        });
    }
}

impl Grants {
    /// Grants of one stream.
    pub const MOST: usize = 4_096;

    /// None.
    #[must_use]
    pub fn none(limiter: Arc<Limiter>) -> Self {
        Self {
            limiter,
            by_id: HashMap::default(),
        }
    }

    /// Whether there is a grant of this number.
    #[must_use]
    pub fn knows(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Takes a report into account, then grants as much of what is wanted as may be.
    ///
    /// # Errors
    /// When there are too many grants, or one does not fit what was asked.
    pub fn ask(&mut self, ask: &Ask<'_>) -> Result<Given, GrantError> {
        let limiter = Arc::clone(&self.limiter);
        match self.by_id.get(&ask.id) {
            Some(grant) if !grant.is_of(ask) => {
                return Err(GrantError::OtherBucket { id: ask.id });
            }
            None if self.by_id.len() >= Self::MOST => return Err(GrantError::TooMany),
            _ => {}
        }
        let returned = self.report(&limiter, ask);
        let taken = limiter.take(ask, ask.want).map_err(GrantError::Call)?;
        let grant = self.by_id.entry(ask.id).or_insert_with(|| Grant {
            tenant: ask.tenant.into(),
            limit: ask.limit.into(),
            key: ask.key.into(),
            granted: 0,
            used: Cumulative::from(ask.used),
            returned: Cumulative::from(ask.returned),
            settled: 0,
            lots: VecDeque::new(),
        });
        if let Some(spent) = taken.spent {
            grant.keep(u64::from(taken.tokens), spent);
        }
        let decision = taken.decision;
        let retry_after = match decision.verdict {
            Verdict::OverLimit => decision.retry_after.max(LEAST_TIME),
            _ => decision.retry_after,
        };
        Ok(Given {
            tokens: taken.tokens,
            verdict: decision.verdict,
            would_deny: decision.would_deny,
            retry_after,
            standing: decision.standing,
            returned,
        })
    }

    fn report(&mut self, limiter: &Limiter, ask: &Ask<'_>) -> u64 {
        let Some(grant) = self.by_id.get_mut(&ask.id) else {
            return 0;
        };
        let handed_back = grant.handed_back(ask.used, ask.returned);
        let mut left = handed_back;
        // The latest first: refill has given back least of them.
        for lot in grant.lots.iter_mut().rev() {
            let tokens = left.min(lot.left);
            if tokens > 0 {
                limiter.hand_back(&lot.entry, &mut lot.paid, tokens);
                lot.left -= tokens;
                left -= tokens;
            }
        }
        grant.lots.retain(|lot| lot.left > 0);
        handed_back
    }

    /// Grants that are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// What was taken for a grant.
struct Taken {
    tokens: u32,
    decision: Decision,
    spent: Option<Spent>,
}

impl Limiter {
    fn take(&self, ask: &Ask<'_>, want: u32) -> Result<Taken, CallError> {
        let charge = |cost| Charge {
            limit: ask.limit,
            key: ask.key,
            cost,
        };
        if want == 0 {
            let mut decision = self.peek(ask.tenant, &[charge(0)])?;
            if decision.verdict == Verdict::OverLimit {
                // In debt; but nothing was wanted.
                decision.verdict = Verdict::Allowed;
                decision.retry_after = Duration::ZERO;
            }
            return Ok(Taken {
                tokens: 0,
                decision,
                spent: None,
            });
        }
        let mut entry = self.directory().resolve(ask.tenant)?;
        let mut tries = TRIES;
        loop {
            let levels = self.levels(ask.tenant, charge(0))?;
            let size = size(&levels, want);
            // Of an empty bucket one is asked for, and denied with its reason.
            let asked = size.max(1);
            let charges = [charge(u64::from(asked))];
            let (decision, spent) = self.decide_now(&mut entry, &charges)?;
            tries -= 1;
            // Between the look and the charge somebody else may have been quicker.
            if decision.verdict == Verdict::OverLimit && asked > 1 && tries > 0 {
                continue;
            }
            let tokens = if decision.is_allowed() { asked } else { 0 };
            return Ok(Taken {
                tokens,
                decision,
                spent,
            });
        }
    }
}

/// How much of `want` is granted of what these levels have left.
fn size(levels: &[Level], want: u32) -> u32 {
    let firm = levels.iter().filter(|level| level.firm);
    let most = firm.map(|level| share(&level.standing)).min();
    let most = u32::try_from(most.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
    want.min(most)
}

fn share(standing: &Standing) -> u64 {
    let period = standing.period.as_nanos().max(1);
    let least = (u128::from(standing.rate) * LEAST_TIME.as_nanos()).div_ceil(period);
    let least = u64::try_from(least).unwrap_or(u64::MAX);
    (standing.remaining / 2).max(least).min(standing.remaining)
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
