//! A thread that ends reservations whose time is over, forgets retries that are old,
//! drops buckets of keys that are full again, and collects what was counted when a window
//! of 10 s is over.
//!
//! While nothing is remembered it looks once a second whether that is still so; else
//! it sweeps ten times a second. What it comes late for stays spent meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::limiter::Limiter;

/// How often ledgers are swept while there are any.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// How often it is asked whether there are any.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often full buckets of keys are dropped.
const KEYS_EVERY: Duration = Duration::from_secs(10);

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Sweeper {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts sweeping.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(limiter: &Arc<Limiter>) -> std::io::Result<Self> {
        let limiter = Arc::downgrade(limiter);
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("millpond-limits".to_owned())
            .spawn(move || {
                let (mut wait, mut since_keys) = (LOOK_EVERY, Duration::ZERO);
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                    let Some(limiter) = limiter.upgrade() else {
                        break;
                    };
                    limiter.roll();
                    since_keys += wait;
                    wait = if limiter.sweep() {
                        SWEEP_EVERY
                    } else {
                        LOOK_EVERY
                    };
                    if since_keys >= KEYS_EVERY {
                        since_keys = Duration::ZERO;
                        limiter.sweep_keys();
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked with anything of ours half done; there is
            // nobody to tell.
            drop(thread.join());
        }
    }
}
