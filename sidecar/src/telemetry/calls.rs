//! The calls of the cache and of the limits: how they ended, how long they took, how
//! long of that they waited, for another's load or for their turn, and what they were
//! answered. Counted by the thread that serves them.
//!
//! A [`Call`] begins with its head and ends when its reply is made or refused. One
//! that is dropped before was cancelled by its caller, or panicked. Its time counts
//! from its message, decoded: how fast a caller sends is no affair of ours, so what
//! is refused before that has no time.
//!
//! Cost of a call: two readings of the clock and seven uncontended additions, and two
//! readings more if it waits; docs/metrics.md says what that comes to. A scrape
//! sums over the workers.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use millpond_core::cache::{Answer, Scope};
use millpond_core::clock::{Clock, Time};
use millpond_core::histogram::Histogram;
use tonic::{Code, Request, Status};

use super::trace::Traces;
use super::trace::span::CallSpan;
use super::trace::words::{Named, Told};

mod answers;
mod decisions;
mod method;
mod wait;

pub(crate) use answers::{Answers, SOURCES};
pub(crate) use decisions::{Decisions, VERDICTS};
pub(crate) use method::{Method, Service};
pub(crate) use wait::{Wait, Waiting};

/// Status codes by number, as gRPC writes them.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A part of a call's time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// All of it.
    Total,
    /// Waiting, for another's load or for its turn.
    Wait,
}

impl Phase {
    pub(crate) const ALL: [Self; 2] = [Self::Total, Self::Wait];
    /// By number.
    pub(crate) const NAMES: [&str; Self::ALL.len()] = ["total", "wait"];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The calls one worker served.
#[derive(Debug)]
pub(crate) struct Calls {
    clock: Clock,
    ended: [[AtomicU64; CODES.len()]; Method::ALL.len()],
    took: [[Histogram; Phase::ALL.len()]; Method::ALL.len()],
    in_flight: AtomicUsize,
    beside: AtomicUsize,
    answers: Answers,
    decisions: Decisions,
    traces: Option<Arc<Traces>>,
}

// Relaxed throughout: these are counts, and order nothing.
impl Calls {
    pub(crate) fn new(clock: Clock, traces: Option<Arc<Traces>>) -> Self {
        Self {
            clock,
            ended: Default::default(),
            took: Default::default(),
            in_flight: AtomicUsize::new(0),
            beside: AtomicUsize::new(0),
            answers: Answers::default(),
            decisions: Decisions::default(),
            traces,
        }
    }

    /// A call has come.
    pub(crate) fn begin(&self, method: Method) -> Call<'_> {
        Call {
            calls: self,
            method,
            received: OnceLock::new(),
            wait: Wait::default(),
            ends_with: Code::Cancelled,
            result: OnceLock::new(),
        }
    }

    pub(crate) fn ended(&self, method: Method, code: usize) -> u64 {
        self.ended[method as usize][code].load(Ordering::Relaxed)
    }

    pub(crate) fn took(&self, method: Method, phase: Phase) -> &Histogram {
        &self.took[method as usize][phase as usize]
    }

    /// Calls of the cache that are not answered, or whose reply is not written.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The same of the services beside it.
    pub(crate) fn beside(&self) -> usize {
        self.beside.load(Ordering::Relaxed)
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    fn count(&self, method: Method, code: Code) {
        self.ended[method as usize][code as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream under way: counted when it ends. One that is dropped before was cancelled
/// by its caller.
#[derive(Debug)]
pub(crate) struct StreamCall {
    calls: Arc<Calls>,
    method: Method,
    ends_with: Code,
}

impl StreamCall {
    pub(crate) fn begin(calls: &Arc<Calls>, method: Method) -> Self {
        Self {
            calls: Arc::clone(calls),
            method,
            ends_with: Code::Cancelled,
        }
    }

    /// It is over, with this.
    pub(crate) fn ended(&mut self, code: Code) {
        self.ends_with = code;
    }
}

impl Drop for StreamCall {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.ends_with = Code::Unknown;
        }
        self.calls.count(self.method, self.ends_with);
    }
}

/// A call from its arrival until its reply is written or lost.
#[derive(Debug)]
pub(crate) struct UnderWay {
    calls: Arc<Calls>,
    beside: bool,
}

impl UnderWay {
    /// A call of the cache, or of a service beside it.
    pub(crate) fn on(calls: &Arc<Calls>, beside: bool) -> Self {
        let this = Self {
            calls: Arc::clone(calls),
            beside,
        };
        this.gauge().fetch_add(1, Ordering::Relaxed);
        this
    }

    fn gauge(&self) -> &AtomicUsize {
        if self.beside {
            &self.calls.beside
        } else {
            &self.calls.in_flight
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge().fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    method: Method,
    received: OnceLock<Received>,
    wait: Wait,
    ends_with: Code,
    result: OnceLock<&'static str>,
}

/// What is known once the message is.
#[derive(Debug)]
struct Received {
    at: Time,
    /// While the call is traced.
    span: Option<Box<CallSpan>>,
}

impl Call<'_> {
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// Its message is there: its time begins, and its span if it is traced.
    pub(crate) fn received<T: Named>(&self, request: &Request<T>) {
        let traces = self.calls.traces.as_ref();
        self.received.get_or_init(|| Received {
            at: self.calls.clock.precise(),
            span: traces.and_then(|traces| {
                traces.begin(self.method, request.metadata(), request.get_ref())
            }),
        });
    }

    fn span(&self) -> Option<&CallSpan> {
        self.received.get()?.span.as_deref()
    }

    /// Runs what the call does; log lines written meanwhile name its trace.
    pub(crate) async fn run<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            let _inside = self.span().map(CallSpan::enter);
            call.as_mut().poll(context)
        })
        .await
    }

    /// How this call waits for a point of time; it is told by the clock it counts by.
    pub(crate) fn waiting<'a, T>(&'a self, timer: &'a T) -> Waiting<'a, T> {
        Waiting::new(timer, &self.wait, &self.calls.clock)
    }

    /// Takes note of one key's answer, before it becomes a message.
    pub(crate) fn answered(&self, scope: &Scope, key: &[u8], answer: &Answer) {
        self.calls.answers.count(answer);
        if let Some(traces) = &self.calls.traces {
            traces.answered(self.span(), scope, key, answer, &self.wait);
        }
    }

    /// Its reply will be this, unless it is refused on its way.
    pub(crate) fn replies(&self, reply: &impl Told) {
        if self.span().is_some() {
            self.result.get_or_init(|| reply.told());
        }
    }

    /// The call is over, with this.
    pub(crate) fn ended<T>(mut self, result: Result<T, Status>) -> Result<T, Status> {
        self.ends_with = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        result
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.ends_with = Code::Unknown;
        }
        let calls = self.calls;
        calls.count(self.method, self.ends_with);
        let Some(Received { at, span }) = self.received.take() else {
            return;
        };
        let now = calls.clock.precise();
        calls.took(self.method, Phase::Total).record(now.since(at));
        let waited = self.wait.told();
        if let Some((from, to)) = waited {
            calls.took(self.method, Phase::Wait).record(to.since(from));
        }
        if let Some(span) = span {
            let result = self.result.get().copied();
            let result = result.filter(|_| self.ends_with == Code::Ok);
            span.end(
                self.method,
                &calls.clock,
                now,
                waited,
                (self.ends_with, result),
            );
        }
    }
}
