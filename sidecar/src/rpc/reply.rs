//! Core's answers as the wire says them.
//!
//! A lease stays in our hands until its reply is written ([`super::body`]). Up to
//! then a caller that goes away drops it, and it goes to the next waiter.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{Answer, Body, Hit, Lease, Pond, Reason, Source};
use millpond_core::clock::Time;
use millpond_core::version::Version;
use millpond_proto::v1;

pub(super) fn version(pond: &Pond, version: Version) -> Bytes {
    Bytes::copy_from_slice(&pond.position(version).encode())
}

/// Whole milliseconds, rounded down: a time that is left is never overstated.
fn left(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Whole milliseconds, rounded up: for times to stay away.
fn away(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

pub(super) fn lease_left(pond: &Pond, token: u64, until: Time) -> v1::Lease {
    v1::Lease {
        boot: pond.boot().to_bits(),
        token,
        expires_in_ms: left(until.since(pond.clock().precise())),
    }
}

/// About how many bytes an answer takes on the wire.
pub(super) fn size(answer: &Answer) -> usize {
    /// Versions, times, a lease, and the numbers of their fields.
    const FIXED: usize = 160;
    let found = answer.found.as_ref().map_or(0, |hit| {
        let value = hit.body().value().map_or(0, Bytes::len);
        let tags: usize = hit.tags().map(|tag| tag.len() + 3).sum();
        value + tags + hit.etag().len()
    });
    let lease = answer.lease.as_ref().map_or(0, |lease| lease.etag().len());
    let error = answer
        .error
        .as_ref()
        .map_or(0, |error| error.message().len());
    FIXED + found + lease + error
}

/// The message of an answer, and with `leases` the lease that it grants.
pub(super) fn reply(pond: &Pond, answer: Answer, leases: &mut Vec<Lease>) -> v1::GetReply {
    let now = pond.clock().now();
    let mut reply = v1::GetReply {
        stale: answer.stale,
        reason: answer.reason.map_or(0, |reason| wire_reason(reason).into()),
        source: answer.source.map_or(0, |source| wire_source(source).into()),
        load_error: answer
            .error
            .as_ref()
            .map_or_else(String::new, |error| error.message().to_owned()),
        retry_after_ms: answer.retry_after.map_or(0, away),
        as_of: Some(v1::Position {
            boot: pond.boot().to_bits(),
            sequence: 0,
        }),
        ..v1::GetReply::default()
    };
    if let Some(hit) = &answer.found {
        put_found(&mut reply, pond, hit, now);
    }
    if let Some(lease) = answer.lease {
        if reply.etag.is_empty() {
            reply.etag = lease.etag().clone();
        }
        reply.lease = Some(granted(&lease));
        leases.push(lease);
    }
    reply
}

/// What a key that is led elsewhere, or has no room left in the reply, gets.
pub(super) fn loading(pond: &Pond) -> v1::GetReply {
    v1::GetReply {
        reason: v1::Reason::Loading.into(),
        ..reply(pond, Answer::default(), &mut Vec::new())
    }
}

fn put_found(reply: &mut v1::GetReply, pond: &Pond, hit: &Hit, now: Time) {
    reply.found = Some(match hit.body() {
        Body::Value(value) => v1::get_reply::Found::Value(value.clone()),
        Body::Absent => v1::get_reply::Found::Absent(true),
    });
    reply.version = version(pond, hit.version());
    reply.age_ms = left(hit.age(now));
    if !reply.stale {
        reply.fresh_for_ms = left(hit.fresh_for(now));
    }
    reply.etag = hit.etag().clone();
    reply.tags = hit
        .tags()
        .map(|tag| String::from_utf8_lossy(tag).into_owned())
        .collect();
}

fn granted(lease: &Lease) -> v1::Lease {
    let grant = lease.grant();
    v1::Lease {
        boot: grant.boot.to_bits(),
        token: grant.token.to_bits(),
        expires_in_ms: left(lease.expires_in()),
    }
}

fn wire_reason(reason: Reason) -> v1::Reason {
    match reason {
        Reason::Revalidating => v1::Reason::Revalidating,
        Reason::LoadFailed => v1::Reason::LoadFailed,
        Reason::NotHeld => v1::Reason::NotHeld,
        Reason::Bypass => v1::Reason::Bypass,
        Reason::WaitExpired => v1::Reason::WaitExpired,
        Reason::Shed => v1::Reason::Shed,
        Reason::OverBudget => v1::Reason::OverBudget,
    }
}

fn wire_source(source: Source) -> v1::Source {
    match source {
        Source::L1 => v1::Source::L1,
        Source::L2 => v1::Source::L2,
        Source::Loaded => v1::Source::Loaded,
    }
}
