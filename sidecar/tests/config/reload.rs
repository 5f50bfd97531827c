//! Other files for a sidecar under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_sidecar::Sidecar;
use millpond_sidecar::config::Source;
use tonic::transport::Endpoint;

use crate::Folder;

const RELOADS: u64 = 50;
const CALLERS: usize = 4;

fn good(seconds: u64) -> String {
    format!("apiVersion: millpond/v1\ncaches: {{users: {{fresh: {seconds}s, mode: on}}}}\n")
}

/// Wrong in one place, and different from what is in force in another.
fn bad(number: u64) -> String {
    let wrong = match number % 4 {
        0 => "memory: lots",
        1 => "caches: {users: {fresh: 1}}",
        2 => "caches: {users: {mode: bypass}, Users: {}}",
        _ => "caches: {users: {fresh: 999s}",
    };
    format!("apiVersion: millpond/v1\n{wrong}\n")
}

fn read(key: &str) -> v1::GetRequest {
    v1::GetRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        key: key.as_bytes().to_vec().into(),
        load: v1::Load::Caller.into(),
        ..v1::GetRequest::default()
    }
}

fn fill(key: &str, lease: v1::Lease) -> v1::FillRequest {
    v1::FillRequest {
        tenant: "acme".to_owned(),
        cache: "users".to_owned(),
        fills: vec![v1::Fill {
            key: key.as_bytes().to_vec().into(),
            lease: Some(lease),
            settlement: Some(v1::fill::Settlement::Value("v".into())),
            ..v1::Fill::default()
        }],
    }
}

/// Reads and fills until told to stop; counts the calls that ended well.
async fn call(address: String, number: usize, stop: Arc<AtomicBool>, calls: Arc<AtomicU64>) {
    let endpoint = Endpoint::from_shared(address).expect("a URI");
    let mut client = CacheServiceClient::new(endpoint.connect().await.expect("it accepts"));
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{number}-{}", round % 97);
        round += 1;
        let answer = client
            .get(read(&key))
            .await
            .expect("no call fails")
            .into_inner();
        if let Some(lease) = answer.lease {
            let filled = client.fill(fill(&key, lease)).await;
            let filled = filled.expect("no call fails").into_inner();
            assert_eq!(
                filled.outcomes[0].outcome(),
                v1::fill_outcome::Outcome::Stored
            );
        } else {
            assert!(answer.found.is_some(), "{answer:?}");
        }
        calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until that many calls more have ended, within a bound.
async fn until(calls: &AtomicU64, more: u64) {
    let wanted = calls.load(Ordering::Relaxed) + more;
    let enough = async {
        while calls.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, enough)
        .await
        .expect("calls go on");
}

#[tokio::test]
async fn fifty_reloads_under_load_half_of_them_bad_fail_no_call() {
    let folder = Folder::new("reload-load");
    folder.write(&good(1_000));
    let source = Source::new(Some(folder.file()), |_| None);
    let source = ["listen", "probe", "admin"]
        .iter()
        .fold(source, |source, path| {
            source.with_flag(path, path, "127.0.0.1:0".into())
        })
        .with_flag("socket", "socket", "off".into());
    let reading = source.read().expect("it is there");
    assert_eq!(reading.mistakes, []);
    let sidecar = Sidecar::start(reading.config).expect("free ports are free");
    let address = format!("http://{}", sidecar.tcp().expect("it listens on TCP"));

    let (stop, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            tokio::spawn(call(
                address.clone(),
                number,
                Arc::clone(&stop),
                Arc::clone(&calls),
            ))
        })
        .collect();
    until(&calls, 50).await;

    let fresh = || {
        let scope = sidecar.pond().scope_named("acme", "users").expect("room");
        scope.policy().fresh.as_secs()
    };
    let mut in_force = 1_000;
    for number in 0..RELOADS {
        let is_good = number % 2 == 0;
        if is_good {
            in_force = 2_000 + number;
            folder.write(&good(in_force));
        } else {
            folder.write(&bad(number / 2));
        }
        let reloader = sidecar.reloader().clone();
        let reloaded = tokio::task::spawn_blocking(move || reloader.reload());
        let reloaded = reloaded.await.expect("no panic");
        assert_eq!(reloaded.is_ok(), is_good, "{reloaded:?}");
        assert_eq!(fresh(), in_force);
        until(&calls, 20).await;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no call failed");
    }
    let state = sidecar.reloader().state();
    assert_eq!((state.reloads, state.refused), (RELOADS / 2, RELOADS / 2));
    assert!(!state.errors.is_empty(), "the last one was bad");
    tokio::task::spawn_blocking(move || sidecar.shutdown())
        .await
        .expect("it ends");
}
