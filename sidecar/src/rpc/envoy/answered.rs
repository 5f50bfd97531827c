//! Core's answers, as the wire and the headers say them.
//!
//! The headers are those of the tightest limit, the one that refused or has the
//! smallest part of its tokens left:
//!
//! ```text
//! RateLimit-Policy: "edge.tenant.path";q=20;w=20     20 tokens, back in 20 s
//! RateLimit: "edge.tenant.path";r=0;t=1              none left; try again in 1 s
//! Retry-After: 1                                     of a refusal that passes
//! X-Millpond-Reason: suspended                       of one that is no bucket's
//! ```
//!
//! `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers
//! from -08 on: structured fields (RFC 9651), times in whole seconds. `t` is when the
//! bucket is full again, and of a refusal when to try again, as the draft wants it
//! beside `Retry-After`.

use std::fmt::Write;
use std::time::Duration;

use millpond_core::limit::screen::{Answer, Screened};
use millpond_core::limit::{CallError, Standing, Verdict};
use millpond_proto::envoy::config::core::v3::HeaderValue;
use millpond_proto::envoy::service::ratelimit::v3::RateLimitResponse;
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};

use super::asked::{Matched, Matches};

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// The longest first. A week is seven days: older proxies do not know it.
const UNITS: [(u64, Unit); 6] = [
    (365 * DAY, Unit::Year),
    (30 * DAY, Unit::Month),
    (DAY, Unit::Day),
    (HOUR, Unit::Hour),
    (MINUTE, Unit::Minute),
    (SECOND, Unit::Second),
];

/// When to try again for what says nothing of time: a tenant in maintenance, or a
/// sidecar without room.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(1);

pub(super) fn response(matches: &Matches<'_>, screened: &Screened) -> RateLimitResponse {
    let mut answers = screened.answers.iter();
    let mut limited = Vec::with_capacity(screened.answers.len());
    let mut statuses = Vec::new();
    for matched in matches.all() {
        let both = matched.and_then(|matched| Some((matched, answers.next()?)));
        statuses.push(match both {
            Some((matched, answer)) => {
                limited.push((matched, answer));
                status(matched, answer)
            }
            None => DescriptorStatus {
                code: Code::Ok.into(),
                ..DescriptorStatus::default()
            },
        });
    }
    // Another call came between, and nobody is over the limit any more: all or none.
    if !screened.allowed && limited.iter().all(|(_, answer)| answer.is_allowed()) {
        for status in &mut statuses {
            status.code = Code::OverLimit.into();
        }
    }
    RateLimitResponse {
        overall_code: code(screened.allowed),
        statuses,
        response_headers_to_add: headers(&limited),
    }
}

fn code(allowed: bool) -> i32 {
    if allowed { Code::Ok } else { Code::OverLimit }.into()
}

fn status(matched: &Matched<'_>, answer: &Answer) -> DescriptorStatus {
    let mut status = DescriptorStatus {
        code: code(answer.is_allowed()),
        ..DescriptorStatus::default()
    };
    if let Some((_, standing)) = &answer.standing {
        status.current_limit = Some(limit(matched.name, standing));
        status.limit_remaining = u32::try_from(standing.remaining).unwrap_or(u32::MAX);
        let until = until(answer, standing);
        status.duration_until_reset = Some(prost_types::Duration {
            seconds: i64::try_from(until.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(until.subsec_nanos()).unwrap_or(0),
        });
    }
    status
}

/// When the bucket is full again; of a refusal, when to try again.
fn until(answer: &Answer, standing: &Standing) -> Duration {
    if answer.retry_after.is_zero() {
        standing.reset_after
    } else {
        answer.retry_after
    }
}

fn limit(name: &str, standing: &Standing) -> RateLimit {
    let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
    let (nanos, whole) = (standing.period.subsec_nanos(), standing.period.as_secs());
    let (requests, unit, times) = if nanos == 0 && whole > 0 {
        let unit = UNITS.iter().find(|(seconds, _)| whole % seconds == 0);
        let (seconds, unit) = *unit.unwrap_or(&(SECOND, Unit::Second));
        (standing.rate, unit, whole / seconds)
    } else {
        // A part of a second is no unit: as many a second, rounded down.
        let a_second = u128::from(standing.rate) * 1_000_000_000;
        let requests = a_second / standing.period.as_nanos().max(1);
        (u64::try_from(requests).unwrap_or(u64::MAX), Unit::Second, 1)
    };
    RateLimit {
        requests_per_unit: narrow(requests),
        unit: unit.into(),
        name: name.to_owned(),
        unit_multiplier: (times > 1).then(|| narrow(times)),
    }
}

fn headers(limited: &[(&Matched<'_>, &Answer)]) -> Vec<HeaderValue> {
    let mut headers = Vec::new();
    let mut add = |key: &str, value: String| {
        headers.push(HeaderValue {
            key: key.to_owned(),
            value,
        });
    };
    let standing = limited
        .iter()
        .filter_map(|(matched, answer)| Some((matched, answer, &answer.standing.as_ref()?.1)));
    let tightest = standing.min_by_key(|(_, answer, standing)| {
        let left = u128::from(standing.remaining) << 64;
        let part = left / u128::from(standing.capacity.max(1));
        (answer.is_allowed(), part, standing.remaining)
    });
    if let Some((matched, answer, standing)) = tightest {
        let name = quoted(matched.name);
        let (capacity, window) = (standing.capacity, seconds(window(standing)));
        add(
            "RateLimit-Policy",
            format!("{name};q={capacity};w={window}"),
        );
        let (left, reset) = (standing.remaining, seconds(until(answer, standing)));
        add("RateLimit", format!("{name};r={left};t={reset}"));
    }
    let refused = || limited.iter().filter(|(_, answer)| !answer.is_allowed());
    // Once the one that takes longest has come; not at all where one never does.
    let passes = refused().map(|(_, answer)| passes(answer));
    let after = passes.reduce(|one, other| Some(one?.max(other?)));
    if let Some(after) = after.flatten() {
        add("Retry-After", seconds(after).to_string());
    }
    if let Some(reason) = refused().find_map(|(_, answer)| reason(answer)) {
        add("X-Millpond-Reason", reason.to_owned());
    }
    headers
}

/// When a refusal passes, if it does by itself.
fn passes(answer: &Answer) -> Option<Duration> {
    match answer.verdict {
        Ok(Verdict::OverLimit) => Some(answer.retry_after),
        Ok(Verdict::NotServed(state)) if state.passes() => Some(UNAVAILABLE_FOR),
        Ok(Verdict::Unavailable) => Some(UNAVAILABLE_FOR),
        _ => None,
    }
}

/// What else than an empty bucket refused.
fn reason(answer: &Answer) -> Option<&'static str> {
    Some(match &answer.verdict {
        Ok(Verdict::Allowed | Verdict::OverLimit) => return None,
        Ok(Verdict::Never) if answer.standing.is_none() => "blocked",
        Ok(Verdict::Never) => "cost",
        Ok(Verdict::NotServed(state)) => state.as_str(),
        Err(CallError::UnknownTenant { .. } | CallError::Field(_)) => "unknown_tenant",
        Err(CallError::UnknownLimit { .. }) => "unknown_limit",
        Ok(_) | Err(_) => "unavailable",
    })
}

/// The time all tokens take to come back.
fn window(standing: &Standing) -> Duration {
    let nanos = standing.period.as_nanos() * u128::from(standing.capacity);
    let nanos = nanos.div_ceil(u128::from(standing.rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Rounded up, and never 0: whoever comes back then finds what it was told.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
        .max(u64::from(!duration.is_zero()))
}

/// A string of RFC 9651, which has the printable letters of ASCII.
fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for letter in name.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            ' '..='~' => quoted.push(letter),
            // Writing to a String does not fail.
            _ => {
                let _ = write!(quoted, "%{:x}", u32::from(letter));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(rate: u64, period: Duration, capacity: u64) -> Standing {
        Standing {
            capacity,
            rate,
            period,
            remaining: 0,
            reset_after: Duration::ZERO,
        }
    }

    #[test]
    fn a_rate_is_told_in_the_longest_unit_that_it_is_a_multiple_of() {
        for (secs, unit, times) in [
            (1, Unit::Second, None),
            (90, Unit::Second, Some(90)),
            (120, Unit::Minute, Some(2)),
            (3_600, Unit::Hour, None),
            (7 * DAY, Unit::Day, Some(7)),
            (60 * DAY, Unit::Month, Some(2)),
            (365 * DAY, Unit::Year, None),
        ] {
            let told = limit("n", &standing(5, Duration::from_secs(secs), 1));
            assert_eq!((told.unit(), told.unit_multiplier), (unit, times), "{secs}");
            assert_eq!(told.requests_per_unit, 5);
        }
        let half = limit("n", &standing(5, Duration::from_millis(500), 1));
        assert_eq!((half.unit(), half.requests_per_unit), (Unit::Second, 10));
    }

    #[test]
    fn a_name_is_a_string_of_structured_fields() {
        assert_eq!(quoted(r#"a"b\c d"#), r#""a\"b\\c d""#);
        assert_eq!(quoted("ä\n"), r#""%e4%a""#);
    }

    #[test]
    fn times_are_whole_seconds_that_are_long_enough() {
        for (millis, secs) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(seconds(Duration::from_millis(millis)), secs);
        }
        let filling = window(&standing(60, Duration::from_secs(60), 20));
        assert_eq!(filling, Duration::from_secs(20));
    }
}
