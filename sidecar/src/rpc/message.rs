//! One message of a unary call, in and out.
//!
//! A message is charged whole when its five bytes of head are there, before any of
//! it is kept: from then on it has room to come to its end, and a time to do so. It
//! is copied into memory of its own length, because what a read of the socket
//! brought is shared by all the messages in it, and a call that waits would keep
//! all of them.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use prost::Message;
use tokio::time::sleep;
use tonic::Status;

use super::status;
use crate::budget::Charge;

/// A flag and a length (the gRPC protocol over HTTP/2, "Length-Prefixed-Message").
const HEAD_BYTES: usize = 5;

/// Why there is no message.
#[derive(Debug)]
pub(super) enum NotReceived {
    Refused(Status),
    /// Larger than any may be. Its first bytes, as far as they were there.
    TooLarge {
        size: usize,
        begins: Vec<u8>,
    },
}

impl From<Status> for NotReceived {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// How much is read of a message that is too large. Its short fields come first, as
/// every encoder writes them by number.
const BEGINNING_BYTES: usize = 4 << 10;

/// The message of a unary call, of `most` bytes, once the caller has sent all of it.
pub(super) async fn receive(
    mut body: Incoming,
    charge: &mut Charge,
    most: usize,
    patience: Duration,
) -> Result<Bytes, NotReceived> {
    let mut part = Part::of_at_most(most);
    // Most messages are there with their head; only one that must be waited for has
    // a timer.
    let mut late = None;
    while !body.is_end_stream() {
        let frame = std::future::poll_fn(|context| {
            if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(context) {
                return Poll::Ready(Some(frame));
            }
            late.get_or_insert_with(|| Box::pin(sleep(patience)))
                .as_mut()
                .poll(context)
                .map(|()| None)
        });
        match frame.await {
            None => return Err(part.late(patience)),
            Some(None) => break,
            Some(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    part.push(&bytes, charge)?;
                }
            }
            Some(Some(Err(_))) => {
                let gone = "the caller went away before its message was here";
                return Err(Status::cancelled(gone).into());
            }
        }
    }
    part.end()
}

/// What has come of a message.
#[derive(Debug)]
struct Part {
    most: usize,
    head: [u8; HEAD_BYTES],
    heads: usize,
    length: usize,
    message: Vec<u8>,
}

impl Part {
    fn of_at_most(most: usize) -> Self {
        Self {
            most,
            head: [0; HEAD_BYTES],
            heads: 0,
            length: 0,
            message: Vec::new(),
        }
    }

    fn push(&mut self, mut bytes: &[u8], charge: &mut Charge) -> Result<(), NotReceived> {
        if self.heads < HEAD_BYTES {
            let head = bytes.len().min(HEAD_BYTES - self.heads);
            self.head[self.heads..][..head].copy_from_slice(&bytes[..head]);
            self.heads += head;
            bytes = &bytes[head..];
            if self.heads == HEAD_BYTES {
                self.begin(charge)?;
            }
        }
        if self.length > self.most {
            let more = bytes.len().min(BEGINNING_BYTES - self.message.len());
            self.message.extend_from_slice(&bytes[..more]);
            if self.message.len() == BEGINNING_BYTES {
                return Err(self.too_large());
            }
            return Ok(());
        }
        if bytes.len() > self.length - self.message.len() {
            return Err(status::bad("message", "is followed by more, a call has one").into());
        }
        self.message.extend_from_slice(bytes);
        Ok(())
    }

    fn begin(&mut self, charge: &mut Charge) -> Result<(), NotReceived> {
        let [compressed, length @ ..] = self.head;
        if compressed != 0 {
            return Err(status::compressed().into());
        }
        // 32 bits always fit; if they did not, it would be too large in any case.
        self.length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let kept = if self.length > self.most {
            BEGINNING_BYTES
        } else {
            self.length
        };
        if !charge.grow(kept as u64) {
            return Err(status::over_budget().into());
        }
        self.message = Vec::with_capacity(kept);
        Ok(())
    }

    fn late(&mut self, patience: Duration) -> NotReceived {
        if self.length > self.most {
            return self.too_large();
        }
        NotReceived::Refused(Status::deadline_exceeded(format!(
            "message: {} of {} bytes came within {} ms",
            self.message.len(),
            self.length,
            patience.as_millis()
        )))
    }

    fn too_large(&mut self) -> NotReceived {
        NotReceived::TooLarge {
            size: self.length,
            begins: std::mem::take(&mut self.message),
        }
    }

    fn end(mut self) -> Result<Bytes, NotReceived> {
        if self.length > self.most {
            return Err(self.too_large());
        }
        if self.heads == 0 {
            return Err(status::bad("message", "is missing").into());
        }
        if self.heads < HEAD_BYTES || self.message.len() < self.length {
            let (came, length) = (self.message.len(), self.length);
            let what = format_args!("ended after {came} of {length} bytes");
            return Err(status::bad("message", what).into());
        }
        Ok(self.message.into())
    }
}

/// The messages of a stream, taken from its frames one by one.
#[derive(Debug)]
pub(super) struct Parts {
    most: usize,
    /// As they came; what is more than one message is left for later.
    bytes: BytesMut,
}

impl Parts {
    pub(super) fn of_at_most(most: usize) -> Self {
        Self {
            most,
            bytes: BytesMut::new(),
        }
    }

    /// No message has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        // One frame at a time comes here, and only when no message is whole: what is
        // held is less than a message and a frame.
        self.bytes.extend_from_slice(&bytes);
    }

    /// The next message, if all of it is there.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((head, _)) = self.bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [compressed, length @ ..] = *head;
        if compressed != 0 {
            return Err(status::compressed());
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.most {
            let limit = self.most;
            return Err(status::bad(
                "message",
                format_args!("{length} bytes, limit {limit}"),
            ));
        }
        if self.bytes.len() - HEAD_BYTES < length {
            return Ok(None);
        }
        self.bytes.advance(HEAD_BYTES);
        let message = self.bytes.split_to(length);
        if self.bytes.is_empty() {
            // Whatever the buffer has grown to is not kept while nothing comes.
            self.bytes = BytesMut::new();
        }
        Ok(Some(message.freeze()))
    }

    /// Nothing more will come.
    pub(super) fn end(&self) -> Result<(), Status> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let came = self.bytes.len();
        Err(status::bad(
            "message",
            format_args!("ended after {came} bytes, before its own end"),
        ))
    }
}

/// The message of a request, or what is wrong with it.
pub(super) fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| status::bad("message", error))
}

/// A reply as it stands on the wire. Fails when `room` does not have the bytes.
pub(super) fn encode<M: Message>(
    message: &M,
    room: impl FnOnce(u64) -> Result<(), Status>,
) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    room(length as u64)?;
    let wire = u32::try_from(length)
        .map_err(|_| Status::internal(format!("a reply of {length} bytes cannot be sent")))?;
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(wire);
    message
        .encode(&mut bytes)
        .map_err(|error| Status::internal(format!("a reply cannot be sent: {error}")))?;
    Ok(bytes.freeze())
}
