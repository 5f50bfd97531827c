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

    // Each asks for both. Nobody is granted anything, so both wait...
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
