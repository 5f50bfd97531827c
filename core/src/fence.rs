//! What every borrowed right shares: an identity, and a settlement.
//!
//! A right (to load a key, to spend tokens, to send a probe) names what it was
//! granted under: the [`Boot`] of the process and a [`Token`] that only grows.
//! Settling under anything else does nothing, so a holder that slept, a process
//! that restarted or a command that arrives late cannot touch another's right
//! (fencing tokens: Kleppmann, "How to do distributed locking", 2016).
//!
//! [`Held`] settles exactly once: by hand, or by giving back when it is dropped,
//! which covers cancellation and panic alike.

use std::fmt;

use crate::entropy;
use crate::sync::{AtomicU64, Ordering};

/// One run of one process. Random, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Boot(u64);

impl Boot {
    pub(crate) fn random() -> Self {
        Self(entropy::nonce())
    }

    /// As it stands on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the wire; any number, most of which name no process.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The identity of one grant within a boot. Later grants have larger tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// As it stands on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the wire; a token that was never issued settles nothing.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Issues tokens that only grow.
#[derive(Debug)]
pub(crate) struct Tokens(AtomicU64);

impl Tokens {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    pub(crate) fn issue(&self) -> Token {
        // Relaxed: only uniqueness and growth matter, and the right itself is
        // recorded under a lock.
        Token(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A right that can be given back.
pub trait GiveBack {
    /// Gives the right back unused. Runs from `drop`, so it must not panic.
    fn give_back(&mut self);
}

/// A right in somebody's hands. Dropping it gives it back.
#[must_use = "dropping a held right gives it back"]
pub struct Held<R: GiveBack> {
    right: Option<R>,
}

impl<R: GiveBack> Held<R> {
    /// Takes hold of a right that was just granted.
    #[inline]
    pub fn new(right: R) -> Self {
        Self { right: Some(right) }
    }

    /// Lets go without giving back: the caller settles it, or its deadline does.
    #[inline]
    pub fn release(mut self) -> R {
        self.right
            .take()
            .expect("a right is taken only by release, which consumes its holder")
    }

    /// The right, to be changed while it is held.
    #[must_use]
    pub fn right_mut(&mut self) -> &mut R {
        self.right
            .as_mut()
            .expect("a right is taken only by release, which consumes its holder")
    }

    /// The right.
    #[must_use]
    pub fn right(&self) -> &R {
        self.right
            .as_ref()
            .expect("a right is taken only by release, which consumes its holder")
    }
}

impl<R: GiveBack> Drop for Held<R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut right) = self.right.take() {
            right.give_back();
        }
    }
}

impl<R: GiveBack + fmt::Debug> fmt::Debug for Held<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.right).finish()
    }
}
