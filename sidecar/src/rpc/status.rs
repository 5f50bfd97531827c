//! What a call is refused with: the one place where errors become gRPC statuses.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use millpond_core::cache::{BadField, ScopeError, WriteError};
use millpond_core::limit::CallError;
use millpond_core::tenant::{State, Unresolved};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::tenants;

/// A field is wrong: `what` says how, with its limit and what was found.
pub(super) fn bad(field: impl fmt::Display, what: impl fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {what}"))
}

/// A field that core found wrong; it names the field itself.
pub(super) fn bad_field(error: BadField) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The same inside the `at`th element of a list.
pub(super) fn bad_field_in(list: &str, at: usize, error: BadField) -> Status {
    Status::invalid_argument(format!("{list}[{at}].{error}"))
}

/// The same, under another name for the field.
pub(super) fn bad_field_at(field: &str, error: &BadField) -> Status {
    let said = error.to_string();
    let what = said
        .split_once(": ")
        .map_or(said.as_str(), |(_, what)| what);
    bad(field, what)
}

/// A call for tokens that was not decided.
pub(super) fn call(error: CallError) -> Status {
    match &error {
        CallError::UnknownLimit { .. } | CallError::UnknownTenant { .. } => {
            Status::not_found(error.to_string())
        }
        _ => Status::invalid_argument(error.to_string()),
    }
}

/// A path of a service's that leads to nothing.
pub(super) fn no_such_method() -> Status {
    Status::unimplemented("no such method")
}

pub(super) fn scope(error: ScopeError) -> Status {
    match error {
        ScopeError::Field(error) => bad_field(error),
        ScopeError::TooManyCaches(error) => Status::resource_exhausted(error.to_string()),
    }
}

/// Says why a tenant is refused, where the code alone does not: `UNAVAILABLE` is also
/// what a sidecar is that cannot be reached.
const REASON: &str = "millpond-reason";

/// What a tenant in this state may not do.
pub(super) fn tenant(state: State) -> Status {
    let code = if state.passes() {
        Code::Unavailable
    } else {
        Code::PermissionDenied
    };
    let what = format!("tenant: is in state {state}, which does not allow this");
    because(Status::new(code, what), tenants::reason(state))
}

/// A tenant that is none.
pub(super) fn unresolved(error: Unresolved) -> Status {
    match error {
        Unresolved::Name(error) => bad_field(error),
        other => because(
            Status::permission_denied(other.to_string()),
            tenants::UNKNOWN,
        ),
    }
}

fn because(mut status: Status, reason: &'static str) -> Status {
    let reason = MetadataValue::from_static(reason);
    status.metadata_mut().insert(REASON, reason);
    status
}

pub(super) fn write(error: WriteError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A value that was handed to those who wait and is too large to keep.
pub(super) fn too_large(at: usize, size: usize, limit: usize) -> Status {
    bad(
        format_args!("fills[{at}].value"),
        format_args!("{size} bytes, limit {limit}"),
    )
}

/// A message that is compressed. It is told what is taken, as the protocol asks.
pub(super) fn compressed() -> Status {
    let mut refused = Status::unimplemented("message: is compressed, expected as it is");
    let taken = MetadataValue::from_static("identity");
    refused.metadata_mut().insert("grpc-accept-encoding", taken);
    refused
}

/// As many bytes are in flight as may be.
pub(super) fn over_budget() -> Status {
    Status::with_details(
        Code::ResourceExhausted,
        "as many bytes are in flight as may be",
        Bytes::from_static(RETRY_IN_100_MS),
    )
}

/// `google.rpc.Status { code: 8, details: [RetryInfo { retry_delay: 100 ms }] }`,
/// encoded: it is always the same.
const RETRY_IN_100_MS: &[u8] = b"\x08\x08\x1a\x33\x0a\x28type.googleapis.com/google.rpc.RetryInfo\
      \x12\x07\x0a\x05\x10\x80\xc2\xd7\x2f";

/// The sidecar ends, and what the call waits for can no longer come.
pub(super) fn leaving() -> Status {
    Status::unavailable("the sidecar is ending; ask the one that follows it")
}

/// A status as the end of a body that has begun.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Only a message or details that no header can hold are refused.
    drop(status.add_header(&mut trailers));
    trailers
}

/// A version of another process, or one not issued yet.
pub(super) fn unconfirmed(field: impl fmt::Display) -> Status {
    Status::failed_precondition(format!(
        "{field}: this sidecar cannot confirm the position; it was issued by another process"
    ))
}
