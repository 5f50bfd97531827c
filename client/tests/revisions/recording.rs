//! An exchange as it was once recorded: `1.txt` holds what a client and a sidecar of
//! revision 1 said to each other, a line a message.
//!
//! Never written again: a later revision gets a recording of its own.

use bytes::Bytes;
use millpond_proto::v1;
use prost::Message;

/// What was said in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) method: String,
    pub(crate) request: Bytes,
    pub(crate) reply: Bytes,
}

pub(crate) fn revision_1() -> Vec<Said> {
    let text = include_str!("1.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let said = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [method, request, reply] = words[..] else {
            panic!("{line}")
        };
        Said {
            method: method.to_owned(),
            request: bytes(request),
            reply: bytes(reply),
        }
    });
    said.collect()
}

/// What was answered to the `nth` call of a method, counted from 0.
pub(crate) fn reply(method: &str, nth: usize) -> Bytes {
    let said = revision_1()
        .into_iter()
        .filter(|said| said.method == method);
    said.map(|said| said.reply)
        .nth(nth)
        .expect("it is recorded")
}

pub(crate) fn line(said: &Said) -> String {
    let hex = |bytes: &Bytes| match bytes.len() {
        0 => "-".to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!(
        "{} {} {}\n",
        said.method,
        hex(&said.request),
        hex(&said.reply)
    )
}

fn bytes(hex: &str) -> Bytes {
    if hex == "-" {
        return Bytes::new();
    }
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What revision 1 asked, in the order it asked. `lease` is the one that the first
/// `Get` brought.
pub(crate) fn asked(lease: Option<v1::Lease>) -> Vec<(&'static str, Vec<u8>)> {
    let (tenant, cache, key) = ("acme", "users", Bytes::from_static(b"42"));
    let get = |load: v1::Load| v1::GetRequest {
        tenant: tenant.to_owned(),
        cache: cache.to_owned(),
        key: key.clone(),
        load: load.into(),
        wait_ms: Some(5_000),
        ..v1::GetRequest::default()
    };
    let fill = v1::FillRequest {
        tenant: tenant.to_owned(),
        cache: cache.to_owned(),
        fills: vec![v1::Fill {
            key: key.clone(),
            lease,
            settlement: Some(v1::fill::Settlement::Value(Bytes::from_static(b"Ada"))),
            times: Some(v1::Times {
                fresh_ms: Some(60_000),
                ..v1::Times::default()
            }),
            tags: vec!["team:7".to_owned()],
            etag: Bytes::from_static(b"v1"),
        }],
    };
    let renew = v1::RenewRequest {
        tenant: tenant.to_owned(),
        cache: cache.to_owned(),
        key: key.clone(),
        lease,
        lease_ms: Some(10_000),
    };
    let many = v1::GetManyRequest {
        tenant: tenant.to_owned(),
        cache: cache.to_owned(),
        keys: ["42", "43"]
            .map(|key| v1::KeyRequest {
                key: Bytes::from_static(key.as_bytes()),
                min_version: Bytes::new(),
            })
            .into(),
        wait_ms: Some(0),
        ..v1::GetManyRequest::default()
    };
    let set = v1::SetRequest {
        tenant: tenant.to_owned(),
        cache: cache.to_owned(),
        key: Bytes::from_static(b"43"),
        value: Bytes::from_static(b"Bo"),
        ..v1::SetRequest::default()
    };
    let invalidate = v1::InvalidateRequest {
        tenant: tenant.to_owned(),
        cache: cache.to_owned(),
        target: Some(v1::invalidate_request::Target::Keys(v1::Keys {
            keys: vec![key.clone()],
        })),
        ..v1::InvalidateRequest::default()
    };
    vec![
        ("Hello", v1::HelloRequest {}.encode_to_vec()),
        ("Get", get(v1::Load::Caller).encode_to_vec()),
        ("Renew", renew.encode_to_vec()),
        ("Fill", fill.encode_to_vec()),
        ("Get", get(v1::Load::Caller).encode_to_vec()),
        ("Set", set.encode_to_vec()),
        ("GetMany", many.encode_to_vec()),
        ("Invalidate", invalidate.encode_to_vec()),
        ("Get", get(v1::Load::Never).encode_to_vec()),
    ]
}
