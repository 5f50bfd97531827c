//! How many elements a message lists, counted before it is decoded.
//!
//! An empty element takes two bytes on the wire and up to some hundred once it is
//! decoded: a message of 4 MiB could become half a gigabyte before its lists were
//! looked at. The walk allocates nothing and judges nothing but counts; what is
//! malformed ends it, and decoding says so.
//!
//! Cost: some ns a field, and only in messages long enough to matter.

use millpond_core::cache::MAX_TAGS;
use millpond_core::limit::MAX_CHARGES;
use millpond_core::limit::screen::MAX_ASKS;
use tonic::Status;

use super::fields::count;
use super::limits::{MAX_ENTRIES, MAX_FILLS, MAX_KEYS};
use crate::telemetry::calls::Method;

/// Shorter messages cannot become large.
const SHORT: usize = 8 << 10;

/// Numbers of fields, as in `cache.proto`, `limit.proto` and Envoy's `rls.proto`.
mod number {
    pub(super) const CHARGES: u64 = 2;
    pub(super) const DESCRIPTORS: u64 = 2;
    pub(super) const ENTRIES: u64 = 1;
    pub(super) const GET_MANY_KEYS: u64 = 3;
    pub(super) const FILLS: u64 = 3;
    pub(super) const FILL_TAGS: u64 = 9;
    pub(super) const SET_TAGS: u64 = 6;
    pub(super) const INVALIDATE_KEYS: u64 = 3;
    pub(super) const INVALIDATE_TAGS: u64 = 4;
    /// The list of `Keys`, and of `Tags`.
    pub(super) const LIST: u64 = 1;
}

/// Refuses what lists more than it may.
pub(super) fn check(method: Method, message: &[u8]) -> Result<(), Status> {
    if message.len() < SHORT {
        return Ok(());
    }
    match method {
        Method::GetMany => at_most("keys", listed(message, number::GET_MANY_KEYS), MAX_KEYS),
        Method::Fill => {
            at_most("fills", listed(message, number::FILLS), MAX_FILLS)?;
            fields(message, number::FILLS).try_for_each(|fill| {
                at_most("fills.tags", listed(fill, number::FILL_TAGS), MAX_TAGS)
            })
        }
        Method::Set => at_most("tags", listed(message, number::SET_TAGS), MAX_TAGS),
        Method::Invalidate => {
            // A target given twice is merged by decoders.
            let inside = |target| {
                fields(message, target)
                    .map(|target| listed(target, number::LIST))
                    .sum()
            };
            at_most("keys", inside(number::INVALIDATE_KEYS), MAX_KEYS)?;
            at_most("tags", inside(number::INVALIDATE_TAGS), MAX_TAGS)
        }
        Method::Acquire | Method::Peek => {
            at_most("charges", listed(message, number::CHARGES), MAX_CHARGES)
        }
        Method::ShouldRateLimit => {
            let descriptors = listed(message, number::DESCRIPTORS);
            at_most("descriptors", descriptors, MAX_ASKS)?;
            fields(message, number::DESCRIPTORS).try_for_each(|descriptor| {
                let entries = listed(descriptor, number::ENTRIES);
                at_most("descriptors.entries", entries, MAX_ENTRIES)
            })
        }
        // Their messages are too short for it.
        Method::Commit | Method::Release | Method::Grant => Ok(()),
        Method::Hello | Method::Get | Method::Renew => Ok(()),
    }
}

fn at_most(field: &str, found: usize, limit: usize) -> Result<(), Status> {
    if found > limit {
        return count(field, found, limit);
    }
    Ok(())
}

fn listed(message: &[u8], wanted: u64) -> usize {
    fields(message, wanted).count()
}

/// The contents of every field of bytes with this number, as far as the message is
/// well formed and there: a field that is cut short is left out.
pub(super) fn fields(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let (number, content) = field(&mut rest)?;
            if let (true, Some(content)) = (number == wanted, content) {
                return Some(content);
            }
        }
    })
}

/// The next field's number, and its content if it is bytes.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(rest)?;
    let number = tag >> 3;
    match tag & 7 {
        0 => varint(rest).map(|_| (number, None)),
        1 => take(rest, 8).map(|_| (number, None)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Some((number, Some(take(rest, length)?)))
        }
        5 => take(rest, 4).map(|_| (number, None)),
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    rest.split_off(..count)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use millpond_proto::v1;
    use prost::Message;

    use super::*;

    fn refused(method: Method, message: &impl Message) -> Option<String> {
        check(method, &message.encode_to_vec())
            .err()
            .map(|status| status.message().to_owned())
    }

    #[test]
    fn lists_are_counted_before_they_are_decoded() {
        let many = v1::GetManyRequest {
            keys: vec![v1::KeyRequest::default(); 1 << 20],
            ..v1::GetManyRequest::default()
        };
        let message = refused(Method::GetMany, &many);
        assert_eq!(message.as_deref(), Some("keys: 1048576, limit 512"));

        let mut fill = v1::FillRequest {
            fills: vec![v1::Fill::default(); 5_000],
            ..v1::FillRequest::default()
        };
        let message = refused(Method::Fill, &fill);
        assert_eq!(message.as_deref(), Some("fills: 5000, limit 512"));
        fill.fills.truncate(2);
        fill.fills[1].tags = vec![String::new(); 5_000];
        let message = refused(Method::Fill, &fill);
        assert_eq!(message.as_deref(), Some("fills.tags: 5000, limit 8"));

        let set = v1::SetRequest {
            tags: vec![String::new(); 5_000],
            ..v1::SetRequest::default()
        };
        let message = refused(Method::Set, &set);
        assert_eq!(message.as_deref(), Some("tags: 5000, limit 8"));

        let keys = v1::Keys {
            keys: vec![bytes::Bytes::new(); 5_000],
        };
        let all = v1::InvalidateRequest {
            target: Some(v1::invalidate_request::Target::Keys(keys)),
            ..v1::InvalidateRequest::default()
        };
        let message = refused(Method::Invalidate, &all);
        assert_eq!(message.as_deref(), Some("keys: 5000, limit 512"));
        let tags = v1::Tags {
            tags: vec![String::new(); 5_000],
        };
        let all = v1::InvalidateRequest {
            target: Some(v1::invalidate_request::Target::Tags(tags)),
            ..v1::InvalidateRequest::default()
        };
        let message = refused(Method::Invalidate, &all);
        assert_eq!(message.as_deref(), Some("tags: 5000, limit 8"));
    }

    #[test]
    fn what_is_allowed_passes_however_long() {
        let many = v1::GetManyRequest {
            tenant: "acme".to_owned(),
            keys: vec![
                v1::KeyRequest {
                    key: vec![7; 1_024].into(),
                    ..v1::KeyRequest::default()
                };
                512
            ],
            wait_ms: Some(u32::MAX),
            ..v1::GetManyRequest::default()
        };
        assert_eq!(refused(Method::GetMany, &many), None);
    }
}
