//! What an outcome changes.

use std::time::Duration;

use super::permit::{Outcome, Ticket};
use super::policy::Thresholds;
use super::trial::{Back, Probe, Trial, Verdict};
use super::window::{Kind, Place};
use super::word::{Snapshot, State};
use super::{Breaker, Desk};
use crate::clock::Time;
use crate::planted::{Bug, planted};
use crate::sync::Ordering;

impl Breaker {
    /// Says what became of a call, which took `latency`. False if it came too late to
    /// count, or was settled before.
    #[inline(always)]
    pub fn settle(&self, ticket: Ticket, outcome: Outcome, latency: Duration, now: Time) -> bool {
        let word = self.read();
        // What nearly every call comes to.
        let fine = outcome == Outcome::Success && !self.is_slow(latency);
        if fine && word.is_closed() && word.generation() == ticket.generation {
            let millis = self.millis(now);
            return self.outcomes.count_fine(ticket.generation, millis);
        }
        self.settle_otherwise(word, ticket, outcome, latency, now)
    }

    #[inline(never)]
    fn settle_otherwise(
        &self,
        word: Snapshot,
        ticket: Ticket,
        outcome: Outcome,
        latency: Duration,
        now: Time,
    ) -> bool {
        if word.generation() != ticket.generation && !planted(Bug::LateCounted) {
            return false;
        }
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure | Outcome::Timeout => true,
            Outcome::Ignored => return self.give_back(ticket),
        };
        let slow = self.is_slow(latency);
        match word.state() {
            State::Closed | State::MetricsOnly => {
                let kind = Kind::of(failed, slow);
                let counted = self
                    .outcomes
                    .count(kind, word.generation(), self.millis(now));
                if kind != Kind::Fine && counted.is_some() {
                    self.judge(word, now);
                }
                counted.is_some()
            }
            State::HalfOpen => {
                self.try_on(ticket, now, |trial| trial.end(ticket.probe, failed, slow))
            }
            State::Open | State::ForcedOpen | State::Disabled => false,
        }
    }

    /// A call that was not settled takes too long already.
    pub(super) fn count_overdue(
        &self,
        ticket: Ticket,
        elapsed: Duration,
        now: Time,
    ) -> Option<Place> {
        let word = self.read();
        if word.generation() != ticket.generation || !self.is_slow(elapsed) {
            return None;
        }
        match word.state() {
            State::Closed | State::MetricsOnly => {
                let millis = self.millis(now);
                let place = self.outcomes.count(Kind::Slow, ticket.generation, millis)?;
                self.judge(word, now);
                Some(place)
            }
            State::HalfOpen => self
                .try_on(ticket, now, |trial| trial.overdue(ticket.probe))
                .then_some(Place::NONE),
            State::Open | State::ForcedOpen | State::Disabled => None,
        }
    }

    /// The same, of a call that was counted as slow before its end.
    pub(super) fn settle_overdue(
        &self,
        ticket: Ticket,
        place: Place,
        outcome: Outcome,
        now: Time,
    ) -> bool {
        let word = self.read();
        if word.generation() != ticket.generation {
            return false;
        }
        let failed = matches!(outcome, Outcome::Failure | Outcome::Timeout);
        match word.state() {
            State::HalfOpen => {
                self.try_on(ticket, now, |trial| trial.end(ticket.probe, failed, true))
            }
            State::Closed | State::MetricsOnly if failed => {
                let millis = self.millis(now);
                let counted = self.outcomes.failed_late(place, ticket.generation, millis);
                if counted {
                    self.judge(word, now);
                }
                counted
            }
            _ => false,
        }
    }

    /// A permit comes back unused; false if it is none, or has come back before.
    pub(super) fn give_back(&self, ticket: Ticket) -> bool {
        if ticket.probe == Probe::NONE {
            return self.read().generation() == ticket.generation;
        }
        let (back, passed) = {
            let mut desk = self.desk.lock();
            let word = self.read();
            if word.generation() != ticket.generation || word.state() != State::HalfOpen {
                return false;
            }
            let back = desk.trial.give_back(ticket.probe);
            if back == Some(Back::Unused) {
                self.write(word.permit_returned());
            }
            // One that was counted can fail no more, and that may have been awaited.
            let verdict = desk.trial.verdict(desk.policy.thresholds());
            let passed = back == Some(Back::Used) && verdict == Some(Verdict::Passed);
            if passed {
                self.close(&mut desk, word);
            }
            (back, passed)
        };
        if passed {
            self.changes.tell();
        }
        back.is_some()
    }

    /// Something bad was counted under `word`: opens if that was enough.
    #[cold]
    fn judge(&self, word: Snapshot, now: Time) {
        // Relaxed: who changes them voids what was granted under the old ones.
        let thresholds = Thresholds::of_bits(self.thresholds.load(Ordering::Relaxed));
        let millis = self.millis(now);
        if !self.outcomes.are_bad(word.generation(), millis, thresholds) {
            return;
        }
        {
            let mut desk = self.desk.lock();
            if self.read() != word && !planted(Bug::TripUnchecked) {
                return; // another has tripped it
            }
            let word = self.read();
            if word.state() == State::MetricsOnly {
                if millis < word.deadline() {
                    return; // it would be open
                }
                let open = desk.policy.open_for(1, self.entropy.unit());
                self.write(word.would_trip(self.after(now, open)));
            } else {
                self.open(&mut desk, word, now);
            }
        }
        self.changes.tell();
    }

    fn open(&self, desk: &mut Desk, word: Snapshot, now: Time) {
        desk.opens = desk.opens.saturating_add(1);
        let open = desk.policy.open_for(desk.opens, self.entropy.unit());
        self.write(word.tripped(self.after(now, open)));
    }

    fn close(&self, desk: &mut Desk, word: Snapshot) {
        desk.opens = 0;
        self.write(word.closed());
    }

    /// Tells the trial of one of its probes, and ends it if that decides. False if the
    /// trial is over.
    fn try_on(&self, ticket: Ticket, now: Time, tell: impl FnOnce(&mut Trial) -> bool) -> bool {
        let decided = {
            let mut desk = self.desk.lock();
            let word = self.read();
            let current = word.generation() == ticket.generation && word.state() == State::HalfOpen;
            if !current || self.millis(now) >= word.deadline() || !tell(&mut desk.trial) {
                return false;
            }
            let verdict = desk.trial.verdict(desk.policy.thresholds());
            match verdict {
                None => {}
                Some(Verdict::Passed) => self.close(&mut desk, word),
                Some(Verdict::Failed) => self.open(&mut desk, word, now),
            }
            verdict.is_some()
        };
        if decided {
            self.changes.tell();
        }
        true
    }
}
