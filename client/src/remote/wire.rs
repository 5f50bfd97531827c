//! Between the wire's words and the client's.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{LoadBy, Source, Times};
use millpond_proto::v1;
use millpond_proto::v1::get_reply::Found;
use prost::Message;
use tonic::{Code, Status};

use crate::error::Error;
use crate::invalidation::Target;
use crate::options::Options;
use crate::reply::Reply;
use crate::value::{About, Stale, StaleReason, Told, Value, Version};

/// Whole milliseconds, rounded up: what is not zero stays so.
pub(super) fn millis(duration: Duration) -> u32 {
    const NANOS_PER_MILLI: u128 = 1_000_000;
    u32::try_from(duration.as_nanos().div_ceil(NANOS_PER_MILLI)).unwrap_or(u32::MAX)
}

pub(super) fn duration(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// Zero stands for "no advice".
fn advice(millis: u32) -> Option<Duration> {
    (millis > 0).then(|| duration(millis))
}

/// Who loads, and how long to wait for it: whoever does not load does not wait.
pub(super) fn load(load: LoadBy, wait: Duration) -> (v1::Load, Duration) {
    match load {
        LoadBy::Nobody => (v1::Load::Never, Duration::ZERO),
        LoadBy::Caller => (v1::Load::Caller, wait),
    }
}

pub(super) fn min_version(options: &Options) -> Bytes {
    let copied = |version: Version| Bytes::copy_from_slice(version.as_bytes());
    options.at_least.map_or_else(Bytes::new, copied)
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
        Target::Keys(all) => keys(all),
        Target::Tags(names) => Wire::Tags(v1::Tags { tags: tags(names) }),
        Target::All => Wire::WholeCache(true),
    }
}

pub(super) fn keys(keys: &[Bytes]) -> v1::invalidate_request::Target {
    v1::invalidate_request::Target::Keys(v1::Keys {
        keys: keys.to_vec(),
    })
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
        Ok(v1::Reason::Loading) => return Reply::LedElsewhere,
        Ok(v1::Reason::WaitExpired) => Error::WaitExpired,
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

/// Why a tenant is refused. Says of `UNAVAILABLE` that a sidecar answered it.
const REASON: &str = "millpond-reason";
const MAINTENANCE: &str = "tenant_maintenance";

pub(super) fn error(status: Status) -> Error {
    let message = status.message().to_owned();
    let reason = status.metadata().get(REASON);
    if reason.is_some_and(|reason| reason.as_encoded_bytes() == MAINTENANCE.as_bytes()) {
        return Error::Maintenance { message };
    }
    match status.code() {
        // Only a position that this sidecar cannot confirm is answered so.
        Code::FailedPrecondition => Error::Unconfirmed { message },
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Unimplemented => Error::Rejected { message },
        Code::PermissionDenied | Code::Unauthenticated => Error::Denied { message },
        Code::ResourceExhausted => Error::Shed {
            retry_after: retry_delay(status.details()),
        },
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

/// `google.rpc.Status`, as it stands in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// When a status says to try again. Details that cannot be read say nothing.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
    let details = Details::decode(details).ok()?.details;
    let info = details.iter().find(|any| any.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay?;
    Duration::try_from(delay)
        .ok()
        .filter(|delay| !delay.is_zero())
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
    fn a_shed_call_says_when_to_try_again_if_the_sidecar_did() {
        let shed = |details: Vec<u8>| {
            error(Status::with_details(
                Code::ResourceExhausted,
                "full",
                details.into(),
            ))
        };
        let info = RetryInfo {
            retry_delay: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
        };
        let any = |type_url: &str| prost_types::Any {
            type_url: type_url.to_owned(),
            value: info.encode_to_vec(),
        };
        let details = Details {
            details: vec![
                any("type.googleapis.com/google.rpc.Help"),
                any("type.googleapis.com/google.rpc.RetryInfo"),
            ],
        };
        let told = Error::Shed {
            retry_after: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(shed(details.encode_to_vec()), told);
        let silent = Error::Shed { retry_after: None };
        assert_eq!(shed(Vec::new()), silent);
        assert_eq!(shed(b"not protobuf".to_vec()), silent);
    }

    #[test]
    fn every_status_is_an_error_of_its_kind() {
        for code in 0..=17 {
            let error = error(Status::new(Code::from_i32(code), "so"));
            let kind = match error {
                Error::Unconfirmed { .. } => "unconfirmed",
                Error::Rejected { .. } => "rejected",
                Error::Denied { .. } => "denied",
                Error::Shed { .. } => "shed",
                Error::Unavailable { .. } => "unavailable",
                other => panic!("{code}: {other:?}"),
            };
            let expected = match code {
                9 => "unconfirmed",
                3 | 5 | 6 | 11 | 12 => "rejected",
                7 | 16 => "denied",
                8 => "shed",
                _ => "unavailable",
            };
            assert_eq!(kind, expected, "{code}");
        }
    }

    #[test]
    fn a_tenant_in_maintenance_is_no_sidecar_that_is_away() {
        let mut status = Status::unavailable("so");
        let maintenance = MAINTENANCE.parse().expect("it is ASCII");
        status.metadata_mut().insert(REASON, maintenance);
        let message = "so".to_owned();
        assert_eq!(error(status.clone()), Error::Maintenance { message });
        let later = "tenant_asleep".parse().expect("it is ASCII");
        status.metadata_mut().insert(REASON, later);
        assert!(matches!(error(status), Error::Unavailable { .. }));
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
