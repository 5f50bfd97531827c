//! How much is asked of a limit, in words and as JSON.

use std::fmt::Write;
use std::time::Duration;

use millpond_proto::v1::explain_reply::{Counts, LimitOf, Observed, Recent};
use millpond_sidecar::config::rate_as_written;
use serde_json::{Value as Json, json};

use crate::cli::explain::ms;

// Writing to a String does not fail.
pub(super) fn in_words(limit: &LimitOf, text: &mut String) {
    let spans = |recent: &Recent| [recent.window, recent.minute, recent.hour];
    match &limit.recent {
        Some(recent) => {
            for (span, counts) in ["10 s", "minute", "hour"].iter().zip(spans(recent)) {
                let counts = counts.unwrap_or_default();
                let _ = writeln!(text, "last {span:<6}  {}", of(&counts));
            }
        }
        None => text.push_str("counted  with other tenants: it is not among the busiest\n"),
    }
    let Some(observed) = &limit.observed else {
        return;
    };
    let _ = writeln!(
        text,
        "shadow   {} calls in {}; tokens a second: {} in half of them, {} in 99 %, {} at most",
        observed.calls,
        ms(observed.observed_ms),
        observed.median_second,
        observed.p99_second,
        observed.most_second
    );
    let _ = match &observed.recommended {
        Some(told) => writeln!(
            text,
            "advice   rate: {}, burst: {} would have denied a thousandth at most",
            rate_as_written(told.rate, Duration::from_millis(told.period_ms)),
            told.burst
        ),
        None => writeln!(
            text,
            "advice   observe longer: a minute, then another and a thousand calls"
        ),
    };
}

fn of(counts: &Counts) -> String {
    let mut text = format!("{} allowed", counts.allowed);
    if counts.would_deny > 0 {
        let _ = write!(text, " ({} would be denied)", counts.would_deny);
    }
    let denied = counts.over_limit + counts.never;
    let _ = write!(text, ", {denied} denied");
    if counts.elsewhere > 0 {
        let _ = write!(text, ", {} by another limit", counts.elsewhere);
    }
    let _ = write!(text, "; {} tokens", counts.tokens);
    text
}

fn counts(counts: Option<Counts>) -> Json {
    let counts = counts.unwrap_or_default();
    json!({
        "allowed": counts.allowed,
        "would_deny": counts.would_deny,
        "over_limit": counts.over_limit,
        "never": counts.never,
        "elsewhere": counts.elsewhere,
        "tokens": counts.tokens,
    })
}

pub(super) fn recent(recent: &Recent) -> Json {
    json!({
        "window": counts(recent.window),
        "minute": counts(recent.minute),
        "hour": counts(recent.hour),
    })
}

pub(super) fn observed(observed: &Observed) -> Json {
    json!({
        "observed_ms": observed.observed_ms,
        "calls": observed.calls,
        "median_second": observed.median_second,
        "p90_second": observed.p90_second,
        "p99_second": observed.p99_second,
        "most_second": observed.most_second,
        "recommended": observed.recommended.as_ref().map(|told| json!({
            "rate": told.rate,
            "period_ms": told.period_ms,
            "burst": told.burst,
        })),
    })
}

#[cfg(test)]
mod tests {
    use millpond_proto::v1::explain_reply::Recommended;

    use super::*;

    #[test]
    fn what_was_counted_and_what_follows_is_said_in_words() {
        let counts = |allowed| {
            Some(Counts {
                allowed,
                would_deny: allowed / 2,
                over_limit: 1,
                never: 1,
                elsewhere: 0,
                tokens: 2 * allowed,
            })
        };
        let mut limit = LimitOf {
            recent: Some(Recent {
                window: None,
                minute: counts(4),
                hour: counts(9),
            }),
            observed: Some(Observed {
                observed_ms: 90_000,
                calls: 500,
                median_second: 5,
                p90_second: 6,
                p99_second: 8,
                most_second: 20,
                recommended: None,
            }),
            ..LimitOf::default()
        };
        let mut text = String::new();
        in_words(&limit, &mut text);
        assert!(
            text.contains("last 10 s    0 allowed, 0 denied; 0 tokens\n"),
            "{text}"
        );
        assert!(
            text.contains("last minute  4 allowed (2 would be denied), 2 denied; 8 tokens\n"),
            "{text}"
        );
        assert!(text.contains("observe longer"), "{text}");
        if let Some(observed) = &mut limit.observed {
            observed.recommended = Some(Recommended {
                rate: 20,
                period_ms: 1_000,
                burst: 44,
            });
        }
        limit.recent = None;
        let mut text = String::new();
        in_words(&limit, &mut text);
        assert!(text.starts_with("counted  with other tenants"), "{text}");
        assert!(
            text.contains("rate: 20/s, burst: 44 would have denied a thousandth"),
            "{text}"
        );
    }
}
