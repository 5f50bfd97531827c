//! Versions: the order in which loads begin and writes take effect.
//!
//! A version is `max(wall clock in µs, last + 1)`, below 2^53, so that it grows
//! within a process whatever the wall clock does. Without a shared store it
//! orders nothing outside the process that issued it, which is why a
//! [`Position`] on the wire carries the boot beside it.

use std::fmt;

use crate::clock::Clock;
use crate::fence::Boot;
use crate::sync::{AtomicU64, Ordering};

/// The largest version: one that no version issued here ever reaches.
const CEILING: u64 = 1 << 53;

/// A place in the pod's order of loads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Before every version that is issued.
    pub const NONE: Self = Self(0);
    /// After every version that is issued: what it covers is gone for good.
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// The number, for stores and reports.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A version read back from a store or a caller.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Issues versions.
#[derive(Debug)]
pub(crate) struct Versions {
    last: AtomicU64,
}

impl Versions {
    pub(crate) fn starting_at(wall_micros: u64) -> Self {
        Self {
            last: AtomicU64::new(wall_micros.clamp(1, CEILING)),
        }
    }

    /// The next version, larger than every one issued before it.
    ///
    /// AcqRel: whoever draws a later version sees everything its predecessors
    /// published before they drew. Barriers rely on it for `settle`.
    pub(crate) fn next(&self, clock: &Clock) -> Version {
        let wall = clock.wall_micros().min(CEILING);
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = wall.max(last + 1);
            match self
                .last
                .compare_exchange_weak(last, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Version(next),
                Err(seen) => last = seen,
            }
        }
    }

    /// Takes note of a version from elsewhere: every later one here is larger.
    /// `false` when it is none that anybody could have issued.
    pub(crate) fn observe(&self, version: Version) -> bool {
        if version.0 >= CEILING {
            return false;
        }
        self.last.fetch_max(version.0, Ordering::AcqRel);
        true
    }

    /// The latest version issued.
    pub(crate) fn latest(&self) -> Version {
        Version(self.last.load(Ordering::Acquire))
    }
}

/// A version with the process that issued it: the opaque bytes of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The process that issued it.
    pub boot: Boot,
    /// The version.
    pub version: Version,
}

impl Position {
    /// The length of the encoded form in bytes.
    pub const LEN: usize = 16;

    /// The encoded form: boot, then version, both big-endian.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.boot.to_bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.version.get().to_be_bytes());
        bytes
    }

    /// Reads the encoded form; `None` when it is not one of ours.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (boot, version) = bytes.split_first_chunk::<8>()?;
        let version: &[u8; 8] = version.try_into().ok()?;
        Some(Self {
            boot: Boot::from_bits(u64::from_be_bytes(*boot)),
            version: Version(u64::from_be_bytes(*version)),
        })
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_version_grows_while_the_wall_clock_stands_still() {
        let clock = Clock::Manual(ManualClock::default());
        let versions = Versions::starting_at(7);
        let drawn: Vec<u64> = (0..3).map(|_| versions.next(&clock).get()).collect();
        assert_eq!(drawn, [8, 9, 10]);
    }

    #[test]
    fn a_position_survives_the_wire_and_nothing_else_decodes() {
        let position = Position {
            boot: Boot::from_bits(9),
            version: Version(77),
        };
        assert_eq!(Position::decode(&position.encode()), Some(position));
        assert_eq!(Position::decode(&[0; 15]), None);
        assert_eq!(Position::decode(&[0; 17]), None);
    }
}
