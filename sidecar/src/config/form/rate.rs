//! Rates: `100/min`, `5000/s`, `10/h`, `1/30s`, or `unlimited`.

use std::time::Duration;

use millpond_core::limit::{BadQuota, Quota};
use millpond_core::tenant;
use serde_json::{Value as Json, json};

use super::time::{parse, shown};
use super::{Form, Wrong, whole};

/// What a period is called when it is one of a unit.
const PERIODS: [(&str, u64); 12] = [
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("m", 60),
    ("min", 60),
    ("minute", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("d", 86_400),
    ("day", 86_400),
    ("hr", 3_600),
    ("mins", 60),
];

const UNLIMITED: &str = "unlimited";

/// A rate as a configuration says it: `6/h`, `1/10s`.
#[must_use]
pub fn rate_as_written(amount: u64, period: Duration) -> String {
    Rate.show(&tenant::Rate::Of { amount, period })
}

/// So many in each period.
pub(crate) struct Rate;

impl Form for Rate {
    type Value = tenant::Rate;

    fn read(&self, text: &str) -> Result<tenant::Rate, Wrong> {
        if text == UNLIMITED {
            return Ok(tenant::Rate::Unlimited);
        }
        let Some((amount, period)) = text.split_once('/') else {
            let no_period = whole(text).is_some();
            return Err(if no_period {
                Wrong::Because("which says no period")
            } else {
                Wrong::Form
            });
        };
        let amount = whole(amount.trim_end()).ok_or(Wrong::Form)?;
        let period = period.trim_start();
        let unit = PERIODS.iter().find(|(name, _)| *name == period);
        let period = match unit {
            Some((_, seconds)) => Duration::from_secs(*seconds),
            None => parse(period).map_err(|_| Wrong::Form)?,
        };
        match Quota::new(amount, period, 1) {
            Ok(_) => Ok(tenant::Rate::Of { amount, period }),
            Err(BadQuota::NoRate) => Err(Wrong::Because(
                "which lets nothing through: suspend the tenant for that",
            )),
            Err(BadQuota::TooFast) => Err(Wrong::Because("which is too fast")),
            Err(BadQuota::TooSlow) => Err(Wrong::Because("which is too slow")),
            Err(_) => Err(Wrong::Form),
        }
    }

    fn expected(&self) -> String {
        "a rate such as 100/min, 5000/s, 10/h or 1/30s, 1/366d to 100000000/s, or unlimited"
            .to_owned()
    }

    fn show(&self, rate: &tenant::Rate) -> String {
        match rate {
            tenant::Rate::Unlimited => UNLIMITED.to_owned(),
            tenant::Rate::Of { amount, period } => {
                let unit = PERIODS
                    .iter()
                    .find(|(_, seconds)| Duration::from_secs(*seconds) == *period);
                match unit {
                    Some((_, 60)) => format!("{amount}/min"),
                    Some((name, _)) => format!("{amount}/{name}"),
                    None => format!("{amount}/{}", shown(*period)),
                }
            }
        }
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern":
            "^([0-9]+ ?/ ?(s|sec|second|m|min|mins|minute|h|hr|hour|d|day|([0-9]+(ms|s|m|h|d))+)|unlimited)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it_and_shown_the_shortest_way() {
        for (text, amount, seconds, shown) in [
            ("100/min", 100, 60, "100/min"),
            ("100/m", 100, 60, "100/min"),
            ("5000/s", 5_000, 1, "5000/s"),
            ("10 / hour", 10, 3_600, "10/h"),
            ("1/day", 1, 86_400, "1/d"),
            ("3/30s", 3, 30, "3/30s"),
            ("7/1h30m", 7, 5_400, "7/1h30m"),
        ] {
            let period = Duration::from_secs(seconds);
            let rate = tenant::Rate::Of { amount, period };
            assert_eq!(Rate.read(text), Ok(rate), "{text}");
            assert_eq!(Rate.show(&rate), shown);
        }
        assert_eq!(Rate.read("unlimited"), Ok(tenant::Rate::Unlimited));
        assert_eq!(
            Rate.read("100"),
            Err(Wrong::Because("which says no period"))
        );
        assert_eq!(
            Rate.read("100000001/s"),
            Err(Wrong::Because("which is too fast"))
        );
        assert_eq!(
            Rate.read("1/367d"),
            Err(Wrong::Because("which is too slow"))
        );
        for wrong in [
            "",
            "/s",
            "x/s",
            "-1/s",
            "1.5/s",
            "1/",
            "1/w",
            "1/0",
            "1//s",
            "Unlimited",
        ] {
            assert_eq!(Rate.read(wrong), Err(Wrong::Form), "{wrong}");
        }
        assert!(matches!(Rate.read("0/s"), Err(Wrong::Because(_))));
    }
}
