//! How calls of the cache ended, counted by the thread that served them.
//!
//! Cost: three uncontended additions a call; a scrape sums over the workers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tonic::{Code, Status};

/// A method of the cache service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    Hello,
    Get,
    GetMany,
    Fill,
    Renew,
    Set,
    Invalidate,
}

impl Method {
    pub(crate) const ALL: [Self; 7] = [
        Self::Hello,
        Self::Get,
        Self::GetMany,
        Self::Fill,
        Self::Renew,
        Self::Set,
        Self::Invalidate,
    ];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Get" => Self::Get,
            "GetMany" => Self::GetMany,
            "Fill" => Self::Fill,
            "Set" => Self::Set,
            "Invalidate" => Self::Invalidate,
            "Renew" => Self::Renew,
            "Hello" => Self::Hello,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hello => "Hello",
            Self::Get => "Get",
            Self::GetMany => "GetMany",
            Self::Fill => "Fill",
            Self::Renew => "Renew",
            Self::Set => "Set",
            Self::Invalidate => "Invalidate",
        }
    }
}

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

/// The calls one worker served.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    ended: [[AtomicU64; CODES.len()]; Method::ALL.len()],
    in_flight: AtomicUsize,
    beside: AtomicUsize,
}

// Relaxed throughout: these are counts, and order nothing.
impl Calls {
    /// Runs a call and counts how it ended. One that is dropped was cancelled by
    /// its caller.
    pub(crate) async fn count<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut running = Running::new(self, method);
        let result = call.await;
        running.ends_with = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        result
    }

    pub(crate) fn ended(&self, method: Method, code: usize) -> u64 {
        self.ended[method as usize][code].load(Ordering::Relaxed)
    }

    /// Calls of the cache that are not answered, or whose reply is not written.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The same of the services beside it.
    pub(crate) fn beside(&self) -> usize {
        self.beside.load(Ordering::Relaxed)
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

struct Running<'a> {
    calls: &'a Calls,
    method: Method,
    ends_with: Code,
}

impl<'a> Running<'a> {
    fn new(calls: &'a Calls, method: Method) -> Self {
        Self {
            calls,
            method,
            ends_with: Code::Cancelled,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let ends_with = if std::thread::panicking() {
            Code::Unknown
        } else {
            self.ends_with
        };
        self.calls.ended[self.method as usize][ends_with as usize].fetch_add(1, Ordering::Relaxed);
    }
}
