//! A stream that notices when its peer has begun to speak HTTP/2, and when it does
//! not read.
//!
//! Keep-alive watches a connection only after the preface. Without this, a peer
//! that connects and says nothing would hold its place for ever, and one that sends
//! and never reads would hold what we have to tell it.
//!
//! Cost: one addition a read; a timer only while the socket takes nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::authority::Rewriter;

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
    rewriter: Rewriter,
    /// How long the socket may take nothing.
    patience: Duration,
    /// Runs while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Greeting<T> {
    pub(crate) fn new(stream: T, rewriter: Rewriter, patience: Duration) -> (Self, Heard) {
        let heard = Heard::default();
        let listening = heard.clone();
        let greeting = Self {
            stream,
            heard,
            rewriter,
            patience,
            stalled: None,
        };
        (greeting, listening)
    }

    /// What became of writing; an error once the peer has read nothing for too long.
    fn paced<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
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
        let new = &mut buffer.filled_mut()[before..];
        this.heard.0.fetch_add(new.len(), Ordering::Relaxed);
        this.rewriter.pass(new);
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Greeting<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, written)
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.paced(context, written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_fails_the_write_and_a_slow_one_does_not() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let (mut ours, _heard) = Greeting::new(ours, Rewriter::off(), PATIENCE);
        let slow = tokio::spawn(async move {
            for _ in 0..4 {
                sleep(PATIENCE * 9 / 10).await;
                theirs.read_exact(&mut [0; 8]).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[0; 8 * 5]).await.unwrap();
        let _reads_no_more = slow.await.unwrap();
        let stalled = ours.write_all(&[0; 8]).await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }
}
