//! The thread that writes lines to stderr, and the bounded queue before it.
//!
//! Whoever reads stderr may stop reading (a stuck collector, a paused terminal, a disk
//! that is full), and then a write waits for as long as that lasts. It must not be a
//! worker that waits.
//!
//! ```text
//!  any thread ── push ──► queue, bounded ──► thread millpond-log ──► stderr
//!            never waits; full: dropped and counted
//! ```
//!
//! Once a line was dropped, all are until the queue is empty. Then one line says how
//! many they were, where they would have stood: what is written is in the order in
//! which it was pushed.
//!
//! Cost of a line: a short lock, and a wake-up if the thread sleeps.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Lines that may wait.
pub(super) const MAX_LINES: usize = 1_024;
/// Bytes of lines that may wait.
pub(super) const MAX_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Queue>,
    pushed: Condvar,
    settled: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    lines: VecDeque<String>,
    /// Of those lines.
    bytes: usize,
    /// Lines and notices that were ever put into the queue.
    accepted: u64,
    /// Of these, what was written or could not be.
    settled: u64,
    /// Lines dropped since the last notice.
    untold: u64,
    /// Whether a flush ended without its lines, and nothing was settled since.
    stalled: bool,
}

/// What is written next.
enum Next {
    Line(String),
    /// That so many lines were dropped here.
    Notice(u64),
}

impl Queue {
    fn next(&mut self) -> Option<Next> {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            return Some(Next::Line(line));
        }
        let dropped = std::mem::take(&mut self.untold);
        (dropped > 0).then(|| {
            self.accepted += 1;
            Next::Notice(dropped)
        })
    }
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                lines: VecDeque::new(),
                bytes: 0,
                accepted: 0,
                settled: 0,
                untold: 0,
                stalled: false,
            }),
            pushed: Condvar::new(),
            settled: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes a line, with its end, or drops it. Does not wait for stderr.
    pub(super) fn push(&self, line: String) {
        let mut queue = self.queue.lock();
        let full = queue.lines.len() >= MAX_LINES || queue.bytes + line.len() > MAX_BYTES;
        if full || queue.untold > 0 {
            queue.untold += 1;
            self.drop_one();
        } else {
            queue.bytes += line.len();
            queue.accepted += 1;
            queue.lines.push_back(line);
        }
        drop(queue);
        self.pushed.notify_one();
    }

    /// Waits until everything pushed so far, and how much of it was dropped, is
    /// written, but no longer than `patience`. False when that was not enough.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut queue = self.queue.lock();
        // While lines are dropped, what the queue takes next is the notice of it.
        let all = queue.accepted + u64::from(queue.untold > 0);
        let unsettled = |queue: &mut Queue| queue.settled < all;
        self.settled.wait_while_for(&mut queue, unsettled, patience);
        queue.stalled = queue.settled < all;
        !queue.stalled
    }

    /// Whether the last flush was in vain, and nothing was written since.
    pub(super) fn stalled(&self) -> bool {
        self.queue.lock().stalled
    }

    /// Lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self) {
        // Relaxed: a count, which orders nothing.
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what is pushed, each line by one call of `write`, for ever.
    pub(super) fn run(
        &self,
        notice: impl Fn(u64) -> String,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> ! {
        let mut queue = self.queue.lock();
        loop {
            let Some(next) = queue.next() else {
                self.pushed.wait(&mut queue);
                continue;
            };
            MutexGuard::unlocked(&mut queue, || {
                let line = match next {
                    Next::Line(line) => line,
                    Next::Notice(dropped) => notice(dropped),
                };
                if write(line.as_bytes()).is_err() {
                    self.drop_one();
                }
            });
            queue.settled += 1;
            queue.stalled = false;
            self.settled.notify_all();
        }
    }
}

/// Writes all of it to stderr, however long that takes; also to one that another
/// process made non-blocking.
pub(super) fn to_stderr(mut bytes: &[u8]) -> io::Result<()> {
    // Not through its lock: a write that waits would hold it.
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(&stderr, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
