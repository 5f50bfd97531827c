//! Names of tiers, limits and breakers, checked once: `[a-z0-9._-]{1,64}`.

use std::fmt;
use std::sync::Arc;

use crate::cache::BadField;
use crate::cache::name::{in_any_name, spelled};

const MAX_LEN: usize = 64;

fn check(field: &'static str, name: &str) -> Result<(), BadField> {
    spelled(field, name, MAX_LEN, "[a-z0-9._-]", |byte| {
        byte.is_ascii_lowercase() || in_any_name(byte)
    })
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($field:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest name, in bytes.
            pub const MAX_LEN: usize = MAX_LEN;

            /// Checks a name.
            ///
            /// # Errors
            /// When it is empty, longer than [`Self::MAX_LEN`] or has a byte outside
            /// `[a-z0-9._-]`.
            pub fn parse(name: &str) -> Result<Self, BadField> {
                Self::check(name)?;
                Ok(Self(Arc::from(name)))
            }

            /// Checks a name without keeping it.
            ///
            /// # Errors
            /// As [`Self::parse`].
            pub fn check(name: &str) -> Result<(), BadField> {
                check($field, name)
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A tier's name.
    TierName("tier");
    /// The name of a limit beside the tenant's own.
    LimitName("limit");
    /// The name of a breaker within its tenant: of what is called.
    BreakerName("breaker");
}
