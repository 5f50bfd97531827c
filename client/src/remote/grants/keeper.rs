//! Who asks the sidecar for tokens, and reports what became of them: one task for each
//! connection, on one stream.
//!
//! ```text
//!              told of a bucket                    a reply, or a refusal
//!   nothing ──────────────────► looked at (Peek) ─► asked ─────────────► held
//!                                    ▲                 │ the stream broke  │
//!                                    └─────────────────┘                   │ idle
//!                    handed back, and forgotten where nobody has it ◄──────┘
//! ```
//!
//! A bucket is looked at before it is asked for: what is wrong with it is then told to
//! those who ask for it, and does not end the stream for the others. The look says its
//! rate, too. The same look, after a stream broke, finds out whether the sidecar is
//! away.
//!
//! What is reported is cumulative over streams; the sidecar counts from the first
//! report of each. So what was granted on a stream that broke stays in hand until it
//! expires, and stays spent over there.
//!
//! Invariants: a bucket has at most one question under way; every question is answered
//! by a grant or a refusal, at the latest when the connection's timeout has passed.
//! Nothing ticks while nothing is held.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use millpond_core::clock::Time;
use millpond_core::limit::Report;
use millpond_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Wake;
use super::demand::Demand;
use super::session::Session;
use super::slot::{Slot, Why};
use crate::error::Error;
use crate::limit::charges::Asked;
use crate::limit::decision::{LimitReason, UNAVAILABLE_FOR};
use crate::remote::backoff::Backoff;
use crate::remote::{Remote, limits};

/// How often use is measured.
const TICK: Duration = Duration::from_millis(100);
/// What is not used for so long is handed back. Less than grants live.
const IDLE: Duration = Duration::from_secs(1);
/// What handing back may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// An empty bucket is not asked again sooner.
const LEAST_RETRY: Duration = Duration::from_millis(10);

type Looking = Pin<Box<dyn Future<Output = (Arc<Slot>, Result<v1::AcquireReply, Error>)> + Send>>;

pub(super) struct Keeper {
    remote: Weak<Remote>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    held: HashMap<u64, Held>,
    looking: FuturesUnordered<Looking>,
    session: Option<Session>,
    backoff: Backoff,
    tick: Instant,
}

/// A bucket that is asked for.
struct Held {
    slot: Arc<Slot>,
    demand: Demand,
    measured: Time,
    /// When a token was last used.
    used: Time,
    /// What was measured, and reported, last.
    report: Report,
    reported: Report,
    /// When the last message was sent.
    said: Time,
    /// Whether an answer is due, and until when it is waited for.
    due: Option<Instant>,
    lives: Duration,
}

impl Held {
    fn new(slot: Arc<Slot>) -> Self {
        let now = slot.clock().precise();
        Self {
            demand: Demand::default(),
            measured: now,
            used: now,
            report: slot.report(),
            reported: Report::default(),
            said: now,
            due: None,
            lives: Duration::ZERO,
            slot,
        }
    }

    /// How many to have in hand, by what was used since the last time.
    fn measure(&mut self, now: Time) -> u32 {
        let report = self.slot.report();
        let used = report.used.saturating_sub(self.report.used);
        if used > 0 {
            self.used = now;
        }
        self.demand.observe(used, now.since(self.measured));
        (self.measured, self.report) = (now, report);
        let told = self.slot.told();
        let (rate, period) = told.rate.unwrap_or_default();
        self.demand.target(rate, period, told.capacity)
    }

    fn message(&mut self, want: u32) -> v1::GrantRequest {
        let slot = &self.slot;
        let report = slot.report();
        self.said = slot.clock().precise();
        self.reported = report;
        v1::GrantRequest {
            tenant: slot.tenant.as_str().to_owned(),
            limit: slot.charge.limit().to_owned(),
            key: slot.charge.key.clone(),
            want,
            grant_id: slot.id,
            used: report.used,
            returned: report.returned,
        }
    }
}

/// What happens next.
enum Event {
    Wake(Option<Wake>),
    Looked(Arc<Slot>, Result<v1::AcquireReply, Error>),
    Reply(Result<v1::GrantReply, Error>),
    Tick,
}

impl Keeper {
    pub(super) fn new(remote: Weak<Remote>, wakes: mpsc::UnboundedReceiver<Wake>) -> Self {
        Self {
            remote,
            wakes,
            held: HashMap::new(),
            looking: FuturesUnordered::new(),
            session: None,
            backoff: Backoff::new(),
            tick: Instant::now(),
        }
    }

    /// Until every handle on the connection is gone.
    pub(super) async fn keep(mut self) {
        loop {
            match self.event().await {
                Event::Wake(Some(Wake::Slot(slot))) => self.woken(slot),
                Event::Wake(Some(Wake::HandBack(done))) => {
                    self.hand_back().await;
                    let _waited_for = done.send(());
                }
                Event::Wake(None) => return self.hand_back().await,
                Event::Looked(slot, looked) => self.looked(slot, looked),
                Event::Reply(Ok(reply)) => self.reply(&reply),
                Event::Reply(Err(error)) => self.lost(&error),
                Event::Tick => self.ticked(),
            }
        }
    }

    async fn event(&mut self) -> Event {
        let Self {
            wakes,
            looking,
            session,
            ..
        } = self;
        let reply = async {
            match session {
                Some(session) => session.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            wake = wakes.recv() => Event::Wake(wake),
            Some((slot, looked)) = looking.next() => Event::Looked(slot, looked),
            reply = reply => Event::Reply(reply),
            () = sleep_until(self.tick), if !self.held.is_empty() => Event::Tick,
        }
    }

    fn woken(&mut self, slot: Arc<Slot>) {
        if self.held.is_empty() {
            self.tick = Instant::now() + TICK;
        }
        let id = slot.id;
        let known = slot.told().rate.is_some();
        let new = || Held::new(Arc::clone(&slot));
        let held = self.held.entry(id).or_insert_with(new);
        if held.due.is_some() {
            // Asked for already, and answered soon.
        } else if known {
            self.ask(id);
        } else {
            self.look(slot);
        }
    }

    fn look(&self, slot: Arc<Slot>) {
        let Some(remote) = self.remote.upgrade() else {
            return slot.refuse(Why::Away, Duration::ZERO);
        };
        self.looking.push(Box::pin(async move {
            let asked = Asked {
                tenant: slot.tenant.clone(),
                charges: vec![slot.charge.clone()],
                options: crate::limit::Options::default(),
                hold: None,
            };
            let looked = remote.look_at_tokens(&asked).await;
            (slot, looked)
        }));
    }

    fn looked(&mut self, slot: Arc<Slot>, looked: Result<v1::AcquireReply, Error>) {
        match looked {
            Ok(reply) => {
                slot.learn(|told| {
                    told.rate = Some((reply.rate, Duration::from_millis(reply.period_ms)));
                    told.capacity = reply.capacity;
                    told.remaining = reply.remaining;
                    told.reset_after = Duration::from_millis(reply.reset_after_ms);
                });
                // It may have been let go of meanwhile.
                let new = || Held::new(Arc::clone(&slot));
                self.held.entry(slot.id).or_insert_with(new);
                self.ask(slot.id);
            }
            Err(Error::Unavailable { .. }) => self.refuse(&slot, Why::Away),
            Err(error) => slot.refuse(Why::Failed(error), UNAVAILABLE_FOR),
        }
    }

    /// The sidecar is away, or what it says is of no use: not for long.
    fn refuse(&mut self, slot: &Slot, why: Why) {
        let pause = self.backoff.pause(fastrand::f64());
        slot.refuse(why, pause);
    }

    fn ask(&mut self, id: u64) {
        let Some(remote) = self.remote.upgrade() else {
            if let Some(held) = self.held.get(&id) {
                held.slot.refuse(Why::Away, Duration::ZERO);
            }
            return;
        };
        if self.session.as_ref().is_some_and(|it| !it.takes(id)) {
            self.change_streams();
        }
        let Some(held) = self.held.get_mut(&id) else {
            return;
        };
        let now = held.slot.clock().precise();
        let target = held.measure(now);
        held.slot.set_low(target / 2);
        let missing = target.saturating_sub(held.slot.left()).max(1);
        let short = u32::try_from(held.slot.take_short()).unwrap_or(u32::MAX);
        let message = held.message(missing.max(short));
        held.due = Some(Instant::now() + remote.timeout);
        let session = self.session.get_or_insert_with(|| Session::open(&remote));
        session.ask(message);
    }

    fn reply(&mut self, reply: &v1::GrantReply) {
        self.backoff = Backoff::new();
        if let Some(remote) = self.remote.upgrade() {
            remote.absence.ended();
        }
        let Some(held) = self.held.get_mut(&reply.grant_id) else {
            return;
        };
        let slot = &held.slot;
        slot.learn(|told| {
            told.capacity = reply.capacity;
            told.remaining = reply.remaining;
            told.reset_after = Duration::from_millis(reply.reset_after_ms);
        });
        if reply.tokens > 0 {
            held.lives = Duration::from_millis(reply.expires_in_ms);
            slot.grant(reply.tokens, held.said, held.lives);
        }
        if held.due.take().is_none() {
            return; // of a report
        }
        if reply.tokens > 0 {
            slot.granted();
            return;
        }
        if reply.reason() == v1::LimitReason::NotFound {
            // A look says it in the sidecar's words.
            let slot = Arc::clone(slot);
            return self.look(slot);
        }
        let retry_after = Duration::from_millis(reply.retry_after_ms).max(LEAST_RETRY);
        let reason = limits::reason(reply.reason, false);
        let holds = match reason {
            LimitReason::OverLimit => retry_after,
            _ => retry_after.max(UNAVAILABLE_FOR),
        };
        slot.refuse(Why::Denied(reason), holds);
    }

    /// The stream is no more. What was asked on it is asked again.
    fn lost(&mut self, error: &Error) {
        let answered = self.session.take().is_some_and(|it| it.answered);
        let due = self.held.values_mut();
        let due = due.filter_map(|held| held.due.take().map(|_| Arc::clone(&held.slot)));
        let due: Vec<_> = due.collect();
        for slot in due {
            if answered {
                self.look(slot);
                continue;
            }
            let why = match error {
                Error::Unavailable { .. } => Why::Away,
                error => Why::Failed(error.clone()),
            };
            self.refuse(&slot, why);
        }
    }

    fn ticked(&mut self) {
        self.tick = Instant::now() + TICK;
        let late = |held: &Held| held.due.is_some_and(|due| due <= Instant::now());
        if self.held.values().any(late) {
            self.lost(&Error::Unavailable {
                message: "the sidecar did not answer a question for tokens".to_owned(),
            });
        }
        let (mut idle, mut renewed) = (Vec::new(), Vec::new());
        for (id, held) in &mut self.held {
            let now = held.slot.clock().precise();
            let target = held.measure(now);
            if held.due.is_some() {
                continue;
            }
            if now.since(held.used) >= IDLE {
                idle.push(*id);
                continue;
            }
            if held.slot.refusal().is_none() {
                held.slot.set_low(target / 2);
            }
            // Another grant renews all that is in hand.
            let ageing = now.since(held.said) >= held.lives / 2;
            if ageing && held.slot.left() > 0 && held.slot.refusal().is_none() {
                renewed.push(*id);
            }
        }
        for id in renewed {
            self.ask(id);
        }
        for id in idle {
            self.let_go(id);
        }
    }

    /// Hands back what nobody uses.
    fn let_go(&mut self, id: u64) {
        let Some(mut held) = self.held.remove(&id) else {
            return;
        };
        // First, so that the next use tells us.
        held.slot.set_low(0);
        held.slot.take_back();
        if let Some(session) = &mut self.session
            && held.slot.report() != held.reported
        {
            session.ask(held.message(0));
        }
        if let Some(remote) = self.remote.upgrade() {
            remote.grants.forget(held.slot);
        }
    }

    /// A stream has named all it may: another one takes its place.
    fn change_streams(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let mut due = Vec::new();
        for held in self.held.values_mut() {
            if held.due.take().is_some() {
                due.push(Arc::clone(&held.slot));
            }
            if held.slot.report() != held.reported && session.takes(held.slot.id) {
                session.ask(held.message(0));
            }
        }
        if let Some(remote) = self.remote.upgrade() {
            remote.runtime.spawn(session.close(FAREWELL));
        }
        for slot in due {
            self.look(slot);
        }
    }

    /// Hands everything back, and waits until the sidecar has it.
    async fn hand_back(&mut self) {
        let until = Instant::now() + FAREWELL;
        // What is on its way would be lost.
        while self.held.values().any(|held| held.due.is_some())
            && let Some(session) = &mut self.session
        {
            match timeout_at(until, session.next()).await {
                Ok(Ok(reply)) => self.reply(&reply),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        let held: Vec<_> = self.held.keys().copied().collect();
        for id in held {
            if let Some(held) = self.held.get_mut(&id)
                && held.due.take().is_some()
            {
                held.slot.refuse(Why::Away, Duration::ZERO);
            }
            self.let_go(id);
        }
        if let Some(session) = self.session.take() {
            session
                .close(until.saturating_duration_since(Instant::now()))
                .await;
        }
    }
}
