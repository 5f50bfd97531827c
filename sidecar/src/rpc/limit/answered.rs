//! Core's decisions as the wire says them.

use std::time::Duration;

use millpond_core::limit::{Decision, Given, Limiter, Settlement, Verdict};
use millpond_proto::v1;

/// When to ask again after what says nothing of time: a tenant in maintenance, or a
/// sidecar without room.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(1);

/// When to ask again for a bucket that there is not: another configuration may bring
/// it.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

pub(super) fn decision(limiter: &Limiter, decision: &Decision) -> v1::AcquireReply {
    let reason = reason(decision.verdict);
    let retry_after = match reason {
        v1::LimitReason::Unavailable => decision.retry_after.max(UNAVAILABLE_FOR),
        _ => decision.retry_after,
    };
    let mut reply = v1::AcquireReply {
        allowed: decision.is_allowed(),
        reason: reason.into(),
        would_deny: decision.would_deny,
        retry_after_ms: up(retry_after),
        waited_ms: up(decision.wait),
        ..v1::AcquireReply::default()
    };
    if let Some(by) = &decision.decided_by {
        reply.decided_by = Some(v1::Decider {
            limit: by
                .limit
                .as_ref()
                .map_or_else(String::new, |limit| limit.as_str().to_owned()),
            keyed: by.keyed,
        });
    }
    if let Some(standing) = &decision.standing {
        reply.capacity = standing.capacity;
        reply.remaining = standing.remaining;
        reply.reset_after_ms = up(standing.reset_after);
        reply.rate = standing.rate;
        reply.period_ms = up(standing.period);
    }
    if let (Some(token), Some(until)) = (decision.reservation, decision.held_until) {
        reply.reservation = Some(v1::Reservation {
            boot: limiter.boot().to_bits(),
            token: token.to_bits(),
            expires_in_ms: down(until.since(limiter.directory().clock().precise())),
        });
    }
    reply
}

pub(super) fn reason(verdict: Verdict) -> v1::LimitReason {
    match verdict {
        Verdict::Allowed => v1::LimitReason::Ok,
        Verdict::OverLimit => v1::LimitReason::OverLimit,
        Verdict::Never => v1::LimitReason::Never,
        Verdict::NotServed(state) if !state.passes() => v1::LimitReason::Suspended,
        // In maintenance, without room, or for a reason of a later core.
        _ => v1::LimitReason::Unavailable,
    }
}

pub(super) fn settlement(settlement: Settlement) -> v1::Settlement {
    match settlement {
        Settlement::Done => v1::Settlement::Done,
        Settlement::Late => v1::Settlement::Late,
        Settlement::Repeated => v1::Settlement::Repeated,
        Settlement::Void => v1::Settlement::Void,
    }
}

/// Whole milliseconds, rounded up: for times to stay away.
pub(super) fn up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Whole milliseconds, rounded down: a time that is left is never overstated.
pub(super) fn down(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The reply to what was asked of a grant.
pub(super) fn given(grant_id: u64, given: &Given, lives: Duration) -> v1::GrantReply {
    let reason = reason(given.verdict);
    let mut reply = v1::GrantReply {
        grant_id,
        tokens: given.tokens,
        ..v1::GrantReply::default()
    };
    if given.tokens > 0 {
        reply.expires_in_ms = down(lives);
    } else {
        reply.reason = reason.into();
        reply.retry_after_ms = up(match reason {
            v1::LimitReason::Unavailable => given.retry_after.max(UNAVAILABLE_FOR),
            _ => given.retry_after,
        });
    }
    if let Some(standing) = &given.standing {
        reply.capacity = standing.capacity;
        reply.remaining = standing.remaining;
        reply.reset_after_ms = up(standing.reset_after);
    }
    reply
}

/// There is no room for another grant now.
pub(super) fn no_room(grant_id: u64) -> v1::GrantReply {
    refused(grant_id, v1::LimitReason::Unavailable, UNAVAILABLE_FOR)
}

/// There is no such tenant or limit now.
pub(super) fn not_found(grant_id: u64) -> v1::GrantReply {
    refused(grant_id, v1::LimitReason::NotFound, UNKNOWN_FOR)
}

fn refused(grant_id: u64, reason: v1::LimitReason, retry_after: Duration) -> v1::GrantReply {
    v1::GrantReply {
        grant_id,
        reason: reason.into(),
        retry_after_ms: up(retry_after),
        ..v1::GrantReply::default()
    }
}
