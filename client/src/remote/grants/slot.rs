//! One bucket's tokens in this process, as whoever spends them sees it.
//!
//! ```text
//!   spend: in hand ───────────────────────────────► allowed
//!            │ below `low`: the keeper is told, once
//!            └ nothing: told, and the last refusal holds until its time is over
//! ```
//!
//! What is in hand is core's [`Granted`]: one word, whose clock runs for 49 days. After
//! [`ERA`] another one takes over, and what is reported is the sum of all.
//!
//! Invariants: while `asking` is set the keeper has been told and will answer, by a
//! grant or by a refusal; so it is told of a bucket at most once at a time.
//!
//! Cost: spending is core's clock, load and compare-and-swap, and one load more.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millpond_core::cache::TenantId;
use millpond_core::clock::{Clock, Time};
use millpond_core::limit::{Granted, Report};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::Wake;
use crate::error::Error;
use crate::limit::charges::Charge;
use crate::limit::decision::LimitReason;

/// How long one [`Granted`] is used.
const ERA: Duration = Duration::from_secs(40 * 24 * 3_600);

/// One bucket's tokens in this process.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its number on the streams.
    pub(super) id: u64,
    pub(super) tenant: TenantId,
    /// Of the limit and the key; it costs nothing by itself.
    pub(super) charge: Charge,
    hand: Era,
    clock: Clock,
    /// Fewer in hand: more is asked for.
    low: AtomicU32,
    asking: AtomicBool,
    /// What callers wait for.
    short: AtomicU64,
    told: Mutex<Told>,
    /// Answers so far.
    answers: watch::Sender<u64>,
    wake: mpsc::WeakUnboundedSender<Wake>,
}

#[derive(Debug)]
struct Era {
    granted: Granted,
    began: Time,
    next: OnceLock<Box<Era>>,
}

impl Era {
    fn begin(clock: &Clock) -> Self {
        Self {
            granted: Granted::none(clock.clone()),
            began: clock.now(),
            next: OnceLock::new(),
        }
    }
}

/// What the sidecar said of the bucket last.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Tokens that come back in each `period`; `None`: it was not asked yet.
    pub(super) rate: Option<(u64, Duration)>,
    pub(super) capacity: u64,
    pub(super) remaining: u64,
    pub(super) reset_after: Duration,
    /// When that was.
    pub(super) at: Time,
    pub(super) refusal: Option<Refusal>,
}

/// Why there is nothing, for a time.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) until: Time,
    pub(super) why: Why,
}

#[derive(Clone, Debug)]
pub(super) enum Why {
    Denied(LimitReason),
    Away,
    Failed(Error),
}

impl Slot {
    pub(super) fn new(
        id: u64,
        tenant: TenantId,
        charge: Charge,
        clock: Clock,
        wake: mpsc::WeakUnboundedSender<Wake>,
    ) -> Self {
        Self {
            id,
            tenant,
            charge: Charge { cost: 0, ..charge },
            hand: Era::begin(&clock),
            clock,
            low: AtomicU32::new(0),
            asking: AtomicBool::new(false),
            short: AtomicU64::new(0),
            told: Mutex::default(),
            answers: watch::Sender::new(0),
            wake,
        }
    }

    /// Spends what is in hand; false: there is too little, and more is asked for.
    #[inline]
    pub(crate) fn spend(self: &Arc<Self>, cost: u32) -> bool {
        if self.take(cost) {
            return true;
        }
        self.ask(cost, false);
        false
    }

    /// Spends what is in hand.
    #[inline]
    pub(super) fn take(self: &Arc<Self>, cost: u32) -> bool {
        let left = self.hand.granted.spend(cost);
        let Some(left) = left.or_else(|| self.take_later(cost)) else {
            return false;
        };
        // Relaxed: when more is asked for, not whether.
        if left < self.low.load(Ordering::Relaxed) {
            self.ask(0, false);
        }
        true
    }

    #[cold]
    fn take_later(&self, cost: u32) -> Option<u32> {
        let mut era = &self.hand;
        loop {
            era = era.next.get()?;
            if let Some(left) = era.granted.spend(cost) {
                return Some(left);
            }
        }
    }

    /// Tells the keeper, unless it knows or has just been refused. Whoever `waits`
    /// adds to what is asked for, also while that is under way.
    #[cold]
    pub(super) fn ask(self: &Arc<Self>, cost: u32, waits: bool) {
        let asking = self.asking.load(Ordering::Relaxed);
        if (asking && !waits) || self.refusal().is_some() {
            return;
        }
        self.short.fetch_add(cost.into(), Ordering::Relaxed);
        // AcqRel: what was short is seen by the keeper that is told now, or by whoever
        // is told after it has answered.
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let wake = self.wake.upgrade();
        let told = wake.is_some_and(|wake| wake.send(Wake::Slot(self.clone())).is_ok());
        if !told {
            self.refuse(Why::Away, Duration::ZERO);
        }
    }

    /// The last refusal, while it holds.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let told = self.told.lock();
        let refusal = told.refusal.as_ref()?;
        (self.clock.precise() < refusal.until).then(|| refusal.clone())
    }

    pub(super) fn told(&self) -> Told {
        self.told.lock().clone()
    }

    pub(super) fn answers(&self) -> watch::Receiver<u64> {
        self.answers.subscribe()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    // What follows is the keeper's alone.

    pub(super) fn learn(&self, learn: impl FnOnce(&mut Told)) {
        let mut told = self.told.lock();
        learn(&mut told);
        told.at = self.clock.now();
    }

    /// What callers wait for, once.
    pub(super) fn take_short(&self) -> u64 {
        // Acquire: see `ask`.
        self.short.swap(0, Ordering::Acquire)
    }

    pub(super) fn set_low(&self, low: u32) {
        self.low.store(low, Ordering::Relaxed);
    }

    /// More is in hand.
    pub(super) fn grant(&self, tokens: u32, asked: Time, lives: Duration) {
        let mut era = &self.hand;
        while let Some(next) = era.next.get() {
            era = next;
        }
        if self.clock.now().since(era.began) >= ERA {
            era = era.next.get_or_init(|| Box::new(Era::begin(&self.clock)));
        }
        era.granted.add(tokens, asked, lives);
    }

    /// What was asked for has come.
    pub(super) fn granted(&self) {
        self.told.lock().refusal = None;
        self.answered();
    }

    /// There is nothing, for a time.
    pub(super) fn refuse(&self, why: Why, holds: Duration) {
        let until = self.clock.precise().after(holds);
        self.told.lock().refusal = Some(Refusal { until, why });
        // Asked for when nothing is left, not before.
        self.set_low(0);
        self.take_short();
        self.answered();
    }

    fn answered(&self) {
        // Release: see `ask`.
        self.asking.store(false, Ordering::Release);
        self.answers.send_modify(|answers| *answers += 1);
    }

    /// Tokens that could be spent now.
    pub(super) fn left(&self) -> u32 {
        self.eras()
            .map(|era| era.granted.left())
            .fold(0, u32::saturating_add)
    }

    /// Takes all out of hand, to hand it back.
    pub(super) fn take_back(&self) {
        for era in self.eras() {
            era.granted.take_back(u32::MAX);
        }
    }

    /// What to tell the sidecar.
    pub(super) fn report(&self) -> Report {
        let none = Report::default();
        self.eras().fold(none, |sum, era| {
            let report = era.granted.report();
            Report {
                used: sum.used + report.used,
                returned: sum.returned + report.returned,
            }
        })
    }

    fn eras(&self) -> impl Iterator<Item = &Era> {
        std::iter::successors(Some(&self.hand), |era| era.next.get().map(AsRef::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use millpond_core::clock::ManualClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn slot() -> (
        Arc<Slot>,
        ManualClock,
        mpsc::UnboundedSender<Wake>,
        mpsc::UnboundedReceiver<Wake>,
    ) {
        let clock = ManualClock::starting_at(Time::ZERO.after(100 * SECOND));
        let (wake, woken) = mpsc::unbounded_channel();
        let tenant = TenantId::parse("acme").expect("a name");
        let slot = Slot::new(
            1,
            tenant,
            Charge::of(None, 1),
            Clock::Manual(clock.clone()),
            wake.downgrade(),
        );
        (Arc::new(slot), clock, wake, woken)
    }

    #[tokio::test]
    async fn the_keeper_is_told_once_of_what_runs_low_and_again_when_it_has_answered() {
        let (slot, clock, _wake, mut woken) = slot();
        assert!(!slot.spend(3));
        assert!(!slot.spend(3), "it is told once");
        assert!(woken.try_recv().is_ok() && woken.try_recv().is_err());
        assert_eq!(slot.take_short(), 3);
        slot.grant(10, clock.now(), SECOND);
        slot.set_low(8);
        slot.granted();
        assert!(slot.spend(2) && woken.try_recv().is_err());
        for _ in 0..5 {
            assert!(slot.spend(1));
        }
        assert!(woken.try_recv().is_ok() && woken.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_refusal_holds_for_its_time_and_then_it_is_asked_again() {
        let (slot, clock, _wake, mut woken) = slot();
        assert!(!slot.spend(1));
        assert!(woken.try_recv().is_ok());
        slot.refuse(Why::Denied(LimitReason::OverLimit), SECOND);
        for _ in 0..100 {
            assert!(!slot.spend(1));
            slot.ask(1, true);
        }
        assert!(woken.try_recv().is_err(), "nobody asks meanwhile");
        clock.advance(SECOND);
        assert!(!slot.spend(1));
        assert!(woken.try_recv().is_ok());
        assert_eq!(slot.take_short(), 1);
    }

    #[tokio::test]
    async fn a_process_that_runs_for_months_is_granted_tokens_all_along() {
        let (slot, clock, _wake, _woken) = slot();
        for day in 1..=200 {
            clock.advance(24 * 3_600 * SECOND);
            slot.grant(5, clock.now(), SECOND);
            assert!(slot.take(3), "day {day}");
            assert_eq!(slot.left(), 2);
        }
        slot.take_back();
        let report = slot.report();
        // Two expired each day but the last.
        assert_eq!((report.used, report.returned), (200 * 5 - 2, 2));
    }

    #[tokio::test]
    async fn a_slot_whose_keeper_is_gone_says_so_and_waits_for_nothing() {
        let (slot, _clock, wake, woken) = slot();
        drop((wake, woken));
        let mut answers = slot.answers();
        assert!(!slot.spend(1));
        assert!(answers.has_changed().expect("it is here"));
        answers.mark_unchanged();
        assert!(!slot.spend(1), "it does not hang on an answer");
        assert!(answers.has_changed().expect("it is here"));
    }
}
