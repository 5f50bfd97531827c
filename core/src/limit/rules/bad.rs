//! What is wrong with rules.

use std::fmt;

use super::Domain;

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRule {
    /// Where it stands, such as `edge.tenant.path_/login`; empty: all of them.
    pub path: String,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// There is another one of the same key and value, or another domain of the name.
    Twice,
    /// It limits nothing and has nothing below it.
    Idle,
    /// Neither an entry of this key nor the domain names a tenant.
    NoTenant(String),
    /// Only a quota of a rule's own can be overdrawn.
    Overdraw,
    /// More than [`Domain::MAX_RULES`].
    TooMany(usize),
    /// Empty, or longer than [`Domain::MAX_TEXT`].
    Text {
        /// Which.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice => f.write_str("is given twice"),
            Self::Idle => f.write_str("limits nothing and has no rules below it"),
            Self::NoTenant(key) => write!(
                f,
                "whose limit it is nobody says: no entry `{key}` on the way, and no tenant of the domain"
            ),
            Self::Overdraw => f.write_str("overdraw is for a quota of the rule's own"),
            Self::TooMany(count) => {
                write!(f, "{count} rules: expected at most {}", Domain::MAX_RULES)
            }
            Self::Text { what, bytes } => write!(
                f,
                "a {what} of {bytes} bytes: expected 1 to {}",
                Domain::MAX_TEXT
            ),
        }
    }
}

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            self.why.fmt(f)
        } else {
            write!(f, "{}: {}", self.path, self.why)
        }
    }
}

impl std::error::Error for BadRule {}
