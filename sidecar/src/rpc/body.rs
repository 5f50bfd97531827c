//! What goes back to a caller, and what is held until it has gone.
//!
//! A reply is one piece, [`Sending`], which carries its bytes' charge, its call's
//! place among the open ones, and the leases it grants. HTTP/2 drops the piece when
//! it has written it, or when the stream or the connection ended before: only then
//! is anything given back. A piece dropped before it was written gives its leases
//! up at once, as their caller never heard of them.
//!
//! What was written to the socket and not read by a caller that died stays unknown:
//! such a lease ends by its deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Frame};
use millpond_core::cache::Lease;
use tonic::Status;

use super::call::InFlight;
use super::limit::Granting;

/// A piece of a reply on its way.
pub(crate) struct Sending {
    bytes: Bytes,
    held: Option<Box<Held>>,
}

struct Held {
    leases: Vec<Lease>,
    /// Given back when dropped.
    _call: InFlight,
}

impl Sending {
    /// One that holds nothing but its bytes.
    pub(super) fn piece(bytes: Bytes) -> Self {
        Self { bytes, held: None }
    }

    pub(super) fn reply(bytes: Bytes, leases: Vec<Lease>, call: InFlight) -> Self {
        let held = Held {
            leases,
            _call: call,
        };
        Self {
            bytes,
            held: Some(Box::new(held)),
        }
    }
}

impl Buf for Sending {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let written = self.bytes.is_empty();
        if let (true, Some(held)) = (written, &mut self.held) {
            for lease in held.leases.drain(..) {
                // Its caller settles it, by the grant in the reply.
                let _grant = lease.detach();
            }
        }
    }
}

/// The body of an answer.
#[derive(Default)]
pub(crate) enum Answer {
    /// All is said in the head.
    #[default]
    Empty,
    /// A reply, and that it succeeded.
    Reply(Sending),
    /// That it succeeded.
    Success,
    /// What a process is granted, as it asks.
    Granting(Box<Granting>),
    /// Of a service beside the cache.
    Beside(Pin<Box<Beside>>),
}

/// The answer of a service beside the cache, ended when the sidecar leaves.
pub(crate) struct Beside {
    body: tonic::body::Body,
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
    _call: InFlight,
}

impl Answer {
    /// `leaving` ends it, as a stream that nobody closes would hold up the drain.
    pub(super) fn beside(
        body: tonic::body::Body,
        leaving: impl Future<Output = ()> + Send + 'static,
        call: InFlight,
    ) -> Self {
        Self::Beside(Box::pin(Beside {
            body,
            leaving: Box::pin(leaving),
            _call: call,
        }))
    }
}

impl Body for Answer {
    type Data = Sending;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Sending>, Status>>> {
        if let Self::Beside(beside) = &mut *self {
            if beside.leaving.as_mut().poll(context).is_pending() {
                let frame = ready!(Pin::new(&mut beside.body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map(in_pieces)));
            }
            *self = Self::Empty;
            let trailers = super::status::trailers(&super::status::leaving());
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if let Self::Granting(granting) = &mut *self {
            return granting.poll_frame(context).map(|frame| frame.map(Ok));
        }
        Poll::Ready(match std::mem::take(&mut *self) {
            Self::Reply(reply) => {
                *self = Self::Success;
                Some(Ok(Frame::data(reply)))
            }
            Self::Success => Some(Ok(Frame::trailers(succeeded()))),
            Self::Empty | Self::Beside(_) | Self::Granting(_) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Reply(_) | Self::Success | Self::Granting(_) => false,
            Self::Beside(beside) => beside.body.is_end_stream(),
        }
    }
}

/// The end of an answer that succeeded.
pub(super) fn succeeded() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

fn in_pieces(frame: Frame<Bytes>) -> Frame<Sending> {
    frame.map_data(Sending::piece)
}
