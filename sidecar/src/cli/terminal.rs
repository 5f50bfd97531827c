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

/// What comes from elsewhere, for a line of a terminal: nothing in it may steer one.
pub(crate) fn printable(text: &str) -> String {
    let letter = |letter: char| if steers(letter) { '·' } else { letter };
    text.chars().map(letter).collect()
}

/// The same of bytes that may have several lines, and of which nothing is to be lost:
/// what may not be sent is spelt out.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bytes.escape_ascii().to_string();
    };
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if steers(letter) && !matches!(letter, '\n' | '\t') {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Whether a terminal obeys it instead of showing it: commands, and marks that turn the
/// direction of the letters around it, so that a name looks like another.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_not_sent_to_one() {
        assert_eq!(
            escaped("Ada \u{1f600}\tx\ny".as_bytes()),
            "Ada \u{1f600}\tx\ny"
        );
        assert_eq!(escaped(b"\x1b[2J\r"), "\\u{1b}[2J\\r");
        assert_eq!(escaped(&[0xff, b'a', 0x1b]), "\\xffa\\x1b");
        assert_eq!(printable("a\nb\x1b[2J"), "a·b·[2J");
    }

    #[test]
    fn what_turns_the_direction_of_letters_is_not_sent_either() {
        assert_eq!(
            escaped("user\u{202e}nimda".as_bytes()),
            "user\\u{202e}nimda"
        );
        for mark in ['\u{200f}', '\u{202a}', '\u{2069}'] {
            assert_eq!(printable(&format!("a{mark}b")), "a·b");
        }
    }
}
