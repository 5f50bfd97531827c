//! What tiers and tenants are said with: names, states, dates, switches, and values
//! that need not be said.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond_core::tenant::{State, TierName};
use serde_json::{Value as Json, json};

use super::{Form, Wrong};

/// A value that holds when it is said.
pub(crate) struct Maybe<F>(pub(crate) F);

impl<F: Form> Form for Maybe<F> {
    type Value = Option<F::Value>;

    fn read(&self, text: &str) -> Result<Self::Value, Wrong> {
        self.0.read(text).map(Some)
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    /// Nothing when it is not said.
    fn show(&self, value: &Self::Value) -> String {
        value
            .as_ref()
            .map_or_else(String::new, |value| self.0.show(value))
    }

    fn schema(&self) -> Json {
        self.0.schema()
    }
}

/// A value, or the word `none`.
pub(crate) struct OrNone<F>(pub(crate) F);

const NONE: &str = "none";

impl<F: Form> Form for OrNone<F> {
    type Value = Option<F::Value>;

    fn read(&self, text: &str) -> Result<Self::Value, Wrong> {
        if text == NONE {
            Ok(None)
        } else {
            self.0.read(text).map(Some)
        }
    }

    fn expected(&self) -> String {
        format!("{}, or {NONE}", self.0.expected())
    }

    fn show(&self, value: &Self::Value) -> String {
        value
            .as_ref()
            .map_or_else(|| NONE.to_owned(), |value| self.0.show(value))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), { "const": NONE }] })
    }
}

/// On or off.
pub(crate) struct Switch;

impl Form for Switch {
    type Value = bool;

    fn read(&self, text: &str) -> Result<bool, Wrong> {
        match text {
            "on" | "true" | "yes" => Ok(true),
            "off" | "false" | "no" => Ok(false),
            _ => Err(Wrong::Form),
        }
    }

    fn expected(&self) -> String {
        "on or off".to_owned()
    }

    fn show(&self, on: &bool) -> String {
        if *on { "on" } else { "off" }.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "enum": ["on", "off", true, false, "true", "false", "yes", "no"] })
    }
}

/// The name of a tier.
pub(crate) struct Tier;

impl Form for Tier {
    type Value = TierName;

    fn read(&self, text: &str) -> Result<TierName, Wrong> {
        TierName::parse(text).map_err(|_| Wrong::Form)
    }

    fn expected(&self) -> String {
        "a tier's name, 1 to 64 of the letters a-z, digits, ., _ and -".to_owned()
    }

    fn show(&self, name: &TierName) -> String {
        name.as_str().to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" })
    }
}

/// A state by name, and whether the name is known here.
pub(crate) struct StateName;

impl Form for StateName {
    type Value = (State, bool);

    fn read(&self, text: &str) -> Result<(State, bool), Wrong> {
        let plain = |letter: u8| letter.is_ascii_lowercase() || letter == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            return Err(Wrong::Form);
        }
        match State::named(text) {
            Some(State::Purged) => Err(Wrong::Because("and only a purge leads there")),
            Some(state) => Ok((state, true)),
            None => Ok((State::read_name(text), false)),
        }
    }

    fn expected(&self) -> String {
        "active, trial, suspended, maintenance, pending_offboard or offboarded".to_owned()
    }

    fn show(&self, (state, _): &(State, bool)) -> String {
        state.as_str().to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[a-z_]{1,64}$", "not": { "const": "purged" } })
    }
}

/// A moment: `2026-12-01`, or `2026-12-01T08:30:00Z`.
pub(crate) struct Moment;

const DAY: u64 = 86_400;

impl Form for Moment {
    type Value = SystemTime;

    fn read(&self, text: &str) -> Result<SystemTime, Wrong> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => {
                let time = time
                    .strip_suffix('Z')
                    .ok_or(Wrong::Because("whose time does not end with Z, for UTC"))?;
                (date, time)
            }
            None => (text, "00:00:00"),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or(Wrong::Form)?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or(Wrong::Form)?;
        let there = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !there || year < 1970 {
            return Err(Wrong::Because("and there is no such moment"));
        }
        let seconds = days_before(year, month, day) * DAY + hour * 3_600 + minute * 60 + second;
        Ok(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn expected(&self) -> String {
        "a date such as 2026-12-01, or a moment such as 2026-12-01T08:30:00Z".to_owned()
    }

    fn show(&self, moment: &SystemTime) -> String {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mut days, rest) = (since.as_secs() / DAY, since.as_secs() % DAY);
        let mut year = 1970;
        while days >= days_in_year(year) {
            days -= days_in_year(year);
            year += 1;
        }
        let mut month = 1;
        while days >= days_in(year, month) {
            days -= days_in(year, month);
            month += 1;
        }
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        format!(
            "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
            days + 1
        )
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern":
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$" })
    }
}

fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut read = [0; 3];
    for (number, digits) in read.iter_mut().zip(digits) {
        let part = parts.next()?;
        let all = part.len() == digits && part.bytes().all(|digit| digit.is_ascii_digit());
        *number = part.parse().ok().filter(|_| all)?;
    }
    parts.next().is_none().then_some(read)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Since 1970-01-01.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(days_in_year).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-12-01T08:30:00Z", 1_796_113_800),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            let moment = Moment.read(text).expect(text);
            assert_eq!(moment, UNIX_EPOCH + Duration::from_secs(seconds), "{text}");
            assert_eq!(Moment.show(&moment), text);
        }
        assert_eq!(
            Moment.read("2026-12-01"),
            Moment.read("2026-12-01T00:00:00Z")
        );
        for wrong in [
            "",
            "2026",
            "2026-1-01",
            "2026-12-01 08:30",
            "2026-12-01T08:30Z",
            "26-12-01",
            "+026-12-01",
            "2026-12-01T08:30:00",
            "2026-13-01",
            "2026-02-29",
            "2100-02-29",
            "2026-12-01T24:00:00Z",
            "1969-12-31",
            "2026-00-01",
            "2026-01-00",
        ] {
            assert!(Moment.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_state_of_a_newer_version_reads_as_suspended() {
        assert_eq!(StateName.read("trial"), Ok((State::Trial, true)));
        assert_eq!(StateName.read("hibernating"), Ok((State::Suspended, false)));
        for wrong in ["purged", "", "Active", "a b"] {
            assert!(StateName.read(wrong).is_err(), "{wrong}");
        }
    }
}
