//! Times: `250ms`, `30s`, `1h30m`, `0`.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Form, Wrong};

const UNITS: [(&str, Duration); 5] = [
    ("ms", Duration::from_millis(1)),
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3_600)),
    ("d", Duration::from_secs(86_400)),
];

/// A time within bounds.
pub(crate) struct Time {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl Form for Time {
    type Value = Duration;

    fn read(&self, text: &str) -> Result<Duration, Wrong> {
        let time = parse(text)?;
        if time < self.least {
            return Err(Wrong::Because("which is too short"));
        }
        if time > self.most {
            return Err(Wrong::Because("which is too long"));
        }
        Ok(time)
    }

    fn expected(&self) -> String {
        let least = if self.least.is_zero() {
            "or 0".to_owned()
        } else {
            format!("at least {}", shown(self.least))
        };
        let most = shown(self.most);
        format!("a time such as 250ms, 30s, 5m or 1h30m, {least}, at most {most}")
    }

    fn show(&self, time: &Duration) -> String {
        shown(*time)
    }

    fn schema(&self) -> Json {
        let written = json!({ "type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h|d))+)$" });
        if self.least.is_zero() {
            json!({ "anyOf": [written, { "const": 0 }] })
        } else {
            written
        }
    }
}

/// A time as the configuration writes it, `250ms`, `30s`, `1h30m` or `0`; nothing if
/// `text` is none, or is longer than a `Duration`.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    parse(text).ok()
}

/// As [`time`] reads it; what is below a millisecond is left out.
#[must_use]
pub fn time_as_written(time: Duration) -> String {
    shown(time)
}

pub(super) fn parse(text: &str) -> Result<Duration, Wrong> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (name, after) = after.split_at(letters);
        if number.is_empty() {
            return Err(Wrong::Form);
        }
        if name.is_empty() {
            return Err(if after.is_empty() {
                Wrong::Because("which has no unit")
            } else {
                Wrong::Form
            });
        }
        let unit = UNITS.iter().find(|(unit, _)| *unit == name);
        let (_, unit) = unit.ok_or(Wrong::Form)?;
        let number: u32 = number
            .parse()
            .map_err(|_| Wrong::Because("which is too long"))?;
        let part = unit.checked_mul(number);
        sum = part
            .and_then(|part| sum.checked_add(part))
            .ok_or(Wrong::Because("which is too long"))?;
        rest = after;
    }
    if text.is_empty() {
        Err(Wrong::Form)
    } else {
        Ok(sum)
    }
}

/// A time as one would write it: exact, in as few parts as there are.
pub(crate) fn shown(time: Duration) -> String {
    let mut left = time;
    let mut text = String::new();
    for (name, unit) in UNITS.iter().rev() {
        let number = left.as_millis() / unit.as_millis();
        if number > 0 {
            // Writing to a String does not fail.
            let _ = write!(text, "{number}{name}");
            left = Duration::from_millis(
                u64::try_from(left.as_millis() % unit.as_millis()).unwrap_or(u64::MAX),
            );
        }
    }
    if text.is_empty() {
        "0".to_owned()
    } else {
        text
    }
}
