//! Values that can be checked: whose they are, which load brought them, and when.
//!
//! ```text
//!  0        8         16        24        32
//!  | key    | load    | began   | ended   | the key's low byte, to the end
//! ```
//! Times are nanoseconds of the run's own stopwatch.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// The shortest value that holds a stamp.
pub const MIN_VALUE_BYTES: usize = 32;

/// Bytes of a key of the load.
pub const KEY_BYTES: usize = 16;

/// What a value says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The number of its key.
    pub key: u64,
    /// The load that brought it, counted from 1.
    pub load: u64,
    /// When that load began, in time since the run's start.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
}

impl Stamp {
    /// A value of `length` bytes, at least [`MIN_VALUE_BYTES`].
    #[must_use]
    pub fn encode(self, length: usize) -> Bytes {
        let length = length.max(MIN_VALUE_BYTES);
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_u64(self.key);
        bytes.put_u64(self.load);
        bytes.put_u64(nanos(self.began));
        bytes.put_u64(nanos(self.ended));
        bytes.put_bytes(padding(self.key), length - MIN_VALUE_BYTES);
        bytes.freeze()
    }

    /// What `value` says, if it is whole, `length` bytes long and of `key`.
    #[must_use]
    pub fn decode(key: u64, length: usize, value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<8>();
        let &[of, load, began, ended, ..] = words else {
            return None;
        };
        let [of, load, began, ended] = [of, load, began, ended].map(u64::from_be_bytes);
        let padded = value[MIN_VALUE_BYTES..]
            .iter()
            .chain(rest)
            .all(|&byte| byte == padding(key));
        let whole = value.len() == length.max(MIN_VALUE_BYTES) && of == key && padded;
        (whole && load > 0 && began <= ended).then_some(Self {
            key,
            load,
            began: Duration::from_nanos(began),
            ended: Duration::from_nanos(ended),
        })
    }

    /// How much of the time from `from` to `to` its load was under way.
    #[must_use]
    pub fn overlap(&self, from: Duration, to: Duration) -> Duration {
        self.ended.min(to).saturating_sub(self.began.max(from))
    }
}

/// The key of a number: the same length for each, so that all entries weigh the same.
#[must_use]
pub fn key_of(number: u64) -> [u8; KEY_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(number >> (60 - 4 * place) & 0xF) as usize])
}

fn padding(key: u64) -> u8 {
    key.to_le_bytes()[0]
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        key: 0x1234,
        load: 7,
        began: Duration::from_micros(10),
        ended: Duration::from_micros(30),
    };

    #[test]
    fn a_value_is_known_by_its_key_and_anything_else_is_wrong() {
        for length in [MIN_VALUE_BYTES, 100, 128] {
            let value = STAMP.encode(length);
            assert_eq!(value.len(), length);
            assert_eq!(Stamp::decode(0x1234, length, &value), Some(STAMP));
            assert_eq!(Stamp::decode(0x1235, length, &value), None);
            assert_eq!(Stamp::decode(0x1234, length + 1, &value), None);
            let mut torn = value.to_vec();
            if length > MIN_VALUE_BYTES {
                torn[length - 1] ^= 1;
                assert_eq!(Stamp::decode(0x1234, length, &torn), None);
            }
        }
        assert_eq!(Stamp::decode(0, 32, b"short"), None);
    }

    #[test]
    fn only_the_load_s_share_of_a_wait_is_the_origin_s() {
        let micros = Duration::from_micros;
        assert_eq!(STAMP.overlap(micros(0), micros(100)), micros(20));
        assert_eq!(STAMP.overlap(micros(20), micros(25)), micros(5));
        assert_eq!(STAMP.overlap(micros(40), micros(50)), Duration::ZERO);
    }

    #[test]
    fn keys_are_told_apart_and_equally_long() {
        assert_eq!(&key_of(0xAB), b"00000000000000ab");
        assert_eq!(&key_of(u64::MAX), b"ffffffffffffffff");
    }
}
