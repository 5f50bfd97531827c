//! A stream that notices when its peer has begun to speak HTTP/2.
//!
//! Keep-alive watches a connection only after the preface. Without this, a peer
//! that connects and says nothing would hold its place for ever.
//!
//! Cost: one addition a read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's preface (RFC 9113, section 3.4) and the header of the SETTINGS
/// frame that must follow it.
const GREETING_BYTES: usize = 24 + 9;

/// How much a peer has said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<AtomicUsize>);

impl Heard {
    // Relaxed: read once, seconds later.
    pub(crate) fn greeting(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= GREETING_BYTES
    }
}

#[derive(Debug)]
pub(crate) struct Greeting<T> {
    stream: T,
    heard: Heard,
}

impl<T> Greeting<T> {
    pub(crate) fn new(stream: T) -> (Self, Heard) {
        let heard = Heard::default();
        let listening = heard.clone();
        (Self { stream, heard }, listening)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Greeting<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let heard = buffer.filled().len() - before;
        this.heard.0.fetch_add(heard, Ordering::Relaxed);
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Greeting<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
