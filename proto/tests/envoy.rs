//! That what is served to Envoy is read as Envoy writes it.

use millpond_proto::envoy::service::ratelimit::v3::{
    RateLimitRequest, RateLimitResponse,
    rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit},
};
use prost::Message;

/// A message that Envoy 1.40 sent for `GET /api/v1` with `x-tenant: acme` and `x-cost: 5`, by a route with three
/// `rate_limits`: (tenant, path) with the addend of `x-cost`, (tenant) with the addend 0, and `generic_key: all`.
const RECORDED: &[u8] = b"\x0a\x04edge\
    \x12\x25\x0a\x0e\x0a\x06tenant\x12\x04acme\x0a\x0f\x0a\x04path\x12\x07/api/v1\x1a\x02\x08\x05\
    \x12\x12\x0a\x0e\x0a\x06tenant\x12\x04acme\x1a\x00\
    \x12\x14\x0a\x12\x0a\x0bgeneric_key\x12\x03all";

#[test]
fn what_envoy_sent_is_read_whole() {
    let read = RateLimitRequest::decode(RECORDED).unwrap();
    assert_eq!(read.domain, "edge");
    assert_eq!(read.hits_addend, 0);
    let descriptors: Vec<_> = read
        .descriptors
        .iter()
        .map(|descriptor| {
            let entries = descriptor.entries.iter();
            let entries: Vec<_> = entries.map(|entry| (&*entry.key, &*entry.value)).collect();
            (entries, descriptor.hits_addend)
        })
        .collect();
    assert_eq!(
        descriptors,
        [
            (vec![("tenant", "acme"), ("path", "/api/v1")], Some(5)),
            (vec![("tenant", "acme")], Some(0)),
            (vec![("generic_key", "all")], None),
        ]
    );
    assert!(
        read.descriptors
            .iter()
            .all(|descriptor| descriptor.limit.is_none())
    );
    // Nothing was skipped: it is written again byte for byte.
    assert_eq!(read.encode_to_vec(), RECORDED);
}

#[test]
fn an_answer_is_written_in_envoys_numbers() {
    let answer = RateLimitResponse {
        overall_code: Code::OverLimit.into(),
        statuses: vec![DescriptorStatus {
            code: Code::OverLimit.into(),
            current_limit: Some(RateLimit {
                requests_per_unit: 60,
                unit: Unit::Minute.into(),
                name: "n".to_owned(),
                unit_multiplier: Some(2),
            }),
            limit_remaining: 3,
            duration_until_reset: Some(prost_types::Duration {
                seconds: 4,
                nanos: 0,
            }),
        }],
        response_headers_to_add: Vec::new(),
    };
    // 1: code, 2: limit (1: requests, 2: unit, 3: name, 4: multiplier), 3: remaining, 4: duration.
    let status =
        b"\x08\x02\x12\x0b\x08\x3c\x10\x02\x1a\x01n\x22\x02\x08\x02\x18\x03\x22\x02\x08\x04";
    let mut expected = vec![0x08, 2, 0x12, u8::try_from(status.len()).unwrap()];
    expected.extend(status);
    assert_eq!(answer.encode_to_vec(), expected);
}
