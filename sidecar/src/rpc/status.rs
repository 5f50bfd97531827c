//! What a call is refused with: the one place where errors become gRPC statuses.

use std::fmt;

use millpond_core::cache::{BadField, ScopeError, WriteError};
use tonic::Status;

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

pub(super) fn scope(error: ScopeError) -> Status {
    match error {
        ScopeError::Field(error) => bad_field(error),
        ScopeError::TooManyCaches(error) => Status::resource_exhausted(error.to_string()),
    }
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

/// A version of another process, or one not issued yet.
pub(super) fn unconfirmed(field: impl fmt::Display) -> Status {
    Status::failed_precondition(format!(
        "{field}: this sidecar cannot confirm the position; it was issued by another process"
    ))
}
