//! Why a charge is allowed or denied: every bucket it would come to, narrowest first;
//! what was counted of its limit, and what was observed of it in shadow.

use std::time::Duration;

use millpond_core::limit::{Advice, CallError, Charge, Decider, Level, Limiter, Recent, Verdict};
use millpond_proto::v1;
use millpond_proto::v1::explain_reply::{self, Bucket, LimitOf};

use crate::admin::stats::milliseconds;
use crate::config;

/// # Errors
/// When the tenant or the limit is not known, or a field not of its form.
pub(in crate::admin) fn explain(
    limiter: &Limiter,
    tenant: &str,
    asked: &v1::explain_request::Limit,
) -> Result<v1::ExplainReply, CallError> {
    let charge = |cost| Charge {
        limit: &asked.limit,
        key: &asked.key,
        cost,
    };
    let entry = limiter.directory().resolve(tenant)?;
    let levels = limiter.levels(tenant, charge(0))?;
    let one = limiter.peek(tenant, &[charge(1)])?;
    let mut verdict = match (one.verdict, &one.decided_by) {
        (Verdict::Allowed, None) => "allowed: nothing limits it".to_owned(),
        (Verdict::Allowed, Some(by)) if one.would_deny => format!(
            "allowed, though {} has no token: it is not enforced",
            name(by)
        ),
        (Verdict::Allowed, Some(by)) => {
            let left = one.standing.map_or(0, |standing| standing.remaining);
            format!("allowed: {left} left in {}", name(by))
        }
        (Verdict::OverLimit, Some(by)) => {
            format!(
                "denied: {} has no token for another {}",
                name(by),
                shown(one.retry_after)
            )
        }
        (Verdict::NotServed(state), _) => format!("denied: the tenant is {state}"),
        _ => "not decided: the tenant's limits change at this moment; ask again".to_owned(),
    };
    let limit = entry.profile().limit(&asked.limit);
    if asked.key.is_empty() && limit.is_some_and(|(_, limit)| limit.per_key.is_some()) {
        verdict.push_str("; without a key, no key's bucket is charged");
    }
    Ok(v1::ExplainReply {
        scope: v1::Scope::Pod.into(),
        verdict,
        limit: Some(LimitOf {
            tier: entry.profile().tier.to_string(),
            state: entry.state().to_string(),
            buckets: levels.iter().map(bucket).collect(),
            recent: limiter.recent(entry.id(), &asked.limit).map(recent),
            observed: limiter.advice(tenant, &asked.limit).map(observed),
        }),
        ..v1::ExplainReply::default()
    })
}

/// Ten seconds or more to the second, and never less than it is.
fn shown(time: Duration) -> String {
    let unit = match time.as_secs() {
        0..10 => Duration::from_millis(1),
        _ => Duration::from_secs(1),
    };
    let units = time.as_nanos().div_ceil(unit.as_nanos());
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    config::time_as_written(unit.saturating_mul(units))
}

fn name(by: &Decider) -> String {
    match (&by.limit, by.keyed) {
        (None, _) => "the tenant's own bucket".to_owned(),
        (Some(limit), true) => format!("the key's bucket of limit {limit}"),
        (Some(limit), false) => format!("the bucket of limit {limit}"),
    }
}

fn bucket(level: &Level) -> Bucket {
    let standing = &level.standing;
    Bucket {
        limit: level
            .bucket
            .limit
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        keyed: level.bucket.keyed,
        capacity: standing.capacity,
        remaining: standing.remaining,
        rate: standing.rate,
        period_ms: milliseconds(standing.period),
        reset_after_ms: milliseconds(standing.reset_after),
        enforced: level.firm,
        shared: level.shared,
    }
}

fn counts(counts: millpond_core::limit::Counts) -> explain_reply::Counts {
    explain_reply::Counts {
        allowed: counts.allowed,
        would_deny: counts.would_deny,
        over_limit: counts.over_limit,
        never: counts.never,
        elsewhere: counts.elsewhere,
        tokens: counts.tokens,
    }
}

fn recent(recent: Recent) -> explain_reply::Recent {
    explain_reply::Recent {
        window: Some(counts(recent.window)),
        minute: Some(counts(recent.minute)),
        hour: Some(counts(recent.hour)),
    }
}

fn observed(advice: Advice) -> explain_reply::Observed {
    let [median, p90, p99, most] = advice.per_second;
    let recommended = advice
        .recommended
        .map(|recommended| explain_reply::Recommended {
            rate: recommended.rate,
            period_ms: milliseconds(recommended.period),
            burst: recommended.burst,
        });
    explain_reply::Observed {
        observed_ms: milliseconds(advice.observed),
        calls: advice.calls,
        median_second: median,
        p90_second: p90,
        p99_second: p99,
        most_second: most,
        recommended,
    }
}
