//! Tokens held until the real cost is known.

use millpond_client::{Error, Reservation, Reserved, Settlement};

use crate::venue::{Far, SECOND, Venue, in_time, named, quota, until};

crate::everywhere!(
    a_commit_settles_to_the_real_cost,
    what_is_released_or_dropped_goes_back,
    what_cannot_be_held_is_denied,
    a_hold_that_ended_goes_back_and_a_late_commit_is_charged,
    several_charges_are_settled_each_to_its_cost,
);

async fn held(venue: &Venue, cost: u64) -> Reservation {
    let requests = venue.pond.requests();
    let reserved = requests.reserve("acme", cost, 60 * SECOND).await;
    reserved
        .expect("it answers")
        .held()
        .expect("there are tokens")
}

async fn a_commit_settles_to_the_real_cost(venue: Venue) {
    venue.put("acme", Some(quota(1, 10)), Vec::new());
    let less = held(&venue, 5).await;
    assert!(less.decision().allowed);
    assert_eq!(venue.left("acme").await, 5);
    assert_eq!(less.commit(2).await, Ok(Settlement::Done));
    assert_eq!(venue.left("acme").await, 8);
    let more = held(&venue, 5).await;
    assert_eq!(more.commit(12).await, Ok(Settlement::Done));
    let peeked = venue.pond.requests().peek("acme").await;
    let peeked = peeked.expect("it answers");
    assert_eq!(
        (peeked.remaining, peeked.retry_after),
        (0, 5 * SECOND),
        "a debt"
    );
}

async fn what_is_released_or_dropped_goes_back(venue: Venue) {
    venue.put("acme", Some(quota(1, 10)), Vec::new());
    let released = held(&venue, 4).await;
    let dropped = held(&venue, 4).await;
    assert_eq!(venue.left("acme").await, 2);
    assert_eq!(released.release().await, Ok(Settlement::Done));
    assert_eq!(venue.left("acme").await, 6);
    drop(dropped);
    until(async || venue.left("acme").await == 10).await;
}

async fn what_cannot_be_held_is_denied(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let _held = held(&venue, 2).await;
    let reserved = venue.pond.requests().reserve("acme", 2, 60 * SECOND).await;
    let Reserved::Denied(decision) = reserved.expect("it answers") else {
        panic!("there is one left");
    };
    assert_eq!((decision.allowed, decision.retry_after), (false, SECOND));
}

async fn a_hold_that_ended_goes_back_and_a_late_commit_is_charged(venue: Venue) {
    venue.put("acme", Some(quota(1, 1_000)), Vec::new());
    let late = held(&venue, 500).await;
    assert_eq!(venue.left("acme").await, 500);
    venue.clock.advance(61 * SECOND);
    // 61 came back by themselves.
    until(async || venue.left("acme").await == 1_000).await;
    assert_eq!(late.commit(300).await, Ok(Settlement::Late));
    assert_eq!(venue.left("acme").await, 700);
}

async fn several_charges_are_settled_each_to_its_cost(venue: Venue) {
    let limits = vec![
        named("reads", Some(quota(1, 10)), None),
        named("writes", Some(quota(1, 10)), None),
    ];
    venue.put("acme", None, limits);
    let charges = venue.pond.charges();
    let both = charges.limit("reads", 5).expect("a name");
    let both = both.limit("writes", 5).expect("a name");
    let left = async |limit| {
        let limit = venue.pond.limit(limit).expect("a name");
        limit.peek("acme").await.expect("it answers").remaining
    };
    let reserve = async || {
        let reserved = both.reserve("acme", 60 * SECOND).await;
        reserved.expect("it answers").held().expect("there are")
    };
    let settled = reserve().await.commit_each(&[1, 4]).await;
    assert_eq!(settled, Ok(Settlement::Done));
    assert_eq!((left("reads").await, left("writes").await), (9, 6));
    let refused = reserve().await.commit(1).await;
    assert!(
        matches!(refused, Err(Error::Rejected { .. })),
        "{refused:?}"
    );
    until(async || (left("reads").await, left("writes").await) == (9, 6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_met_no_sidecar_is_made_when_it_is_back() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.venue.put("acme", Some(quota(1, 10)), Vec::new());
        let reserved = far.pond.requests().reserve("acme", 2, 60 * SECOND).await;
        let reserved = reserved.expect("it answers").held().expect("there are");
        far.proxy.shut();
        let committed = reserved.commit(7).await;
        assert!(
            matches!(committed, Err(Error::Unavailable { .. })),
            "{committed:?}"
        );
        assert_eq!(far.venue.left_in_sidecar("acme"), 8);
        far.proxy.open();
        until(async || far.venue.left_in_sidecar("acme") == 3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_whose_caller_left_before_the_reply_goes_back() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.venue.put("acme", Some(quota(1, 10)), Vec::new());
        far.proxy.mute();
        let requests = far.pond.requests();
        let leaving = tokio::spawn(async move {
            let reserved = requests.reserve("acme", 4, 60 * SECOND).await;
            drop(reserved);
        });
        until(async || far.venue.left_in_sidecar("acme") == 6).await;
        leaving.abort();
        drop(leaving.await);
        far.proxy.open();
        until(async || far.venue.left_in_sidecar("acme") == 10).await;
    })
    .await;
}
