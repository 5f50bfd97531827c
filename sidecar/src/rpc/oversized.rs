//! A `Set` that is too large to be received.
//!
//! Its value is not taken, but that the caller set it says that what is held is no
//! longer right. Its first bytes name the key, as every encoder writes fields by
//! number: then the key is invalidated before the call is refused. A client that
//! writes the value first is refused all the same, and what is held stays.

use bytes::Bytes;
use millpond_core::cache::{Invalidation, Target, check_key};
use millpond_proto::v1;
use tonic::Status;

use super::cache::Cache;
use super::outline::fields;
use super::status;

/// Numbers of the fields of a `SetRequest`.
const TENANT: u64 = 1;
const CACHE: u64 = 2;
const KEY: u64 = 3;

/// What a message of `size` bytes is refused with.
pub(super) fn refusal(size: usize, limit: usize) -> Status {
    status::bad("message", format_args!("{size} bytes, limit {limit}"))
}

/// Invalidates what a `Set` names that begins with `begins`.
pub(super) async fn set(cache: &Cache, begins: &[u8]) {
    let Some(named) = named(begins) else {
        return;
    };
    let Ok(scope) = cache.scope(&named.tenant, &named.cache) else {
        return;
    };
    let how = Invalidation::default();
    let keys = [named.key];
    cache
        .levels
        .invalidate(&scope, Target::Keys(&keys), how)
        .await;
}

/// Whose value it is, if the bytes say so.
fn named(begins: &[u8]) -> Option<v1::SetRequest> {
    let text = |number| {
        let field = fields(begins, number).last()?;
        String::from_utf8(field.to_vec()).ok()
    };
    let key = fields(begins, KEY).last()?;
    check_key(key).ok()?;
    Some(v1::SetRequest {
        tenant: text(TENANT)?,
        cache: text(CACHE)?,
        key: Bytes::copy_from_slice(key),
        ..v1::SetRequest::default()
    })
}
