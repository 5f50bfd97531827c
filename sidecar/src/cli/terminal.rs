//! The terminal that a command draws on, and the signals that end it there.
//!
//! A [`Terminal`] is the terminal's other screen, so that what was there before is
//! there again afterwards; on every way out, a signal and a panic among them,
//! dropping it gives the terminal back.

use std::io::{self, Write};

use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{SignalKind, signal};

const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const CLOSE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// Where a picture begins: it is drawn over the last one, so that nothing flickers.
pub(crate) const HOME: &str = "\x1b[H";
/// The rest of a line of the last picture.
pub(crate) const CLEAR_LINE: &str = "\x1b[K";
/// The lines that the last picture had more.
pub(crate) const CLEAR_BELOW: &str = "\x1b[J";

/// In characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Of the terminal that stdout is, if it is one that says so.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(Size {
        columns: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}

/// The terminal's other screen, while it lives.
#[derive(Debug)]
pub(crate) struct Terminal(());

impl Terminal {
    pub(crate) fn open() -> io::Result<Self> {
        print(OPEN).map(Self)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        drop(print(CLOSE));
    }
}

/// Writes all of it at once, so that nobody sees half a picture.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// What comes from elsewhere, for a terminal: nothing in it may steer one.
pub(crate) fn printable(text: &str) -> String {
    let letter = |letter: char| if letter.is_control() { '·' } else { letter };
    text.chars().map(letter).collect()
}

/// Waits for whatever ends a process politely; returns what a shell calls that.
pub(crate) async fn interrupted() -> Result<u8, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let kind = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hang_up.recv() => SignalKind::hangup(),
    };
    Ok(u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX))
}
