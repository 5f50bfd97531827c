//! Keys and values as bytes: from the command line, from files, onto stdout.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;

use super::exit::Failure;

/// An argument as it is, or the bytes that it spells in hexadecimal.
pub(crate) fn argument(name: &str, text: OsString, hex: bool) -> Result<Vec<u8>, Failure> {
    let text = text.into_vec();
    if !hex {
        return Ok(text);
    }
    from_hex(&text).ok_or_else(|| {
        let found = String::from_utf8_lossy(&text);
        Failure::usage(format_args!(
            "{name}: {found:?}, expected pairs of hexadecimal digits"
        ))
    })
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let pairs = pairs.iter();
    pairs
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Writes them to stdout as they are. Whoever closes a pipe has read enough.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::from(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_comes_in_pairs_of_digits() {
        assert_eq!(from_hex(b"00fFa0"), Some(vec![0, 255, 160]));
        assert_eq!(from_hex(b""), Some(Vec::new()));
        for text in ["0", "0g", "+1", "0x00"] {
            assert_eq!(from_hex(text.as_bytes()), None, "{text}");
        }
        assert_eq!(hex(&[0, 255, 160]), "00ffa0");
    }
}
