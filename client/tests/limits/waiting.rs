//! Who waits, in what order, and what becomes of those who leave.

use std::time::Duration;

use millpond_client::LimitReason;

use crate::venue::{SECOND, Venue, quota, until};

crate::everywhere!(
    those_who_wait_have_their_turns_in_order,
    who_would_wait_too_long_is_denied_at_once,
    who_leaves_before_its_turn_gives_the_tokens_back,
);

async fn those_who_wait_have_their_turns_in_order(venue: Venue) {
    venue.put("acme", Some(quota(20, 1)), Vec::new());
    let patient = venue.pond.requests().wait(10 * SECOND);
    let first = patient.acquire("acme").await.expect("it answers");
    assert_eq!((first.allowed, first.waited), (true, Duration::ZERO));
    let mut waiting = Vec::new();
    for turn in 1..=4_u32 {
        let patient = patient.clone();
        waiting.push(tokio::spawn(async move { patient.acquire("acme").await }));
        // Charged, before the next one comes.
        let behind = Duration::from_millis(50) * (turn + 1);
        until(async || {
            let peeked = venue.pond.requests().peek("acme").await;
            peeked.expect("it answers").retry_after == behind
        })
        .await;
    }
    for (turn, waiting) in (1..).zip(waiting) {
        let decision = waiting.await.expect("no panic").expect("it answers");
        assert!(decision.allowed);
        assert_eq!(decision.waited, Duration::from_millis(50) * turn);
    }
}

async fn who_would_wait_too_long_is_denied_at_once(venue: Venue) {
    venue.put("acme", Some(quota(1, 1)), Vec::new());
    let hasty = venue.pond.requests().wait(Duration::from_millis(900));
    assert!(hasty.acquire("acme").await.expect("it answers").allowed);
    let denied = hasty.acquire("acme").await.expect("it answers");
    assert_eq!(denied.reason, LimitReason::OverLimit);
    assert_eq!(
        (denied.retry_after, denied.waited),
        (SECOND, Duration::ZERO)
    );
}

async fn who_leaves_before_its_turn_gives_the_tokens_back(venue: Venue) {
    venue.put("acme", Some(quota(1, 1)), Vec::new());
    let patient = venue.pond.requests().wait(60 * SECOND);
    assert!(patient.acquire("acme").await.expect("it answers").allowed);
    let waits = async |seconds| {
        let peeked = venue.pond.requests().peek("acme").await;
        peeked.expect("it answers").retry_after == seconds * SECOND
    };
    assert!(waits(1).await);
    let waiting = tokio::spawn(async move { patient.acquire("acme").await });
    until(async || waits(2).await).await;
    waiting.abort();
    drop(waiting.await);
    until(async || waits(1).await).await;
}
