//! Who may spend, and when: the decisions of one sidecar or one process.
//!
//! A call is resolved to the tenant's entry and to levels, and charged. When a bucket
//! turns out to have a successor, because the tenant's tier changed that moment, what
//! was charged is undone and the call is decided again on what is in force now.
//!
//! The common call, one of the tenant's own bucket, takes a short way (`short`).
//!
//! Nobody waits in here. A patient call is charged and its [`Turn`] says when it may
//! go on; dropping the turn before that gives the tokens back.
//!
//! `retry_after` is exact to the clock's step, which is added: a caller that comes
//! back then is not told to wait again for a clock that lags.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::call::{Call, CallError, Charge, Decider, Decision, UnknownLimits, Verdict};
use super::keys::Tag;
use super::ledger::{Allowed, Ledgers, Spent};
use super::levels::{LevelId, Levels, Outcome, Payments};
use super::meter::Meters;
use super::plan::Plan;
use super::quota::Ticks;
use super::replay::RequestId;
use super::room::Room;
use crate::cache::{BadField, TenantId};
use crate::fence::{Boot, Tokens};
use crate::planted::{Bug, planted};
use crate::sync::AtomicBool;
use crate::tenant::{Directory, Entry, Profile, Source, State, Unresolved};

mod buckets;
mod count;
mod explain;
pub mod screen;
mod settle;
mod short;
mod tables;
mod turn;

use buckets::Buckets;
pub use explain::{Figures, Level};
pub use settle::{SettleError, Settlement};
use tables::Tables;
pub use turn::Turn;

/// What a limiter is made with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Keys of all tenants and limits that are told apart at once, beyond the first 64
    /// of each limit: at most 100 bytes each. Default 1 048 576.
    pub max_keys: usize,
    /// Tenants whose retries or reservations are remembered at once, before those that
    /// nobody named must do without: those that were named never do. Default 65 536.
    pub max_ledgers: usize,
    /// Tenants whose calls are told apart from all others'. At most 28 KiB for each of
    /// their limits. Default 20.
    pub metered: usize,
    /// What becomes of a charge of a limit that the tenant has not. Default
    /// [`UnknownLimits::Refuse`].
    pub unknown: UnknownLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_keys: 1 << 20,
            max_ledgers: 65_536,
            metered: 20,
            unknown: UnknownLimits::Refuse,
        }
    }
}

/// The limits of every tenant.
pub struct Limiter {
    pub(super) directory: Arc<Directory>,
    room: Arc<Room>,
    pub(super) ledgers: Ledgers,
    tables: Tables,
    pub(super) meters: Meters,
    seeds: [ahash::RandomState; 2],
    unknown: UnknownLimits,
    tokens: Tokens,
    boot: Boot,
}

/// A call's answer, and its turn when that is still to come.
#[derive(Debug)]
#[must_use = "dropping a turn that has not come gives its tokens back"]
pub struct Acquired {
    /// The answer.
    pub decision: Decision,
    /// To be kept until it comes.
    pub turn: Option<Turn>,
}

/// Changes of one tenant that a single call follows.
const CHANGES: usize = 16;

impl Limiter {
    /// Limits for the tenants of a directory, by its clock.
    #[must_use]
    pub fn new(directory: Arc<Directory>, config: Config) -> Arc<Self> {
        Arc::new(Self {
            directory,
            room: Arc::new(Room::new(config.max_keys)),
            ledgers: Ledgers::new(config.max_ledgers),
            tables: Tables::new(),
            meters: Meters::none(config.metered),
            seeds: [ahash::RandomState::new(), ahash::RandomState::new()],
            unknown: config.unknown,
            tokens: Tokens::new(),
            boot: Boot::random(),
        })
    }

    /// The tenants.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The run of this process, which its reservations name.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// Spends, or says when to come back. A call that is ready to wait and must is
    /// charged, and has its turn; one that names itself is charged once.
    ///
    /// # Errors
    /// When a field is not of its form, the tenant or a limit is not known.
    pub fn acquire(self: &Arc<Self>, tenant: &str, call: &Call<'_>) -> Result<Acquired, CallError> {
        let now = self.now();
        let patience = Ticks::of(call.patience.min(Call::MAX_PATIENCE));
        let (mut entry, charges) = (self.directory.resolve(tenant)?, call.charges);
        if call.request.is_empty() && call.hold.is_none() {
            let (decision, spent) = self.decide(&mut entry, charges, now, patience, false)?;
            let turn = if decision.wait.is_zero() {
                None
            } else {
                spent.map(|spent| Turn::of(self, &decision, Arc::new(spent), None, None, now))
            };
            return Ok(Acquired { decision, turn });
        }
        if call.request.len() > Call::MAX_REQUEST {
            return Err(CallError::Field(BadField::TooLong {
                field: "request_id",
                limit: Call::MAX_REQUEST,
                size: call.request.len(),
                unit: "bytes",
            }));
        }
        let tenant = TenantId::parse(tenant).map_err(CallError::Field)?;
        if !entry.access().limit {
            let (decision, turn) = (Decision::of(Verdict::NotServed(entry.state())), None);
            return Ok(Acquired { decision, turn });
        }
        let id = (!call.request.is_empty()).then(|| self.request_id(call.request));
        let is_named = matches!(entry.source(), Source::Configured | Source::Operator);
        let decided = self
            .ledgers
            .open(&tenant, is_named, |ledger| -> Result<_, CallError> {
                if let Some(id) = id
                    && !planted(Bug::ReplayForgotten)
                    && let Some((allowed, wait)) = ledger.replays.again(id, now)
                {
                    let mut decision = allowed.decision;
                    decision.wait = wait.to_duration();
                    return Ok((decision, Some(allowed.spent)));
                }
                if call.hold.is_some() && !ledger.reservations.has_room() {
                    return Ok((Decision::of(Verdict::Unavailable), None));
                }
                let (mut decision, spent) =
                    self.decide(&mut entry, charges, now, patience, true)?;
                let Some(spent) = spent.map(Arc::new) else {
                    return Ok((decision, None));
                };
                if let Some(hold) = call.hold {
                    let token = self.tokens.issue();
                    // Whoever waits holds from its turn on: before, it can use nothing.
                    let turn = now.plus(Ticks::of(decision.wait));
                    let ends = turn.plus(Ticks::of(hold.min(Call::MAX_HOLD)));
                    let held = ledger.reservations.hold(token, Arc::clone(&spent), ends);
                    debug_assert!(held.is_ok(), "there was room, under the same lock");
                    decision.reservation = Some(token);
                    let until = self.directory.origin().after(ends.to_duration());
                    decision.held_until = Some(until);
                }
                if let Some(id) = id {
                    let allowed = Allowed {
                        decision: decision.clone(),
                        spent: Arc::clone(&spent),
                    };
                    let wait = Ticks::of(decision.wait);
                    ledger.replays.remember(id, allowed, now, wait);
                }
                Ok((decision, Some(spent)))
            });
        let (decision, spent) = match decided {
            Ok(decided) => decided?,
            Err(full) => (full.into(), None),
        };
        let turn = match spent {
            Some(spent) if !decision.wait.is_zero() => {
                let named = id.map(|id| (tenant.clone(), id));
                let held = decision.reservation.map(|token| (tenant, token));
                Some(Turn::of(self, &decision, spent, named, held, now))
            }
            _ => None,
        };
        Ok(Acquired { decision, turn })
    }

    /// An answer to a caller that has waited, as its tenant's state leaves it now.
    #[must_use]
    pub fn obeyed(&self, tenant: &str, decision: Decision) -> Decision {
        let state = self.directory.with(tenant, |entry| entry.state());
        match state {
            Ok(state) if state.access().limit => decision,
            Ok(state) => Decision::of(Verdict::NotServed(state)),
            // Strangers are refused since.
            Err(_) => Decision::of(Verdict::NotServed(State::Suspended)),
        }
    }

    /// What [`Self::acquire`] would answer. Spends nothing and makes no bucket.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub fn peek(&self, tenant: &str, charges: &[Charge<'_>]) -> Result<Decision, CallError> {
        let now = self.now();
        let mut entry = self.directory.resolve(tenant)?;
        for _ in 0..CHANGES {
            let plan = self.plan(&entry, charges)?;
            if !entry.access().limit {
                return Ok(Decision::of(Verdict::NotServed(entry.state())));
            }
            let buckets = Buckets::of(&entry, &plan, &self.room);
            let outcome = match &buckets {
                Some(buckets) => {
                    let levels = buckets.levels(&entry, &plan, || self.wall());
                    match levels.peek(now, Ticks::ZERO) {
                        Outcome::Sealed => None,
                        outcome => Some(self.answer(entry.profile(), &levels, &outcome, now)),
                    }
                }
                None => None,
            };
            if let Some(decision) = outcome {
                return Ok(decision);
            }
            entry = self.directory.current(&entry)?;
        }
        Ok(Decision::of(Verdict::Unavailable))
    }

    /// Charges a call that does not wait.
    pub(super) fn decide_now(
        &self,
        entry: &mut Arc<Entry>,
        charges: &[Charge<'_>],
    ) -> Result<(Decision, Option<Spent>), CallError> {
        self.decide(entry, charges, self.now(), Ticks::ZERO, true)
    }

    fn plan(&self, entry: &Entry, charges: &[Charge<'_>]) -> Result<Plan, CallError> {
        Plan::of(entry.profile(), charges, self.unknown, |key| self.tag(key))
    }

    /// Charges a call on what `entry` is now. Tells what was spent if it waits, or is kept.
    fn decide(
        &self,
        entry: &mut Arc<Entry>,
        charges: &[Charge<'_>],
        now: Ticks,
        patience: Ticks,
        keeps: bool,
    ) -> Result<(Decision, Option<Spent>), CallError> {
        for _ in 0..CHANGES {
            if !entry.access().limit {
                let verdict = Verdict::NotServed(entry.state());
                return Ok((Decision::of(verdict), None));
            }
            let plan = self.plan(entry, charges)?;
            let mut paid = Payments::new();
            let decided = Buckets::of(entry, &plan, &self.room).and_then(|buckets| {
                let levels = buckets.levels(entry, &plan, || self.wall());
                match levels.charge(now, patience, &mut paid) {
                    Outcome::Sealed => None,
                    outcome => Some((
                        self.answer(entry.profile(), &levels, &outcome, now),
                        outcome,
                    )),
                }
            });
            let decided = decided.map(|(decision, outcome)| {
                self.count_outcome(entry, &plan, &outcome, now);
                decision
            });
            let goes_back = match &decided {
                Some(decision) if decision.is_allowed() => keeps || !decision.wait.is_zero(),
                _ => paid.len() > 0,
            };
            let spent = goes_back.then(|| Spent {
                entry: Arc::clone(entry),
                plan,
                paid: paid.iter().copied().collect(),
                came: AtomicBool::new(false),
            });
            match (decided, spent) {
                (Some(decision), spent) if decision.is_allowed() => return Ok((decision, spent)),
                (decided, spent) => {
                    if let Some(spent) = spent {
                        self.undo(&spent, now);
                    }
                    if let Some(decision) = decided {
                        return Ok((decision, None));
                    }
                }
            }
            *entry = self.directory.current(entry)?;
        }
        Ok((Decision::of(Verdict::Unavailable), None))
    }

    fn answer(
        &self,
        profile: &Profile,
        levels: &Levels<'_>,
        outcome: &Outcome,
        now: Ticks,
    ) -> Decision {
        let (verdict, by, wait, retry_after) = match *outcome {
            Outcome::Admitted { wait, lenient } => (
                Verdict::Allowed,
                lenient,
                wait.to_duration(),
                Duration::ZERO,
            ),
            Outcome::Later { after, by } => (
                Verdict::OverLimit,
                Some(by),
                Duration::ZERO,
                self.retry_after(after),
            ),
            Outcome::Never { by } => (Verdict::Never, Some(by), Duration::ZERO, Duration::ZERO),
            Outcome::Sealed => return Decision::of(Verdict::Unavailable),
        };
        let standing = levels.standing(by, now);
        Decision {
            would_deny: verdict == Verdict::Allowed && by.is_some(),
            decided_by: standing.map(|(id, _)| Decider {
                limit: id.limit().map(|place| profile.limits[place].name.clone()),
                keyed: matches!(id, LevelId::Key(..)),
            }),
            standing: standing.map(|(_, standing)| standing),
            retry_after,
            wait,
            ..Decision::of(verdict)
        }
    }

    pub(super) fn now(&self) -> Ticks {
        self.directory.coarse_now()
    }

    /// A call that comes again so late finds the tokens there, by a clock that lags.
    pub(super) fn retry_after(&self, after: Ticks) -> Duration {
        after.to_duration() + self.directory.clock().lag()
    }

    fn tag(&self, key: &[u8]) -> Tag {
        Tag(self.seeds[0].hash_one(key))
    }

    fn request_id(&self, id: &[u8]) -> RequestId {
        let hash = |seed: &ahash::RandomState| u128::from(seed.hash_one(id));
        let [high, low] = self.seeds.each_ref().map(hash);
        RequestId(high << 64 | low)
    }

    /// What a date of enforcement is compared with.
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.directory.clock().wall_micros())
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("directory", &self.directory)
            .field("keys", &self.room.taken())
            .field("ledgers", &self.ledgers)
            .finish_non_exhaustive()
    }
}

impl From<Unresolved> for CallError {
    fn from(error: Unresolved) -> Self {
        match error {
            Unresolved::Name(error) => Self::Field(error),
            Unresolved::Unknown(tenant) => Self::UnknownTenant { tenant },
        }
    }
}
