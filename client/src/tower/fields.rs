//! What responses say of the limit that decided: `RateLimit-Policy` and `RateLimit`, as
//! draft-ietf-httpapi-ratelimit-headers-10 has them, and `Retry-After` (RFC 9110,
//! section 10.2.3).
//!
//! ```text
//! RateLimit-Policy: "api";q=50;w=30
//! RateLimit: "api";r=49;t=1
//! ```
//!
//! The draft knows windows and not buckets. A bucket is told as the window that
//! promises no more than it keeps: `q` tokens, all it holds when full, come back in `w`
//! seconds; `r` may be spent now, and all of `q` in `t`.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::Decision;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What the tenant's own limit is called: structured fields know no empty name.
const OWN: &str = "requests";

/// The largest integer of a structured field (RFC 9651, section 3.3.1).
const MOST: u64 = 999_999_999_999_999;

/// Says how the limit stands. What other layers said stays: both are lists.
pub(super) fn say(decision: &Decision, headers: &mut HeaderMap) {
    let Some(by) = &decision.decided_by else {
        return;
    };
    if decision.capacity == 0 {
        return;
    }
    // Of [a-z0-9._-]: nothing to escape.
    let name = match by.limit() {
        "" => OWN,
        name => name,
    };
    let quota = decision.capacity.min(MOST);
    let window = seconds(refill(decision)).max(1);
    append(headers, POLICY, &format!("\"{name}\";q={quota};w={window}"));
    let left = decision.remaining.min(MOST);
    let reset = seconds(decision.reset_after);
    append(headers, LIMIT, &format!("\"{name}\";r={left};t={reset}"));
}

/// Says when to come back; nothing when that is never.
pub(super) fn say_when(retry_after: Duration, headers: &mut HeaderMap) {
    if !retry_after.is_zero() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(retry_after)));
    }
}

/// The time an empty bucket takes to fill.
fn refill(decision: &Decision) -> Duration {
    let nanos = decision.period.as_nanos();
    let nanos = nanos.saturating_mul(decision.capacity.into());
    let nanos = nanos.div_ceil(decision.rate.max(1).into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Whole ones, rounded up: who comes back then does not come too early.
fn seconds(duration: Duration) -> u64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(up).min(MOST)
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::charges::named;
    use crate::{Decider, LimitReason};

    fn decision(limit: &str) -> Decision {
        Decision {
            decided_by: Some(Decider {
                limit: named(limit).expect("a name"),
                keyed: false,
            }),
            capacity: 50,
            remaining: 49,
            reset_after: Duration::from_millis(600),
            rate: 100,
            period: Duration::from_secs(60),
            ..Decision::of(LimitReason::Ok)
        }
    }

    fn said(decision: &Decision) -> Vec<String> {
        let mut headers = HeaderMap::new();
        say(decision, &mut headers);
        say_when(decision.retry_after, &mut headers);
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().expect("it is text"))
        };
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_bucket_is_told_as_a_window() {
        let lines = said(&decision("api"));
        assert_eq!(
            lines,
            [
                r#"ratelimit-policy: "api";q=50;w=30"#,
                r#"ratelimit: "api";r=49;t=1"#,
            ]
        );
        assert!(said(&decision(""))[0].contains(r#""requests";q=50"#));
    }

    #[test]
    fn times_are_rounded_up_and_never_is_not_said() {
        let mut later = decision("api");
        later.retry_after = Duration::from_nanos(1);
        assert!(said(&later).contains(&"retry-after: 1".to_owned()));
        later.retry_after = Duration::from_millis(2_000);
        assert!(said(&later).contains(&"retry-after: 2".to_owned()));
        later.retry_after = Duration::ZERO;
        assert_eq!(said(&later).len(), 2);
    }

    #[test]
    fn where_nothing_limits_nothing_is_said() {
        let free = Decision::of(LimitReason::Ok);
        assert!(said(&free).is_empty());
    }

    #[test]
    fn no_number_is_more_than_a_structured_field_holds() {
        let vast = Decision {
            capacity: u64::MAX,
            remaining: u64::MAX,
            reset_after: Duration::MAX,
            rate: 1,
            period: Duration::MAX,
            ..decision("api")
        };
        for line in said(&vast) {
            for number in line
                .split(['=', ';'])
                .filter_map(|part| part.parse::<u64>().ok())
            {
                assert!(number <= MOST, "{line}");
            }
        }
    }
}
