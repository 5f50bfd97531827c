//! Client and sidecar one revision apart: what was recorded of revision 1 is played
//! to today's other half, and today's client is answered by what does not exist yet.

mod later;
mod raw;
mod recording;

use bytes::Bytes;
use millpond_client::{Durability, Held, RemoteConfig, Source, TenantCache};
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

pub(crate) async fn users(at: std::net::SocketAddr) -> TenantCache {
    let config = RemoteConfig::new(&at.to_string()).expect("the address is one");
    let pond = config.connect().await.expect("it answers");
    let users = pond.cache("users").expect("the name is one");
    users.tenant("acme").expect("the name is one")
}

/// Fields that no revision has yet, of each kind, as a later one would add them.
pub(crate) fn with_unknown(reply: &Bytes) -> Bytes {
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
