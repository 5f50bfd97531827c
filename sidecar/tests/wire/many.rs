//! Several keys in one call.

use millpond_proto::v1;
use millpond_proto::v1::fill_outcome::Outcome;
use tokio::time::timeout;

use crate::support::{Client, LONG, Pod, fill, fill_outcome, get_many, give_up, lead, set, value};

async fn read_many(client: &Client, keys: &[&'static str]) -> Vec<v1::GetReply> {
    let reply = client.clone().get_many(get_many(keys)).await;
    reply.expect("it is well formed").into_inner().entries
}

#[tokio::test]
async fn callers_that_lead_what_the_other_follows_do_not_wait_for_each_other() {
    let pod = Pod::start();
    let (one, two) = (pod.client().await, pod.client().await);
    let ours = lead(&one, "a").await;
    let theirs = lead(&two, "b").await;

    // Each asks for the other's key and for one that nobody leads: whoever is granted a
    // lease waits for none.
    let first = tokio::spawn({
        let one = one.clone();
        async move { read_many(&one, &["a", "c"]).await }
    });
    let first = timeout(LONG, first)
        .await
        .expect("a lease is never waited with")
        .expect("it ends");
    assert_eq!(first[0].reason(), v1::Reason::Loading);
    let granted = first[1].lease.expect("nobody leads c");
    let second = timeout(LONG, read_many(&two, &["b", "c", "d"]))
        .await
        .expect("nor here");
    assert_eq!(second[0].reason(), v1::Reason::Loading);
    assert_eq!(second[1].reason(), v1::Reason::Loading);
    assert!(second[2].lease.is_some());

    for (client, key, lease) in [(&one, "a", ours), (&two, "b", theirs), (&one, "c", granted)] {
        assert_eq!(
            fill_outcome(client, fill(key, lease, key)).await,
            Outcome::Stored
        );
    }
    let both = timeout(LONG, read_many(&one, &["a", "b", "c"]))
        .await
        .expect("all are held");
    assert_eq!(
        both.iter().map(value).collect::<Vec<_>>(),
        [Some(&b"a"[..]), Some(b"b"), Some(b"c")]
    );
}

#[tokio::test]
async fn without_a_lease_all_that_is_led_elsewhere_is_waited_for() {
    let pod = Pod::start();
    let client = pod.client().await;
    let (a, b) = (lead(&client, "a").await, lead(&client, "b").await);
    client
        .clone()
        .set(set("held", "held"))
        .await
        .expect("it is set");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { read_many(&client, &["b", "held", "a"]).await }
    });
    pod.until_coalesced(2).await;
    for (key, lease) in [("a", a), ("b", b)] {
        assert_eq!(
            fill_outcome(&client, fill(key, lease, key)).await,
            Outcome::Stored
        );
    }
    let entries = timeout(LONG, waiting)
        .await
        .expect("both are settled")
        .expect("it ends");
    let values: Vec<_> = entries.iter().map(value).collect();
    assert_eq!(values, [Some(&b"b"[..]), Some(b"held"), Some(b"a")]);
}

#[tokio::test]
async fn a_call_that_is_promoted_while_it_waits_stops_waiting_for_the_rest() {
    let pod = Pod::start();
    let client = pod.client().await;
    let (a, _b) = (lead(&client, "a").await, lead(&client, "b").await);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { read_many(&client, &["a", "b"]).await }
    });
    pod.until_coalesced(2).await;
    assert_eq!(
        fill_outcome(&client, give_up("a", a)).await,
        Outcome::Unspecified
    );
    let entries = timeout(LONG, waiting)
        .await
        .expect("it leads now")
        .expect("it ends");
    assert!(entries[0].lease.is_some());
    assert_eq!(entries[1].reason(), v1::Reason::Loading);
}

#[tokio::test]
async fn a_key_asked_twice_is_led_once() {
    let pod = Pod::start();
    let client = pod.client().await;
    let entries = timeout(LONG, read_many(&client, &["a", "a"]))
        .await
        .expect("it ends");
    assert!(entries[0].lease.is_some() && entries[1].lease.is_none());
    assert_eq!(entries[1].reason(), v1::Reason::Loading);
}

#[tokio::test]
async fn what_does_not_fit_one_message_is_left_for_the_next() {
    const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let pod = Pod::start();
    let client = pod.client().await;
    for key in KEYS {
        let large = vec![7; 1 << 20];
        client
            .clone()
            .set(set(key, large))
            .await
            .expect("it is set");
    }
    // The client refuses messages above 4 MiB, as clients do by default.
    let entries = read_many(&client, &KEYS).await;
    let found = entries.iter().filter(|entry| entry.found.is_some()).count();
    assert_eq!(found, 3);
    assert!(
        entries[3..]
            .iter()
            .all(|entry| entry.reason() == v1::Reason::Loading)
    );
}

/// How often two callers meet.
const ROUNDS: usize = 1_000;

fn keys(round: usize, names: &[&str]) -> v1::GetManyRequest {
    v1::GetManyRequest {
        keys: names
            .iter()
            .map(|name| v1::KeyRequest {
                key: format!("{name} {round}").into(),
                ..v1::KeyRequest::default()
            })
            .collect(),
        // A wait for each other would end by this, and be seen.
        wait_ms: Some(10_000),
        ..get_many(&[])
    }
}

async fn fill_granted(client: &Client, asked: &v1::GetManyRequest, entries: &[v1::GetReply]) {
    let granted = entries.iter().zip(&asked.keys);
    let fills: Vec<_> = granted
        .filter_map(|(entry, wanted)| {
            Some(v1::Fill {
                key: wanted.key.clone(),
                lease: Some(entry.lease?),
                settlement: Some(v1::fill::Settlement::Value(wanted.key.clone())),
                ..v1::Fill::default()
            })
        })
        .collect();
    let request = v1::FillRequest {
        tenant: asked.tenant.clone(),
        cache: asked.cache.clone(),
        fills,
    };
    let reply = client.clone().fill(request).await;
    let outcomes = reply.expect("it is well formed").into_inner().outcomes;
    assert!(
        outcomes
            .iter()
            .all(|filled| filled.outcome() == Outcome::Stored)
    );
}

async fn asked(client: &Client, request: &v1::GetManyRequest) -> Vec<v1::GetReply> {
    let reply = client.clone().get_many(request.clone()).await;
    reply.expect("it is well formed").into_inner().entries
}

#[tokio::test]
async fn crosswise_bulk_reads_are_answered_before_either_loads_a_thousand_times() {
    let pod = Pod::start();
    let (one, two) = (pod.client().await, pod.client().await);
    for round in 0..ROUNDS {
        // Each is granted one key and meets the one the other was granted. Nothing is
        // filled before all are answered: a wait here would be for ever.
        let (first, crossed, back) = (
            keys(round, &["a"]),
            keys(round, &["b", "a"]),
            keys(round, &["c", "b"]),
        );
        let ours = asked(&one, &first).await;
        let theirs = asked(&two, &crossed).await;
        let more = asked(&one, &back).await;
        assert!(ours[0].lease.is_some() && theirs[0].lease.is_some() && more[0].lease.is_some());
        assert_eq!(theirs[1].reason(), v1::Reason::Loading);
        assert_eq!(more[1].reason(), v1::Reason::Loading);
        fill_granted(&one, &first, &ours).await;
        fill_granted(&one, &back, &more).await;
        fill_granted(&two, &crossed, &theirs).await;
    }
    let totals = pod.running.pond().totals();
    assert_eq!(
        (totals.leads, totals.coalesced),
        (3 * ROUNDS as u64, 2 * ROUNDS as u64)
    );
}

/// Asks, loads what it is granted, and asks again until it has all. How often it
/// asked.
async fn until_all_is_held(client: &Client, request: &v1::GetManyRequest) -> usize {
    for asks in 1..=3 {
        let entries = asked(client, request).await;
        if entries.iter().all(|entry| value(entry).is_some()) {
            return asks;
        }
        for entry in &entries {
            let led = entry.lease.is_some();
            assert!(led || value(entry).is_some() || entry.reason() == v1::Reason::Loading);
        }
        fill_granted(client, request, &entries).await;
    }
    panic!("a third question is answered in full");
}

#[tokio::test]
async fn crosswise_bulk_reads_that_race_wait_for_one_load_a_thousand_times() {
    let pod = Pod::start();
    let (one, two) = (pod.client().await, pod.client().await);
    for round in 0..ROUNDS {
        let (forth, back) = (
            keys(round, &["a", "b", "c", "d"]),
            keys(round, &["d", "c", "b", "a"]),
        );
        let ((), ()) = timeout(LONG, async {
            tokio::join!(
                async { assert!(until_all_is_held(&one, &forth).await <= 3) },
                async { assert!(until_all_is_held(&two, &back).await <= 3) }
            )
        })
        .await
        .expect("nobody waits for a lease to run out");
    }
    // Each key was loaded once.
    assert_eq!(pod.running.pond().totals().leads, 4 * ROUNDS as u64);
}
