//! Client and sidecar one revision apart: what was recorded of revision 1 is played
//! to today's other half, and today's client is answered by what does not exist yet.

mod raw;
mod recording;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use millpond_client::{Durability, Error, Held, LoadedMany, RemoteConfig, Source, TenantCache};
use millpond_proto::v1;
use millpond_sidecar::{Config, Running, Sidecar};
use prost::Message;
use tokio::sync::watch;

use recording::{Said, asked, line, reply, revision_1};

fn sidecar() -> Running {
    let config = Config {
        probe: None,
        ..Config::on_free_ports()
    };
    Sidecar::start(config).expect("free ports are free")
}

/// Plays a recording to a sidecar, with the leases of today in it.
async fn played(at: std::net::SocketAddr, asked: &[(String, Bytes)], old: v1::Lease) -> Vec<Said> {
    let mut client = raw::Client::connect(at).await;
    let mut lease = old;
    let mut said = Vec::new();
    for (method, request) in asked {
        let request = releasing(request, old, lease);
        let reply = client.call(method, &request).await;
        if method == "Get"
            && let Some(granted) = v1::GetReply::decode(reply.clone()).expect("a reply").lease
        {
            lease = granted;
        }
        said.push(Said {
            method: method.clone(),
            request,
            reply,
        });
    }
    said
}

/// The same bytes with another lease in the place of the old one.
fn releasing(request: &Bytes, old: v1::Lease, new: v1::Lease) -> Bytes {
    // Field numbers and types of `boot` and `token`, both of fixed length.
    let identity = |lease: v1::Lease| {
        let mut bytes = vec![0x09];
        bytes.extend(lease.boot.to_le_bytes());
        bytes.push(0x11);
        bytes.extend(lease.token.to_le_bytes());
        bytes
    };
    let (old, new) = (identity(old), identity(new));
    let at = request.windows(old.len()).position(|part| part == old);
    let mut patched = request.to_vec();
    if let Some(at) = at {
        patched[at..at + old.len()].copy_from_slice(&new);
    }
    patched.into()
}

/// What a reply says apart from what differs from run to run.
fn meaning(said: &Said) -> String {
    fn entry(mut reply: v1::GetReply) -> v1::GetReply {
        reply.version = Bytes::from(vec![0; reply.version.len()]);
        reply.lease = reply.lease.map(|lease| v1::Lease {
            boot: 0,
            token: 0,
            expires_in_ms: u32::from(lease.expires_in_ms > 0),
        });
        reply.age_ms = 0;
        reply.fresh_for_ms = u32::from(reply.fresh_for_ms > 0);
        reply.as_of = None;
        reply
    }
    let bytes = said.reply.clone();
    let blank = |version: &Bytes| Bytes::from(vec![0; version.len()]);
    match said.method.as_str() {
        "Hello" => {
            let mut reply = v1::HelloReply::decode(bytes).expect("a reply");
            // Later ones may say more and allow more.
            (reply.boot, reply.features) = (0, Vec::new());
            format!("{reply:?}")
        }
        "Get" => format!("{:?}", entry(v1::GetReply::decode(bytes).expect("a reply"))),
        "GetMany" => {
            let reply = v1::GetManyReply::decode(bytes).expect("a reply");
            let entries: Vec<_> = reply.entries.into_iter().map(entry).collect();
            format!("{entries:?}")
        }
        "Fill" => {
            let mut reply = v1::FillReply::decode(bytes).expect("a reply");
            for outcome in &mut reply.outcomes {
                outcome.version = blank(&outcome.version);
            }
            format!("{reply:?}")
        }
        "Renew" => {
            let reply = v1::RenewReply::decode(bytes).expect("a reply");
            let lasts = |lease: v1::Lease| lease.expires_in_ms > 0;
            format!("{:?}", reply.lease.map(lasts))
        }
        "Set" => {
            let mut reply = v1::SetReply::decode(bytes).expect("a reply");
            reply.version = blank(&reply.version);
            format!("{reply:?}")
        }
        "Invalidate" => {
            let mut reply = v1::InvalidateReply::decode(bytes).expect("a reply");
            reply.version = blank(&reply.version);
            format!("{reply:?}")
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn todays_sidecar_answers_a_client_of_revision_1_as_revision_1_did() {
    if std::env::var_os("MILLPOND_RECORD_REVISION").is_some() {
        return record().await;
    }
    let recorded = revision_1();
    let first = v1::GetReply::decode(reply("Get", 0)).expect("a reply");
    let old = first.lease.expect("it granted the lease");
    let asked: Vec<_> = recorded
        .iter()
        .map(|said| (said.method.clone(), said.request.clone()))
        .collect();
    let sidecar = sidecar();
    let at = sidecar.tcp().expect("it listens");

    let said = played(at, &asked, old).await;

    for (now, then) in said.iter().zip(&recorded) {
        assert_eq!(meaning(now), meaning(then), "{}", now.method);
    }
    assert_eq!(said.len(), recorded.len());
    tokio::task::spawn_blocking(move || drop(sidecar))
        .await
        .expect("no panic");
}

/// Writes `1.txt`, for when there is none:
/// `MILLPOND_RECORD_REVISION=1 cargo test -p millpond-client --test revisions`
async fn record() {
    let sidecar = sidecar();
    let at = sidecar.tcp().expect("it listens");
    let placeholder = v1::Lease {
        boot: u64::MAX,
        token: u64::MAX,
        expires_in_ms: 0,
    };
    let asked: Vec<_> = asked(Some(placeholder))
        .into_iter()
        .map(|(method, request)| (method.to_owned(), Bytes::from(request)))
        .collect();
    let said = played(at, &asked, placeholder).await;
    let mut text = String::from("# method, request, reply: protobuf of millpond.v1, revision 1\n");
    for said in &said {
        text.push_str(&line(said));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/revisions/1.txt");
    std::fs::write(path, text).expect("it can be written");
    tokio::task::spawn_blocking(move || drop(sidecar))
        .await
        .expect("no panic");
}

async fn users(at: std::net::SocketAddr) -> TenantCache {
    let config = RemoteConfig::new(&at.to_string()).expect("the address is one");
    let pond = config.connect().await.expect("it answers");
    let users = pond.cache("users").expect("the name is one");
    users.tenant("acme").expect("the name is one")
}

/// Fields that no revision has yet, of each kind, as a later one would add them.
fn with_unknown(reply: &Bytes) -> Bytes {
    let mut later = reply.to_vec();
    for (field, kind, bytes) in [
        (1_000_u32, 0_u32, &[0x96, 0x01][..]),
        (1_001, 1, &[7; 8]),
        (1_002, 2, &[3, b'n', b'e', b'w']),
        (1_003, 5, &[7; 4]),
    ] {
        prost::encoding::encode_varint(u64::from(field << 3 | kind), &mut later);
        later.extend(bytes);
    }
    later.into()
}

async fn todays_client_understands(change: fn(&Bytes) -> Bytes) {
    // The second `Get` finds what the first was granted the lease for.
    let gets = watch::Sender::new(0);
    let counted = gets.clone();
    let at = raw::serve(move |call| {
        let nth = if call.method == "Get" {
            counted.send_modify(|count| *count += 1);
            match v1::GetRequest::decode(call.message)
                .expect("a request")
                .load()
            {
                v1::Load::Never => 2,
                _ => *counted.borrow() - 1,
            }
        } else {
            0
        };
        change(&reply(&call.method, nth.min(2)))
    })
    .await;
    let users = users(at).await;
    let load = || async { Ok::<_, String>("Ada") };

    let own = users.get_or_load("42", load).await.expect("it loads");
    let own = own.expect("it is there");
    assert_eq!((&own[..], own.source()), (&b"Ada"[..], Source::Loaded));
    assert!(own.version().is_some());
    let held = users.get_or_load("42", load).await.expect("it is held");
    let held = held.expect("it is there");
    assert_eq!((&held[..], held.source()), (&b"Ada"[..], Source::L1));
    assert_eq!(
        (&held.etag()[..], held.version()),
        (&b"v1"[..], own.version())
    );
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
    users.set("43", "Bo").await.expect("it is set");
    let done = users.invalidate("42").await.expect("it takes effect");
    assert_eq!(done.durability, Durability::Local);
    let many = users.get_many(["42", "43"]).await;
    assert!(
        many.iter().all(|one| matches!(one, Ok(Held::Value(_)))),
        "{many:?}"
    );
    assert_eq!(*gets.borrow(), 3);
}

#[tokio::test]
async fn todays_client_understands_a_sidecar_of_revision_1() {
    todays_client_understands(Bytes::clone).await;
}

#[tokio::test]
async fn fields_of_later_revisions_are_passed_over() {
    todays_client_understands(with_unknown).await;
}

/// A sidecar that says what no revision says yet.
async fn later(get: v1::GetReply) -> TenantCache {
    let at = raw::serve(move |call| {
        let reply = match call.method.as_str() {
            "Hello" => v1::HelloReply {
                revision: 9,
                features: vec!["teleport".to_owned()],
                boot: 7,
                limits: None,
            }
            .encode_to_vec(),
            "Get" => get.encode_to_vec(),
            "GetMany" => {
                let asked = v1::GetManyRequest::decode(call.message).expect("a request");
                let entries = asked.keys.iter().map(|_| get.clone()).collect();
                v1::GetManyReply { entries }.encode_to_vec()
            }
            "Fill" => v1::FillReply {
                outcomes: vec![v1::FillOutcome {
                    outcome: 99,
                    version: Bytes::from_static(b"a version of another form"),
                }],
            }
            .encode_to_vec(),
            "Invalidate" => v1::InvalidateReply {
                version: Bytes::from_static(b"v"),
                durability: 9,
            }
            .encode_to_vec(),
            _ => Vec::new(),
        };
        with_unknown(&reply.into())
    })
    .await;
    users(at).await
}

#[tokio::test]
async fn a_reason_of_a_later_revision_is_an_error_and_no_leave_to_load() {
    let users = later(v1::GetReply {
        reason: 4_711,
        ..v1::GetReply::default()
    })
    .await;
    let never = || async { panic!("it must not load") };
    let read = users.get_or_load::<_, _, &str, String>("42", never).await;
    let told = read.expect_err("there is nothing").to_string();
    assert!(told.contains("reason 4711"), "{told}");
    let never = |_| async { panic!("it must not load") };
    let many = users
        .get_many_or_load::<_, _, _, String>(["42", "43"], never)
        .await;
    for one in many {
        assert!(matches!(one, Err(Error::Rejected { .. })), "{one:?}");
    }
}

#[tokio::test]
async fn what_a_later_revision_says_beside_a_value_does_no_harm() {
    let users = later(v1::GetReply {
        found: Some(v1::get_reply::Found::Value(Bytes::from_static(b"Ada"))),
        stale: true,
        reason: 4_711,
        source: 77,
        version: Bytes::from(vec![7; 40]),
        ..v1::GetReply::default()
    })
    .await;
    let held = users.get("42").await.expect("it answers").value();
    let held = held.expect("it is held");
    assert_eq!(&held[..], b"Ada");
    assert!(held.stale().is_some());
    assert_eq!(
        held.version(),
        None,
        "one that is too long to be handed back"
    );
    let done = users.invalidate("42").await.expect("it takes effect");
    assert_eq!(done.durability, Durability::Local);
}

#[tokio::test]
async fn an_outcome_of_a_later_revision_settles_the_load() {
    let users = later(v1::GetReply {
        lease: Some(v1::Lease {
            boot: 7,
            token: 1,
            expires_in_ms: 10_000,
        }),
        ..v1::GetReply::default()
    })
    .await;
    let load = || async { Ok::<_, String>("Ada") };
    let own = users.get_or_load("42", load).await.expect("it loads");
    assert_eq!(&own.expect("it is there")[..], b"Ada");
}

#[tokio::test]
async fn a_sidecar_that_answers_fewer_keys_than_asked_is_an_error() {
    let at = raw::serve(|call| match call.method.as_str() {
        "Hello" => reply("Hello", 0),
        _ => v1::GetManyReply::default().encode_to_vec().into(),
    })
    .await;
    let users = users(at).await;
    let never = |_: Vec<Bytes>| async { Ok::<LoadedMany<String>, String>(LoadedMany::new()) };
    for one in users.get_many_or_load(["42", "43"], never).await {
        assert!(matches!(one, Err(Error::Rejected { .. })), "{one:?}");
    }
}

#[tokio::test]
async fn a_sidecar_before_revision_1_is_refused_by_name() {
    let at = raw::serve(|_| Bytes::new()).await;
    let config = RemoteConfig::new(&at.to_string()).expect("the address is one");
    let told = config
        .connect()
        .await
        .expect_err("it is too old")
        .to_string();
    assert!(told.contains("speaks revision 0, expected 1"), "{told}");
    assert!(told.contains(&at.to_string()), "{told}");
}

#[tokio::test]
async fn what_a_sidecar_takes_at_once_is_not_exceeded() {
    let sizes = Arc::new(watch::Sender::new(Vec::new()));
    let told = Arc::clone(&sizes);
    let at = raw::serve(move |call| {
        let bytes = match call.method.as_str() {
            "Hello" => v1::HelloReply {
                revision: 1,
                boot: 7,
                limits: Some(v1::Limits {
                    max_keys: 3,
                    max_fills: 2,
                    ..v1::Limits::default()
                }),
                ..v1::HelloReply::default()
            }
            .encode_to_vec(),
            "GetMany" => {
                let asked = v1::GetManyRequest::decode(call.message).expect("a request");
                told.send_modify(|sizes| sizes.push(("keys", asked.keys.len())));
                let lease = |at| v1::GetReply {
                    lease: Some(v1::Lease {
                        boot: 7,
                        token: at,
                        expires_in_ms: 10_000,
                    }),
                    ..v1::GetReply::default()
                };
                let entries = (1..).take(asked.keys.len()).map(lease).collect();
                v1::GetManyReply { entries }.encode_to_vec()
            }
            "Fill" => {
                let asked = v1::FillRequest::decode(call.message).expect("a request");
                told.send_modify(|sizes| sizes.push(("fills", asked.fills.len())));
                let outcomes = vec![v1::FillOutcome::default(); asked.fills.len()];
                v1::FillReply { outcomes }.encode_to_vec()
            }
            "Invalidate" => {
                let asked = v1::InvalidateRequest::decode(call.message).expect("a request");
                let Some(v1::invalidate_request::Target::Keys(keys)) = asked.target else {
                    panic!("it names keys")
                };
                told.send_modify(|sizes| sizes.push(("invalidated", keys.keys.len())));
                let version = Bytes::from_static(b"v");
                v1::InvalidateReply {
                    version,
                    ..v1::InvalidateReply::default()
                }
                .encode_to_vec()
            }
            other => panic!("{other}"),
        };
        bytes.into()
    })
    .await;
    let users = users(at).await;
    let keys = ["a", "b", "c", "d"];
    let load = |keys: Vec<Bytes>| async move {
        let found = keys.into_iter().map(|key| (key, "value"));
        Ok::<LoadedMany<_>, String>(found.collect())
    };
    let found = users.get_many_or_load(keys, load).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    users.invalidate_keys(keys).await.expect("it takes effect");
    let sizes = sizes.borrow().clone();
    let expected = [
        ("keys", 3),
        ("fills", 2),
        ("fills", 1),
        ("keys", 1),
        ("fills", 1),
        ("invalidated", 3),
        ("invalidated", 1),
    ];
    assert_eq!(sizes, expected);
}

#[tokio::test]
async fn the_sidecar_is_told_how_long_a_call_may_take() {
    static TOLD: OnceLock<(String, Option<u32>)> = OnceLock::new();
    let at = raw::serve(|call| {
        if call.method == "Get" {
            let timeout = call.headers.get("grpc-timeout").expect("it has a deadline");
            let timeout = timeout.to_str().expect("text").to_owned();
            let asked = v1::GetRequest::decode(call.message).expect("a request");
            drop(TOLD.set((timeout, asked.wait_ms)));
            return reply("Get", 1);
        }
        reply(&call.method, 0)
    })
    .await;
    let users = users(at).await.within(Duration::from_secs(3));
    let load = || async { Ok::<_, String>("never") };
    users.get_or_load("42", load).await.expect("it is held");
    let (timeout, wait) = TOLD.get().expect("it was asked");
    // The units of the protocol: what is left of three seconds.
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let left: u64 = digits.parse().expect("digits");
    let micros = match unit {
        "m" => left * 1_000,
        "u" => left,
        "n" => left / 1_000,
        other => panic!("{other}"),
    };
    assert!((1..=3_000_000).contains(&micros), "{timeout}");
    assert_eq!(*wait, Some(3_000), "no longer than the whole call");
}

#[tokio::test]
async fn a_value_larger_than_a_message_used_to_be_is_read() {
    let users = later(v1::GetReply {
        found: Some(v1::get_reply::Found::Value(vec![7; 5 << 20].into())),
        ..v1::GetReply::default()
    })
    .await;
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(held.expect("it is held").len(), 5 << 20);
}
