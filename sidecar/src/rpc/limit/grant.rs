//! The stream of `Grant`: a process reports and asks, and is granted.
//!
//! ```text
//!   message whole ──► decoded ──► ledger ──► reply ──► message whole …
//!        ▲ nothing is read before the reply is taken
//! ```
//!
//! The answer's body reads the request's: HTTP/2 asks it for a frame when the peer can
//! take one, and only then is a message read. So nothing is queued: a peer that does
//! not take its replies is not read, and its own flow control stops it. What a stream
//! holds is one message's bytes and its ledger, both charged to the bytes in flight.
//!
//! It ends well when the peer has closed its side; with what was wrong when a message
//! is not of its form, or does not come to its end in time; and when the sidecar
//! leaves, which takes its processes' reports up to then. However it ends, what was
//! granted stays spent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, Incoming};
use millpond_core::limit::{Ask, CallError, GrantError, Grants};
use millpond_proto::v1;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use super::{Limits, answered, asked};
use crate::drain::Stage;
use crate::listen::pace::Pace;
use crate::rpc::body::{Answer, Sending, succeeded};
use crate::rpc::call::{Desk, InFlight, success};
use crate::rpc::limits::MAX_GRANT_BYTES;
use crate::rpc::message::{Parts, decode, encode};
use crate::rpc::status;
use crate::telemetry::calls::{Method, StreamCall};

/// How long tokens may be spent from when they were asked for.
const LIVES: Duration = Duration::from_secs(2);

/// What a grant takes in its ledger, beside its names.
const GRANT_BYTES: u64 = 1_200;

/// See the module.
pub(crate) struct Granting {
    body: Incoming,
    parts: Parts,
    /// While a message has begun and not come to its end.
    late: Option<Pin<Box<Sleep>>>,
    grants: Grants,
    desk: Arc<Desk>,
    call: InFlight,
    told: StreamCall,
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

impl Limits {
    /// Answers a call of `Grant`.
    pub(in crate::rpc) fn grant(
        &self,
        pace: &Arc<Pace>,
        request: Request<Incoming>,
    ) -> Response<Answer> {
        let desk = Arc::clone(&self.desk);
        let mut told = StreamCall::begin(&desk.calls, Method::Grant);
        let (head, body) = request.into_parts();
        let call = match InFlight::stream(&desk, pace, &head.headers, MAX_GRANT_BYTES as u64) {
            Ok(call) => call,
            Err(refused) => {
                told.ended(refused.code());
                return refused.into_http();
            }
        };
        let stages = desk.stages.clone();
        success(Answer::Granting(Box::new(Granting {
            body,
            parts: Parts::of_at_most(MAX_GRANT_BYTES),
            late: None,
            grants: Grants::none(Arc::clone(&self.limiter)),
            desk,
            call,
            told,
            leaving: Box::pin(async move { stages.reached(Stage::Leaving).await }),
            over: false,
        })))
    }
}

impl Granting {
    /// The next reply, or the end.
    pub(in crate::rpc) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Frame<Sending>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.leaving.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(self.end(status::leaving())));
        }
        let message = match ready!(self.poll_message(context)) {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.over = true;
                self.told.ended(Code::Ok);
                return Poll::Ready(Some(Frame::trailers(succeeded())));
            }
            Err(wrong) => return Poll::Ready(Some(self.end(wrong))),
        };
        let reply = decode(message).and_then(|ask| self.answer(&ask));
        let reply = reply.and_then(|reply| encode(&reply, |_| Ok(())));
        Poll::Ready(Some(match reply {
            Ok(bytes) => Frame::data(Sending::piece(bytes)),
            Err(wrong) => self.end(wrong),
        }))
    }

    fn end(&mut self, with: Status) -> Frame<Sending> {
        self.over = true;
        self.told.ended(with.code());
        let trailers: HeaderMap = status::trailers(&with);
        Frame::trailers(trailers)
    }

    /// The next message, once all of it is there; none when the peer closed its side.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.parts.next()? {
                self.late = None;
                return Poll::Ready(Ok(Some(message)));
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.parts.push(bytes);
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Err(Status::cancelled("the caller went away")));
                }
                Poll::Ready(None) => return Poll::Ready(self.parts.end().map(|()| None)),
                Poll::Pending => {
                    if self.parts.is_empty() {
                        return Poll::Pending;
                    }
                    let patience = self.desk.patience;
                    let late = self.late.get_or_insert_with(|| Box::pin(sleep(patience)));
                    ready!(late.as_mut().poll(context));
                    return Poll::Ready(Err(Status::deadline_exceeded(format!(
                        "message: did not come to its end within {} ms",
                        patience.as_millis()
                    ))));
                }
            }
        }
    }

    fn answer(&mut self, asked: &v1::GrantRequest) -> Result<v1::GrantReply, Status> {
        let ask = Ask {
            id: asked.grant_id,
            tenant: &asked.tenant,
            limit: asked::limit(|| "limit".to_owned(), &asked.limit)?,
            key: asked::key(|| "key".to_owned(), &asked.key)?,
            want: asked.want,
            used: asked.used,
            returned: asked.returned,
        };
        let held = self.call.charge.held();
        if !self.grants.knows(ask.id) {
            let names = ask.tenant.len() + ask.limit.len() + ask.key.len();
            if !self.call.charge.grow(GRANT_BYTES + names as u64) {
                return Ok(answered::no_room(ask.id));
            }
        }
        let decisions = self.desk.calls.decisions();
        let given = self.grants.ask(&ask);
        if given.is_err() {
            // Nothing is kept of it.
            self.call.charge.shrink_to(held);
        }
        match given {
            Ok(given) => {
                decisions.granted(&given);
                Ok(answered::given(ask.id, &given, LIVES))
            }
            Err(GrantError::Call(
                CallError::UnknownLimit { .. } | CallError::UnknownTenant { .. },
            )) => Ok(answered::not_found(ask.id)),
            Err(wrong) => Err(Status::invalid_argument(wrong.to_string())),
        }
    }
}

impl fmt::Debug for Granting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granting")
            .field("grants", &self.grants.len())
            .finish_non_exhaustive()
    }
}
