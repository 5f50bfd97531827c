//! How calls of the cache ended, counted by the thread that served them.
//!
//! Cost: two uncontended additions a call; a scrape sums over the workers.

use std::future::Future;
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

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

struct Running<'a> {
    calls: &'a Calls,
    method: Method,
    ends_with: Code,
}

impl<'a> Running<'a> {
    fn new(calls: &'a Calls, method: Method) -> Self {
        calls.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            calls,
            method,
            ends_with: Code::Cancelled,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.calls.in_flight.fetch_sub(1, Ordering::Relaxed);
        let ends_with = if std::thread::panicking() {
            Code::Unknown
        } else {
            self.ends_with
        };
        self.calls.ended[self.method as usize][ends_with as usize].fetch_add(1, Ordering::Relaxed);
    }
}
