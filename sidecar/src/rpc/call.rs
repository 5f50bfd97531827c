//! A call of the cache or of the limits, from its head to its reply.
//!
//! ```text
//!  head ──► message ──► decoded ──► handled ──► reply made ──► written
//!   │ the call and its head are charged                           │
//!   │          │ the message is charged      │                    │
//!   │                                        │ the reply is charged
//!   └── in flight ────────────────────────────────────────────────┘
//! ```
//!
//! What is refused on the way, unreadable messages too, is counted like any other
//! end of a call.
//!
//! tonic's generated server does this too, but decides by itself what a message that
//! cannot be read is answered, drops what was handled before it was sent, and keeps
//! no account of either.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use millpond_core::cache::Lease;
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::body::{Answer, Sending};
use super::message::{NotReceived, decode, encode, receive};
use super::{outline, oversized, status};
use crate::budget::{Charge, Share};
use crate::drain::{Stage, Stages};
use crate::listen::pace::{Open, Pace};
use crate::telemetry::calls::{Call, Calls, Method, UnderWay};
use crate::telemetry::trace::words::{Named, Told};

/// What a call holds beside its messages: its task, its stream, a waiter.
const CALL_BYTES: u64 = 2 << 10;
/// A header's share of the table it stands in.
const HEADER_BYTES: usize = 32;

/// What the calls of one worker share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) calls: Arc<Calls>,
    pub(crate) share: Arc<Share>,
    /// The worker's own view of it.
    pub(crate) stages: Stages,
    /// How long a message may take to arrive, and a reply to be taken.
    pub(crate) patience: Duration,
}

impl Desk {
    /// Waits as long as the sidecar serves. What is to be had at once is had even
    /// then.
    pub(super) async fn while_serving<T>(
        &self,
        answer: impl Future<Output = T>,
    ) -> Result<T, Status> {
        let mut answer = pin!(answer);
        // Most answers are: they need not watch the stage.
        if let Some(answer) = answer.as_mut().now_or_never() {
            return Ok(answer);
        }
        tokio::select! {
            answer = answer => Ok(answer),
            () = self.stages.reached(Stage::Leaving) => Err(status::leaving()),
        }
    }
}

/// What is held for a call until its reply is written or lost.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) charge: Charge,
    open: Open,
    _under_way: UnderWay,
}

impl InFlight {
    /// Takes a call in, if there is room for it.
    pub(super) fn begin(
        desk: &Desk,
        pace: &Arc<Pace>,
        headers: &HeaderMap,
    ) -> Result<Self, Status> {
        Self::holding(CALL_BYTES, false, desk, pace, headers)
    }

    /// Takes in a call of a service beside the cache.
    pub(super) fn beside(
        desk: &Desk,
        pace: &Arc<Pace>,
        headers: &HeaderMap,
    ) -> Result<Self, Status> {
        let bytes = CALL_BYTES + super::limits::MAX_BESIDE_BYTES as u64;
        Self::holding(bytes, true, desk, pace, headers)
    }

    /// Its message is read and gone; what is left may last as long as its caller
    /// likes.
    pub(super) fn message_read(&mut self) {
        let left = self.charge.held() - super::limits::MAX_BESIDE_BYTES as u64;
        self.charge.shrink_to(left);
    }

    /// Takes in a stream, whose buffers hold so much.
    pub(super) fn stream(
        desk: &Desk,
        pace: &Arc<Pace>,
        headers: &HeaderMap,
        buffers: u64,
    ) -> Result<Self, Status> {
        Self::holding(CALL_BYTES + buffers, true, desk, pace, headers)
    }

    fn holding(
        bytes: u64,
        beside: bool,
        desk: &Desk,
        pace: &Arc<Pace>,
        headers: &HeaderMap,
    ) -> Result<Self, Status> {
        let head: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES)
            .sum();
        let mut charge = Charge::on(&desk.share);
        if !charge.grow(bytes + head as u64) {
            return Err(status::over_budget());
        }
        Ok(Self {
            charge,
            open: Open::on(pace),
            _under_way: UnderWay::on(&desk.calls, beside),
        })
    }
}

/// What a method answers.
#[derive(Debug)]
pub(super) struct Reply<M> {
    pub(super) message: M,
    /// Granted by it; given up unless it is written.
    pub(super) leases: Vec<Lease>,
    /// Whether the call did something: then its reply is not refused any more.
    pub(super) done: bool,
}

impl<M> Reply<M> {
    /// To a call that only read.
    pub(super) fn read(message: M, leases: Vec<Lease>) -> Self {
        Self {
            message,
            leases,
            done: false,
        }
    }

    /// To a call that did something.
    pub(super) fn done(message: M) -> Self {
        Self {
            message,
            leases: Vec::new(),
            done: true,
        }
    }
}

/// A service whose calls have one message and one reply each.
pub(super) trait Unary: Send + Sync + 'static {
    /// Bytes of one of its messages, in or out.
    const MAX_MESSAGE_BYTES: usize;

    /// What its calls share.
    fn desk(&self) -> &Arc<Desk>;

    /// The reply's bytes, charged, and the leases it grants.
    fn dispatch(
        &self,
        told: &Call<'_>,
        asked: Asked,
        making: Making<'_>,
    ) -> impl Future<Output = Result<(Bytes, Vec<Lease>), Status>> + Send;

    /// What a message of `size` bytes, too large to be received, is refused with.
    fn too_large(
        &self,
        _method: Method,
        size: usize,
        _begins: &[u8],
    ) -> impl Future<Output = Status> + Send {
        std::future::ready(oversized::refusal(size, Self::MAX_MESSAGE_BYTES))
    }
}

/// Answers a call.
pub(super) async fn answer<S: Unary>(
    service: S,
    pace: Arc<Pace>,
    method: Method,
    request: Request<Incoming>,
) -> Response<Answer> {
    let desk = Arc::clone(service.desk());
    let told = desk.calls.begin(method);
    let answered = async {
        let (head, body) = request.into_parts();
        let mut call = InFlight::begin(&desk, &pace, &head.headers)?;
        let held = call.charge.held();
        let most = S::MAX_MESSAGE_BYTES;
        let message = match receive(body, &mut call.charge, most, desk.patience).await {
            Ok(message) => message,
            Err(NotReceived::Refused(refused)) => return Err(refused),
            Err(NotReceived::TooLarge { size, begins }) => {
                return Err(service.too_large(method, size, &begins).await);
            }
        };
        outline::check(method, &message)?;
        let asked = Asked {
            message,
            metadata: MetadataMap::from_headers(head.headers),
        };
        let making = Making {
            told: &told,
            call: &mut call,
            held,
        };
        let (bytes, leases) = service.dispatch(&told, asked, making).await?;
        call.open.replied();
        Ok(Sending::reply(bytes, leases, call))
    };
    let answered = told.run(answered).await;
    match told.ended(answered) {
        Ok(reply) => success(Answer::Reply(reply)),
        Err(refused) => refused.into_http(),
    }
}

/// A request that was received.
pub(super) struct Asked {
    message: Bytes,
    metadata: MetadataMap,
}

impl Asked {
    pub(super) fn decoded<Q>(self, told: &Call<'_>) -> Result<tonic::Request<Q>, Status>
    where
        Q: Message + Default + Named,
    {
        let message = decode(self.message)?;
        let nothing = tonic::Extensions::default();
        let request = tonic::Request::from_parts(self.metadata, nothing, message);
        told.received(&request);
        Ok(request)
    }
}

/// What a reply is made with.
pub(super) struct Making<'a> {
    told: &'a Call<'a>,
    call: &'a mut InFlight,
    /// By the call, before its request came.
    held: u64,
}

impl Making<'_> {
    /// Encodes a reply. Its request is gone: the reply takes the place of it in the
    /// charge.
    pub(super) fn made<M: Message + Told>(
        self,
        reply: Reply<M>,
    ) -> Result<(Bytes, Vec<Lease>), Status> {
        let charge = &mut self.call.charge;
        charge.shrink_to(self.held);
        self.told.replies(&reply.message);
        let bytes = encode(&reply.message, |length| {
            if reply.done {
                charge.owe(length);
            } else if !charge.grow(length) {
                return Err(status::over_budget());
            }
            Ok(())
        })?;
        Ok((bytes, reply.leases))
    }
}

/// The head of an answer that has a body.
pub(super) fn success(answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    response
}
