//! Whether a call may be made.

use std::time::Duration;

use super::permit::{Permit, Refusal, Ticket};
use super::policy::millis;
use super::trial::Probe;
use super::word::{Millis, Snapshot, State};
use super::{Breaker, Desk};
use crate::clock::Time;
use crate::planted::{Bug, planted};

/// When to ask again while all probes are out: they may be back any moment.
const PROBES_OUT: Duration = Duration::from_millis(100);

/// What the word says to a call.
enum Asked {
    Admitted {
        would_refuse: bool,
    },
    /// If a permit can be had.
    Probe,
    /// It is the first of a trial.
    Trial,
}

impl Breaker {
    /// Asks for the right to one call.
    ///
    /// # Errors
    /// When it may not be made.
    #[inline(always)]
    pub fn admit(&self, now: Time) -> Result<Permit<&Self>, Refusal> {
        Permit::of(self, now)
    }

    /// The same for a caller that settles it over the wire.
    ///
    /// # Errors
    /// When it may not be made.
    #[inline(always)]
    pub fn issue(&self, now: Time) -> Result<Ticket, Refusal> {
        let word = self.read();
        if word.is_closed() {
            return Ok(ticket(word, Probe::NONE));
        }
        self.issue_unclosed(word, now)
    }

    #[cold]
    #[inline(never)]
    fn issue_unclosed(&self, word: Snapshot, now: Time) -> Result<Ticket, Refusal> {
        let asked = |word| match self.asked(word, now) {
            Ok(Asked::Admitted { would_refuse }) => Some(Ok(Ticket {
                would_refuse,
                ..ticket(word, Probe::NONE)
            })),
            Ok(Asked::Probe | Asked::Trial) => None,
            Err(refusal) => Some(Err(refusal)),
        };
        if let Some(answer) = asked(word) {
            return answer;
        }
        let (ticket, changed) = {
            let mut desk = self.desk.lock();
            let word = if planted(Bug::ProbeUnchecked) {
                word
            } else {
                self.read()
            };
            // Somebody else may have been first.
            if let Some(answer) = asked(word) {
                return answer;
            }
            let begins = matches!(self.asked(word, now), Ok(Asked::Trial));
            let trial = if begins {
                Self::begin_trial(&mut desk, word, |timeout| self.after(now, timeout))
            } else {
                word
            };
            let taken = trial.permit_taken().unwrap_or(trial);
            self.write(taken);
            (ticket(taken, desk.trial.issue()), begins)
        };
        if changed {
            self.changes.tell();
        }
        Ok(ticket)
    }

    /// What the word says to a call.
    fn asked(&self, word: Snapshot, now: Time) -> Result<Asked, Refusal> {
        let due = self.millis(now) >= word.deadline();
        let refused = |retry_after| Refusal {
            state: word.state(),
            retry_after,
        };
        match word.state() {
            State::Closed | State::Disabled => Ok(Asked::Admitted {
                would_refuse: false,
            }),
            State::MetricsOnly => Ok(Asked::Admitted { would_refuse: !due }),
            State::ForcedOpen => Err(refused(None)),
            State::Open | State::HalfOpen if due => Ok(Asked::Trial),
            State::Open => Err(refused(Some(self.remaining(word, now)))),
            State::HalfOpen if word.permits() > 0 => Ok(Asked::Probe),
            State::HalfOpen => {
                let remaining = self.remaining(word, now);
                Err(refused(Some(remaining.min(PROBES_OUT))))
            }
        }
    }

    fn begin_trial(desk: &mut Desk, word: Snapshot, until: impl Fn(u64) -> Millis) -> Snapshot {
        let mut permits = desk.policy.probes;
        if planted(Bug::PermitsKept) && word.state() == State::HalfOpen {
            permits = word.permits();
        }
        desk.trial.begin(desk.policy.probes);
        let timeout = millis(desk.policy.half_open_timeout);
        word.tried(permits, until(timeout))
    }
}

fn ticket(word: Snapshot, probe: Probe) -> Ticket {
    Ticket {
        generation: word.generation(),
        probe,
        would_refuse: false,
    }
}
