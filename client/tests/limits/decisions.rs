//! What is decided, the same in process and in the sidecar.

use std::time::Duration;

use millpond_client::tenants::{NamedQuota, State};
use millpond_client::{Error, LimitReason};

use crate::venue::{SECOND, Venue, named, quota};

crate::everywhere!(
    a_burst_is_allowed_then_it_says_when_to_come_back,
    what_costs_more_than_the_bucket_holds_is_never_allowed,
    asking_spends_nothing,
    keys_have_buckets_of_their_own_within_the_limit,
    charges_are_spent_all_or_none,
    a_limit_in_shadow_allows_and_says_that_it_would_not,
    a_tenant_that_is_not_served_is_told_apart_from_one_that_is_in_maintenance,
    where_nothing_limits_nothing_decides,
    what_is_not_of_its_form_or_not_known_is_an_error,
    a_granted_limit_decides_as_the_limit_does,
);

async fn a_burst_is_allowed_then_it_says_when_to_come_back(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let requests = venue.pond.requests();
    for left in [2, 1, 0] {
        let decision = requests.acquire("acme").await.expect("it answers");
        assert!(decision.allowed && decision.reason == LimitReason::Ok);
        assert_eq!((decision.capacity, decision.remaining), (3, left));
        assert_eq!((decision.rate, decision.period), (1, SECOND));
        assert_eq!(decision.decided_by.expect("it is limited").limit(), "");
        assert!(!decision.without_sidecar);
    }
    let denied = requests.acquire("acme").await.expect("it answers");
    assert!(!denied.allowed);
    assert_eq!(denied.reason, LimitReason::OverLimit);
    assert_eq!(
        (denied.retry_after, denied.reset_after),
        (SECOND, 3 * SECOND)
    );
    venue.clock.advance(SECOND);
    assert!(requests.acquire("acme").await.expect("it answers").allowed);
    assert!(!requests.acquire("acme").await.expect("it answers").allowed);
}

async fn what_costs_more_than_the_bucket_holds_is_never_allowed(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let decision = venue.pond.requests().cost(4).wait(10 * SECOND);
    let decision = decision.acquire("acme").await.expect("it answers");
    assert_eq!(decision.reason, LimitReason::Never);
    assert_eq!(
        (decision.allowed, decision.retry_after),
        (false, Duration::ZERO)
    );
    assert_eq!(venue.left("acme").await, 3);
}

async fn asking_spends_nothing(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let requests = venue.pond.requests().cost(2);
    for _ in 0..5 {
        assert!(requests.peek("acme").await.expect("it answers").allowed);
        let zero = requests.clone().cost(0).acquire("acme").await;
        assert!(zero.expect("it answers").allowed);
    }
    assert!(requests.acquire("acme").await.expect("it answers").allowed);
    let peeked = requests.peek("acme").await.expect("it answers");
    assert_eq!((peeked.allowed, peeked.retry_after), (false, SECOND));
}

async fn keys_have_buckets_of_their_own_within_the_limit(venue: Venue) {
    let sms = named("sms", Some(quota(1, 3)), Some(quota(1, 2)));
    venue.put("acme", None, vec![sms]);
    let sms = venue.pond.limit("sms").expect("a name");
    let (ada, bob) = (sms.clone().key("ada"), sms.key("bob"));
    for _ in 0..2 {
        assert!(ada.acquire("acme").await.expect("it answers").allowed);
    }
    let denied = ada.acquire("acme").await.expect("it answers");
    let by = denied.decided_by.expect("a bucket decided");
    assert_eq!(
        (denied.allowed, by.limit(), by.keyed()),
        (false, "sms", true)
    );
    assert!(bob.acquire("acme").await.expect("it answers").allowed);
    // The limit's own is spent now.
    let denied = bob.acquire("acme").await.expect("it answers");
    let by = denied.decided_by.expect("a bucket decided");
    assert_eq!(
        (denied.allowed, by.limit(), by.keyed()),
        (false, "sms", false)
    );
}

async fn charges_are_spent_all_or_none(venue: Venue) {
    let limits = vec![
        named("reads", Some(quota(1, 5)), None),
        named("writes", Some(quota(1, 1)), None),
    ];
    venue.put("acme", None, limits);
    let charges = venue.pond.charges();
    let both = charges.limit("reads", 2).expect("a name");
    let both = both.limit("writes", 1).expect("a name");
    assert!(both.peek("acme").await.expect("it answers").allowed);
    assert!(both.acquire("acme").await.expect("it answers").allowed);
    let denied = both.acquire("acme").await.expect("it answers");
    assert_eq!(denied.decided_by.expect("a bucket").limit(), "writes");
    let reads = venue.pond.limit("reads").expect("a name");
    let left = reads.peek("acme").await.expect("it answers").remaining;
    assert_eq!(left, 3, "the second call spent nothing");
}

async fn a_limit_in_shadow_allows_and_says_that_it_would_not(venue: Venue) {
    let shadow = NamedQuota {
        shadow: true,
        ..named("new", Some(quota(1, 1)), None)
    };
    venue.put("acme", None, vec![shadow]);
    let limit = venue.pond.limit("new").expect("a name");
    for would_deny in [false, true] {
        let decision = limit.acquire("acme").await.expect("it answers");
        assert_eq!((decision.allowed, decision.would_deny), (true, would_deny));
    }
}

async fn a_tenant_that_is_not_served_is_told_apart_from_one_that_is_in_maintenance(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let requests = venue.pond.requests();
    venue.set_state("acme", State::Suspended);
    let decision = requests.acquire("acme").await.expect("it answers");
    assert_eq!(decision.reason, LimitReason::Suspended);
    assert_eq!(
        (decision.allowed, decision.retry_after),
        (false, Duration::ZERO)
    );
    venue.set_state("acme", State::Maintenance);
    let decision = requests.acquire("acme").await.expect("it answers");
    assert_eq!(decision.reason, LimitReason::Unavailable);
    assert_eq!((decision.allowed, decision.retry_after), (false, SECOND));
    venue.set_state("acme", State::Active);
    assert!(requests.acquire("acme").await.expect("it answers").allowed);
}

async fn where_nothing_limits_nothing_decides(venue: Venue) {
    venue.put("acme", None, Vec::new());
    let decision = venue.pond.requests().acquire("acme").await;
    let decision = decision.expect("it answers");
    assert!(decision.allowed);
    assert_eq!((decision.decided_by, decision.capacity), (None, 0));
}

async fn what_is_not_of_its_form_or_not_known_is_an_error(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let (pond, requests) = (&venue.pond, venue.pond.requests());
    let bad = |error: Error| matches!(error, Error::BadField(_));
    assert!(bad(pond.limit("API").expect_err("upper case")));
    assert!(bad(requests
        .acquire("no tenant")
        .await
        .expect_err("a space")));
    let long = requests.clone().key(vec![0; 1_025]);
    assert!(bad(long.acquire("acme").await.expect_err("too long")));
    let unknown = pond.limit("unheard-of").expect("a name");
    for refused in [
        unknown.acquire("acme").await,
        unknown.peek("acme").await,
        pond.charges().acquire("acme").await,
    ] {
        assert!(
            matches!(refused, Err(Error::Rejected { .. })),
            "{refused:?}"
        );
    }
    let refused = unknown.granted().acquire("acme").await;
    assert!(
        matches!(refused, Err(Error::Rejected { .. })),
        "{refused:?}"
    );
    assert_eq!(venue.left("acme").await, 3);
}

async fn a_granted_limit_decides_as_the_limit_does(venue: Venue) {
    let api = named("api", Some(quota(1, 10)), None);
    venue.put("acme", None, vec![api]);
    let granted = venue.pond.limit("api").expect("a name").granted();
    let acme = granted.tenant("acme").expect("a name");
    for _ in 0..10 {
        let decision = acme.acquire().await.expect("it answers");
        assert!(decision.allowed, "{decision:?}");
        assert_eq!(decision.decided_by.expect("it is limited").limit(), "api");
        assert_eq!(decision.capacity, 10);
    }
    assert!(!acme.spend());
    let denied = acme.acquire().await.expect("it answers");
    assert_eq!(denied.reason, LimitReason::OverLimit);
    assert!(!denied.retry_after.is_zero() && denied.retry_after <= SECOND);
    let never = granted.clone().cost(11).acquire("acme").await;
    assert_eq!(never.expect("it answers").reason, LimitReason::Never);
    venue.set_state("acme", State::Suspended);
    let other = granted.clone().key("another");
    let suspended = other.acquire("acme").await.expect("it answers");
    assert_eq!(suspended.reason, LimitReason::Suspended);
}
