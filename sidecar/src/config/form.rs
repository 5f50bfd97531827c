//! Forms: what a value may look like. Each reads its values from text, says what it
//! expects, shows a value as one would write it, and describes itself to JSON Schema.
//!
//! Values come as text from a file, a flag or the environment alike. What YAML would
//! make of an unquoted word (`on`, `off`, `0`) never matters.

use std::fmt;

use serde_json::Value as Json;

mod address;
mod number;
mod rate;
mod size;
mod socket;
mod tenancy;
mod time;
mod word;

pub(crate) use address::{Address, Endpoint};
pub(crate) use number::{Count, Ratio};
pub(crate) use rate::Rate;
pub use rate::rate_as_written;
pub(crate) use size::{Amount, Size};
pub(crate) use socket::SocketPath;
pub(crate) use tenancy::{Maybe, Moment, OrNone, StateName, Switch, Tier};
pub(crate) use time::{Time, shown};
pub use time::{time, time_as_written};
pub(crate) use word::{Filter, Word};

/// Why a text is not of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is not; there is no more to say.
    Form,
    /// Continues `found "…"`.
    Because(&'static str),
    /// The same of a text that may carry a secret, and is not repeated.
    Hidden(&'static str),
}

/// What a value may look like.
pub(crate) trait Form {
    /// What its texts mean.
    type Value;

    /// What a text means.
    fn read(&self, text: &str) -> Result<Self::Value, Wrong>;

    /// What is expected, as a noun phrase with an example.
    fn expected(&self) -> String;

    /// The value as one would write it.
    fn show(&self, value: &Self::Value) -> String;

    /// The JSON Schema of what [`Self::read`] takes, as YAML or JSON carries it.
    fn schema(&self) -> Json;
}

/// Where a value of some form belongs in a `T`.
pub(crate) struct Slot<F: Form, T> {
    pub(crate) form: F,
    pub(crate) of: fn(&mut T) -> &mut F::Value,
}

/// A [`Slot`] whatever its form.
pub(crate) trait AnySlot<T>: Send + Sync {
    fn put(&self, text: &str, into: &mut T) -> Result<(), Wrong>;
    fn expected(&self) -> String;
    fn show(&self, of: &mut T) -> String;
    fn schema(&self) -> Json;
}

impl<F: Form + Send + Sync, T> AnySlot<T> for Slot<F, T> {
    fn put(&self, text: &str, into: &mut T) -> Result<(), Wrong> {
        *(self.of)(into) = self.form.read(text.trim())?;
        Ok(())
    }

    fn expected(&self) -> String {
        self.form.expected()
    }

    fn show(&self, of: &mut T) -> String {
        self.form.show((self.of)(of))
    }

    fn schema(&self) -> Json {
        self.form.schema()
    }
}

impl<T> fmt::Debug for dyn AnySlot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expected())
    }
}

/// A whole number as YAML or JSON carries it. Tools that hold numbers as floating
/// point write large ones with an exponent (`2.68435456e+08`).
pub(crate) fn whole(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (digits, exponent) = text.split_once(['e', 'E'])?;
    let exponent: usize = exponent.trim_start_matches('+').parse().ok()?;
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let after = after.trim_end_matches('0');
    let zeros = exponent
        .checked_sub(after.len())
        .filter(|_| exponent < 20)?;
    let all = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if before.is_empty() || !all(before) || !all(after) {
        return None;
    }
    format!("{before}{after}{}", "0".repeat(zeros)).parse().ok()
}

#[cfg(test)]
mod tests;
