//! Fields of requests, checked and made into core's types.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{LoadBy, Pond, Times, check_etag, check_key, check_tags};
use millpond_core::version::Position;
use millpond_proto::v1;
use tonic::Status;

use super::limits::MAX_VERSION_BYTES;
use super::status;

pub(super) fn milliseconds(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

pub(super) fn key(key: &[u8]) -> Result<(), Status> {
    check_key(key).map_err(status::bad_field)
}

/// A list of 1 to `limit` elements.
pub(super) fn count(field: &str, found: usize, limit: usize) -> Result<(), Status> {
    if found == 0 {
        return Err(status::bad(field, "is empty, needs at least 1"));
    }
    if found > limit {
        return Err(status::bad(field, format_args!("{found}, limit {limit}")));
    }
    Ok(())
}

pub(super) fn load(load: i32) -> Result<LoadBy, Status> {
    match v1::Load::try_from(load) {
        Ok(v1::Load::Never) => Ok(LoadBy::Nobody),
        Ok(v1::Load::Caller) => Ok(LoadBy::Caller),
        Ok(v1::Load::Origin) => Err(status::bad(
            "load",
            "ORIGIN: the cache has no origin configured",
        )),
        Err(_) => Err(status::bad(
            "load",
            format_args!("{load} is none of 0 (NEVER), 1 (CALLER), 2 (ORIGIN)"),
        )),
    }
}

/// A version handed back; it must have been one of ours in form.
pub(super) fn version(field: impl fmt::Display, bytes: &[u8]) -> Result<Position, Status> {
    if bytes.len() > MAX_VERSION_BYTES {
        let size = bytes.len();
        return Err(status::bad(
            field,
            format_args!("{size} bytes, limit {MAX_VERSION_BYTES}"),
        ));
    }
    Position::decode(bytes).ok_or_else(|| {
        status::bad(
            field,
            format_args!("{} bytes that are not a version", bytes.len()),
        )
    })
}

/// A version that reads must not fall behind. Empty: any.
///
/// Everything this process confirms it has applied, so there is nothing to wait
/// for.
pub(super) fn min_version(
    pond: &Pond,
    field: impl fmt::Display + Copy,
    bytes: &[u8],
) -> Result<(), Status> {
    if bytes.is_empty() || pond.confirms(version(field, bytes)?) {
        return Ok(());
    }
    Err(status::unconfirmed(field))
}

pub(super) fn times(times: Option<v1::Times>) -> Times {
    times.map_or_else(Times::default, |times| Times {
        fresh: times.fresh_ms.map(milliseconds),
        stale: times.stale_ms.map(milliseconds),
        stale_if_error: times.stale_if_error_ms.map(milliseconds),
    })
}

/// What may stand beside a value.
pub(super) fn beside_value(
    tags: &[String],
    etag: &[u8],
) -> Result<(), millpond_core::cache::BadField> {
    check_tags(tags)?;
    check_etag(etag)
}

pub(super) fn tags(tags: Vec<String>) -> Vec<Bytes> {
    tags.into_iter().map(Bytes::from).collect()
}

/// A copy that keeps alive nothing but itself. Decoded bytes are slices of the
/// buffer their message came in, 8 KiB for the smallest, and what is stored is
/// counted by its own length.
pub(super) fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
