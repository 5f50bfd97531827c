//! Recorded accesses, read from the files that caches are usually compared with.
//!
//! Compression (xz, gzip, none) is told by the file's first bytes and the format by
//! what is inside, because the names in circulation tell neither reliably.

use std::{
    collections::HashSet,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A sequence of accesses; each is the key that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The file's name up to its first dot.
    pub name: String,
    /// The keys, in the order of their accesses.
    pub accesses: Vec<u64>,
}

/// Why a trace could not be read. Every message names the file.
#[derive(Debug)]
pub enum TraceError {
    /// The file could not be opened or read.
    Read(PathBuf, io::Error),
    /// The file starts like xz or gzip but does not decode.
    Decompress(PathBuf, Compression, io::Error),
    /// Binary, but not a whole number of 4-byte integers; holds the length in bytes.
    Truncated(PathBuf, usize),
    /// Not one access in it.
    Empty(PathBuf),
}

/// How a trace file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The .xz container.
    Xz,
    /// Gzip, one member or several.
    Gzip,
    /// Not at all.
    None,
}

impl Trace {
    /// Reads a trace file: xz, gzip or plain; 4-byte big-endian integers, or one
    /// decimal number a line, where lines that are no number are skipped.
    ///
    /// # Errors
    /// The file is unreadable, does not decompress, is cut short, or holds no access.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        let path = path.as_ref();
        let raw = fs::read(path).map_err(|error| TraceError::Read(path.into(), error))?;
        let bytes = decompress(&raw)
            .map_err(|(how, error)| TraceError::Decompress(path.into(), how, error))?;
        let accesses = if is_text(&bytes) {
            decimal_lines(&bytes)
        } else {
            big_endian_words(&bytes)
                .ok_or_else(|| TraceError::Truncated(path.into(), bytes.len()))?
        };
        if accesses.is_empty() {
            return Err(TraceError::Empty(path.into()));
        }
        Ok(Self {
            name: name_of(path),
            accesses,
        })
    }

    /// The number of different keys.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.accesses.iter().collect::<HashSet<_>>().len()
    }
}

impl Compression {
    fn of(raw: &[u8]) -> Self {
        const XZ: &[u8] = &[0xFD, b'7', b'z', b'X', b'Z', 0x00];
        const GZIP: &[u8] = &[0x1F, 0x8B];
        match raw {
            raw if raw.starts_with(XZ) => Self::Xz,
            raw if raw.starts_with(GZIP) => Self::Gzip,
            _ => Self::None,
        }
    }
}

fn decompress(raw: &[u8]) -> Result<Vec<u8>, (Compression, io::Error)> {
    let mut bytes = Vec::new();
    let compression = Compression::of(raw);
    match compression {
        Compression::Xz => lzma_rust2::XzReader::new(raw, true).read_to_end(&mut bytes),
        Compression::Gzip => flate2::read::MultiGzDecoder::new(raw).read_to_end(&mut bytes),
        Compression::None => {
            bytes.extend_from_slice(raw);
            Ok(bytes.len())
        }
    }
    .map_err(|error| (compression, error))?;
    Ok(bytes)
}

/// Binary keys below 2^24 have a zero byte in every word, so the start is enough.
fn is_text(bytes: &[u8]) -> bool {
    const SAMPLE: usize = 4096;
    bytes
        .iter()
        .take(SAMPLE)
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

fn decimal_lines(bytes: &[u8]) -> Vec<u64> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| str::from_utf8(line).ok()?.trim().parse().ok())
        .collect()
}

fn big_endian_words(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| {
        words
            .iter()
            .map(|word| u64::from(u32::from_be_bytes(*word)))
            .collect()
    })
}

fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().to_owned()
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::None => "no compression",
        })
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "trace {}: {error}", path.display()),
            Self::Decompress(path, how, error) => {
                write!(f, "trace {}: not valid {how}: {error}", path.display())
            }
            Self::Truncated(path, length) => write!(
                f,
                "trace {}: {length} bytes of binary, expected whole 4-byte integers or decimal lines",
                path.display()
            ),
            Self::Empty(path) => write!(f, "trace {}: no access in it", path.display()),
        }
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) | Self::Decompress(_, _, error) => Some(error),
            Self::Truncated(..) | Self::Empty(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(file: &str) -> Trace {
        Trace::open(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("traces")
                .join(file),
        )
        .unwrap()
    }

    /// A file of its own for each test, gone when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn with(name: &str, bytes: &[u8]) -> Self {
            let file = format!("millpond-trace-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(file);
            fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn xz_traces_of_binary_words_are_read_whole() {
        let trace = shipped("orm-busy.trace.xz");
        assert_eq!(trace.name, "orm-busy");
        assert_eq!(
            (trace.accesses.len(), trace.distinct()),
            (5_000_000, 76_349)
        );
    }

    #[test]
    fn gzip_traces_of_decimal_lines_are_read_whole() {
        let trace = shipped("multi3.trace.gz");
        assert_eq!(trace.name, "multi3");
        assert_eq!((trace.accesses.len(), trace.distinct()), (30_241, 7_454));
    }

    #[test]
    fn lines_that_are_no_number_are_skipped() {
        let file = Scratch::with("lines.txt", b"# head\n1\r\n\n 2\n-3\nx4\n2");
        assert_eq!(Trace::open(&file.0).unwrap().accesses, [1, 2, 2]);
    }

    #[test]
    fn words_are_big_endian() {
        let file = Scratch::with("words", &[0, 0, 1, 0, 0, 0, 0, 7]);
        assert_eq!(Trace::open(&file.0).unwrap().accesses, [256, 7]);
    }

    #[test]
    fn errors_name_the_file() {
        let cases: [(&str, &[u8], &str); 4] = [
            ("cut", &[0, 0, 0, 1, 0], "5 bytes of binary"),
            ("empty", b"none\n", "no access"),
            (
                "bad.xz",
                &[0xFD, b'7', b'z', b'X', b'Z', 0, 1],
                "not valid xz",
            ),
            ("bad.gz", &[0x1F, 0x8B, 9], "not valid gzip"),
        ];
        for (name, bytes, expected) in cases {
            let file = Scratch::with(name, bytes);
            let message = Trace::open(&file.0).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(name), "{message}");
        }
        let message = Trace::open("/no/such.trace").unwrap_err().to_string();
        assert!(message.contains("/no/such.trace"), "{message}");
    }
}
