//! Chance, as an argument: jitter and early refresh draw from here.

/// Where random numbers come from.
#[derive(Clone, Copy, Debug)]
pub enum Entropy {
    /// A generator per thread, seeded by the system.
    Thread,
    /// Always this number in `[0, 1)`, so that tests are exact.
    Fixed(f64),
}

impl Entropy {
    /// A number in `[0, 1)`.
    pub(crate) fn unit(self) -> f64 {
        match self {
            Self::Thread => fastrand::f64(),
            Self::Fixed(unit) => unit,
        }
    }
}

/// A number that no other process is likely to draw, never zero.
pub(crate) fn nonce() -> u64 {
    fastrand::u64(1..)
}
