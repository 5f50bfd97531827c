//! Between the wire's words and the client's.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{Source, Times};
use millpond_proto::v1;
use millpond_proto::v1::get_reply::Found;
use tonic::{Code, Status};

use crate::error::Error;
use crate::invalidation::Target;
use crate::reply::Reply;
use crate::value::{About, Stale, StaleReason, Told, Value, Version};

/// Whole milliseconds, rounded up: what is not zero stays so.
pub(super) fn millis(duration: Duration) -> u32 {
    const NANOS_PER_MILLI: u128 = 1_000_000;
    u32::try_from(duration.as_nanos().div_ceil(NANOS_PER_MILLI)).unwrap_or(u32::MAX)
}

fn duration(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// Zero stands for "no advice".
fn advice(millis: u32) -> Option<Duration> {
    (millis > 0).then(|| duration(millis))
}

pub(super) fn times(times: Times) -> v1::Times {
    v1::Times {
        fresh_ms: times.fresh.map(millis),
        stale_ms: times.stale.map(millis),
        stale_if_error_ms: times.stale_if_error.map(millis),
    }
}

pub(super) fn tags(tags: &[Bytes]) -> Vec<String> {
    // They were strings when they came in.
    let text = |tag: &Bytes| String::from_utf8_lossy(tag).into_owned();
    tags.iter().map(text).collect()
}

pub(super) fn target(target: &Target) -> v1::invalidate_request::Target {
    use v1::invalidate_request::Target as Wire;
    match target {
        Target::Keys(keys) => Wire::Keys(v1::Keys { keys: keys.clone() }),
        Target::Tags(names) => Wire::Tags(v1::Tags { tags: tags(names) }),
        Target::All => Wire::WholeCache(true),
    }
}

pub(super) fn version(bytes: &[u8]) -> Result<Version, Error> {
    Ok(Version::from_bytes(bytes)?)
}

/// What a reply found; the inner `None` is absence.
pub(super) fn found(reply: &mut v1::GetReply) -> Option<Option<Value>> {
    let source = match reply.source() {
        v1::Source::L2 => Source::L2,
        v1::Source::Loaded => Source::Loaded,
        v1::Source::L1 | v1::Source::Unspecified => Source::L1,
    };
    let Found::Value(value) = reply.found.take()? else {
        return Some(None);
    };
    let stale = reply.stale.then(|| {
        Box::new(Stale {
            reason: stale_reason(reply.reason()),
            error: (!reply.load_error.is_empty()).then(|| std::mem::take(&mut reply.load_error)),
            retry_after: advice(reply.retry_after_ms),
        })
    });
    let told = Told {
        version: version(&reply.version).ok(),
        age: duration(reply.age_ms),
        fresh_for: Some(duration(reply.fresh_for_ms)),
        etag: std::mem::take(&mut reply.etag),
    };
    let about = About::Told(Box::new(told));
    Some(Some(Value::new(value, source, stale, about)))
}

fn stale_reason(reason: v1::Reason) -> StaleReason {
    match reason {
        v1::Reason::Revalidating => StaleReason::Revalidating,
        v1::Reason::LoadFailed => StaleReason::LoadFailed,
        v1::Reason::BreakerOpen => StaleReason::BreakerOpen,
        v1::Reason::OverBudget => StaleReason::OverBudget,
        v1::Reason::Shed => StaleReason::Shed,
        v1::Reason::L2Gap => StaleReason::Unconfirmed,
        v1::Reason::Unspecified
        | v1::Reason::NotHeld
        | v1::Reason::Bypass
        | v1::Reason::Loading
        | v1::Reason::WaitExpired => StaleReason::Other,
    }
}

/// What a reply without a value and without a lease says to do. Whatever this
/// client does not know is no leave to load.
pub(super) fn refusal(reply: v1::GetReply) -> Reply {
    let retry_after = advice(reply.retry_after_ms);
    Reply::Refused(match v1::Reason::try_from(reply.reason) {
        Ok(v1::Reason::NotHeld | v1::Reason::Bypass) => return Reply::Nothing,
        Ok(v1::Reason::WaitExpired | v1::Reason::Loading) => Error::WaitExpired,
        Ok(v1::Reason::LoadFailed) => Error::Failed {
            message: reply.load_error,
            retry_after,
        },
        Ok(v1::Reason::Shed) => Error::Shed { retry_after },
        Ok(v1::Reason::OverBudget) => Error::OverBudget { retry_after },
        Ok(v1::Reason::BreakerOpen) => Error::BreakerOpen { retry_after },
        Ok(v1::Reason::Unspecified | v1::Reason::Revalidating | v1::Reason::L2Gap) | Err(_) => {
            Error::Rejected {
                message: format!("no value, for reason {}", reply.reason),
            }
        }
    })
}

pub(super) fn error(status: Status) -> Error {
    let message = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Unimplemented => Error::Rejected { message },
        Code::PermissionDenied | Code::Unauthenticated => Error::Denied { message },
        Code::ResourceExhausted => Error::Shed { retry_after: None },
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Error::Unavailable {
            message: format!("{}: {message}", status.code()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_does_not_become_zero_on_the_wire() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(7)), 7);
        assert_eq!(millis(Duration::MAX), u32::MAX);
    }

    #[test]
    fn a_reason_of_a_later_sidecar_is_no_leave_to_load() {
        let reply = v1::GetReply {
            reason: 4_711,
            ..v1::GetReply::default()
        };
        assert!(matches!(
            refusal(reply),
            Reply::Refused(Error::Rejected { .. })
        ));
    }
}
