//! Names that come from outside, checked once.
//!
//! A [`TenantId`] is `[A-Za-z0-9._-]{1,128}`, a [`CacheName`] `[a-z0-9._-]{1,64}`.
//! Whoever holds one need not check again. Errors name the field, the limit and
//! what was found, and never repeat the bytes (they may be a secret).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A field from outside that is not of its form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadField {
    /// Nothing there.
    Empty {
        /// The field.
        field: &'static str,
    },
    /// More than the limit.
    TooLong {
        /// The field.
        field: &'static str,
        /// The most it may be, in `unit`.
        limit: usize,
        /// What it was.
        size: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// A byte outside its alphabet.
    Alphabet {
        /// The field.
        field: &'static str,
        /// The bytes it may have.
        allowed: &'static str,
        /// Where the first other byte stands, from 0.
        at: usize,
    },
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { field } => write!(f, "{field}: is empty, needs at least 1 byte"),
            Self::TooLong {
                field,
                limit,
                size,
                unit,
            } => {
                write!(f, "{field}: {size} {unit}, limit {limit}")
            }
            Self::Alphabet { field, allowed, at } => {
                write!(f, "{field}: byte {at} is outside {allowed}")
            }
        }
    }
}

impl std::error::Error for BadField {}

/// Requires `1..=limit` bytes.
pub(crate) fn sized(field: &'static str, size: usize, limit: usize) -> Result<(), BadField> {
    if size == 0 {
        return Err(BadField::Empty { field });
    }
    at_most(field, size, limit, "bytes")
}

/// Requires at most `limit`.
pub(crate) fn at_most(
    field: &'static str,
    size: usize,
    limit: usize,
    unit: &'static str,
) -> Result<(), BadField> {
    if size > limit {
        return Err(BadField::TooLong {
            field,
            limit,
            size,
            unit,
        });
    }
    Ok(())
}

/// Requires `1..=limit` bytes of an alphabet.
pub(crate) fn spelled(
    field: &'static str,
    text: &str,
    limit: usize,
    allowed: &'static str,
    fits: impl Fn(u8) -> bool,
) -> Result<(), BadField> {
    sized(field, text.len(), limit)?;
    match text.bytes().position(|byte| !fits(byte)) {
        Some(at) => Err(BadField::Alphabet { field, allowed, at }),
        None => Ok(()),
    }
}

pub(crate) fn in_any_name(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
}

/// A tenant's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, longer than [`Self::MAX_LEN`] or has a byte outside
    /// `[A-Za-z0-9._-]`.
    pub fn parse(name: &str) -> Result<Self, BadField> {
        Self::check(name)?;
        Ok(Self(Arc::from(name)))
    }

    /// Checks a name without keeping it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn check(name: &str) -> Result<(), BadField> {
        spelled("tenant", name, Self::MAX_LEN, "[A-Za-z0-9._-]", |byte| {
            byte.is_ascii_alphabetic() || in_any_name(byte)
        })
    }

    /// What many tenants share that have nothing of their own. No tenant's name.
    pub(crate) fn others() -> Self {
        Self(Arc::from(Self::OTHERS))
    }

    /// See [`Self::others`].
    pub(crate) const OTHERS: &str = "*";

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Maps by tenant are asked by the name as it came.
impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cache's name within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheName(Arc<str>);

impl CacheName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, longer than [`Self::MAX_LEN`] or has a byte outside
    /// `[a-z0-9._-]`.
    pub fn parse(name: &str) -> Result<Self, BadField> {
        spelled("cache", name, Self::MAX_LEN, "[a-z0-9._-]", |byte| {
            byte.is_ascii_lowercase() || in_any_name(byte)
        })?;
        Ok(Self(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_alphabet_and_length() {
        assert!(TenantId::parse("Acme.eu-1_x").is_ok());
        assert!(CacheName::parse("users.v2").is_ok());
        assert_eq!(
            TenantId::parse(""),
            Err(BadField::Empty { field: "tenant" })
        );
        assert_eq!(
            CacheName::parse("Users").map_err(|error| error.to_string()),
            Err("cache: byte 0 is outside [a-z0-9._-]".to_owned())
        );
        assert!(TenantId::parse("a b").is_err());
        assert!(TenantId::parse("ünder").is_err());
        assert!(TenantId::parse(&"t".repeat(128)).is_ok());
        assert_eq!(
            TenantId::parse(&"t".repeat(129)).map_err(|error| error.to_string()),
            Err("tenant: 129 bytes, limit 128".to_owned())
        );
        assert!(CacheName::parse(&"c".repeat(65)).is_err());
    }
}
