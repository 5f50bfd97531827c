//! The thread that looks at the file.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Reloader;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at the file until it is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts looking; does nothing when there is no file.
    pub(crate) fn start(reloader: Reloader) -> io::Result<Self> {
        if reloader.0.source.file().is_none() {
            return Ok(Self {
                stop: None,
                thread: None,
            });
        }
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("millpond-config".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
                    reloader.look();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been told of already.
            drop(thread.join());
        }
    }
}
