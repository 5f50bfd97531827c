//! One load for all who ask: elected, followed, handed on.

use std::time::Duration;

use millpond_client::{Error, Held, Loaded};
use tokio::task::JoinSet;

use crate::everywhere;
use crate::venue::{Down, Loads, Venue, some, text};

everywhere!(
    a_thousand_callers_of_a_cold_key_load_it_once,
    when_the_leader_is_dropped_a_follower_loads_at_once,
    when_the_loader_panics_a_follower_loads_at_once,
    a_failed_load_is_told_to_its_followers_and_not_cached,
    a_follower_waits_no_longer_than_it_said,
    a_caller_that_leaves_at_any_moment_holds_nobody_up,
    a_loader_with_bad_tags_fails_for_all_who_wait,
);

async fn a_thousand_callers_of_a_cold_key_load_it_once(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let (users, load) = (users.clone(), loads.of("Ada"));
        callers.spawn(async move { text(users.get_or_load("42", load).await) });
    }
    venue.until(|totals| totals.coalesced == 999).await;
    loads.open();
    while let Some(read) = callers.join_next().await {
        assert_eq!(read.expect("no caller panics"), some("Ada"));
    }
    assert_eq!(loads.begun(), 1);
}

async fn when_the_leader_is_dropped_a_follower_loads_at_once(venue: Venue) {
    let (users, first, second) = (venue.users(), Loads::held(), Loads::free());
    let (leading, load) = (users.clone(), first.of("first"));
    let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
    first.until_begun(1).await;
    let (following, load) = (users.clone(), second.of("second"));
    let follower = tokio::spawn(async move { text(following.get_or_load("42", load).await) });
    venue.until(|totals| totals.coalesced == 1).await;

    leader.abort();

    // Time stands still, so it is not the lease's deadline that helps.
    assert_eq!(follower.await.expect("no panic"), some("second"));
    assert_eq!(second.begun(), 1);
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(held.expect("it is held")[..], *b"second");
}

async fn when_the_loader_panics_a_follower_loads_at_once(venue: Venue) {
    let (users, first, second) = (venue.users(), Loads::held(), Loads::free());
    let (leading, loads) = (users.clone(), first.clone());
    let leader = tokio::spawn(async move {
        let load = || async move {
            loads.pass().await;
            panic!("the loader's own");
            #[expect(unreachable_code, reason = "names the type")]
            Ok::<Loaded, Down>(Loaded::absent())
        };
        leading.get_or_load("42", load).await
    });
    first.until_begun(1).await;
    let (following, load) = (users.clone(), second.of("second"));
    let follower = tokio::spawn(async move { text(following.get_or_load("42", load).await) });
    venue.until(|totals| totals.coalesced == 1).await;

    first.open();

    assert_eq!(follower.await.expect("no panic"), some("second"));
    let leader = leader.await.expect_err("the panic goes to its caller");
    assert!(leader.is_panic());
}

async fn a_failed_load_is_told_to_its_followers_and_not_cached(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let (leading, load) = (users.clone(), loads.failing("no such host"));
    let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
    loads.until_begun(1).await;
    let mut followers = JoinSet::new();
    for _ in 0..10 {
        let (users, load) = (users.clone(), loads.of("never"));
        followers.spawn(async move { users.get_or_load("42", load).await });
    }
    venue.until(|totals| totals.coalesced == 10).await;

    loads.open();

    let own = leader.await.expect("no panic");
    assert_eq!(own, Err(Error::Load(Down("no such host"))));
    while let Some(read) = followers.join_next().await {
        let told = Error::Failed {
            message: "no such host".to_owned(),
            retry_after: None,
        };
        assert_eq!(read.expect("no panic"), Err(told));
    }
    assert_eq!(loads.begun(), 1);
    let again = users.get_or_load("42", Loads::free().of("Ada")).await;
    assert_eq!(text(again), some("Ada"));
}

async fn a_follower_waits_no_longer_than_it_said(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let (leading, load) = (users.clone(), loads.of("Ada"));
    let leader = tokio::spawn(async move { text(leading.get_or_load("42", load).await) });
    loads.until_begun(1).await;

    let hasty = users.wait(Duration::ZERO);
    let read = hasty.get_or_load("42", loads.of("never")).await;

    assert_eq!(read, Err(Error::WaitExpired));
    loads.open();
    assert_eq!(leader.await.expect("no panic"), some("Ada"));
    assert_eq!(loads.begun(), 1);
}

async fn a_caller_that_leaves_at_any_moment_holds_nobody_up(venue: Venue) {
    let users = venue.users();
    for moment in 0..64 {
        let key = format!("key {moment}");
        let mut leaving = Box::pin(users.get_or_load(&key, Loads::held().of("never")));
        for _ in 0..=moment {
            tokio::select! {
                biased;
                read = &mut leaving => panic!("its loader does not end: {read:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(leaving);
        // The lease would last: time stands still.
        let staying = users.get_or_load(&key, Loads::free().of("Ada")).await;
        assert_eq!(text(staying), some("Ada"), "left after {moment} polls");
    }
}

async fn a_loader_with_bad_tags_fails_for_all_who_wait(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let many = millpond_client::Item::new("Ada").tags(["tag"; 9]);
    let (leading, load) = (users.clone(), loads.of(many));
    let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
    loads.until_begun(1).await;
    let (following, load) = (users.clone(), loads.of("never"));
    let follower = tokio::spawn(async move { following.get_or_load("42", load).await });
    venue.until(|totals| totals.coalesced == 1).await;

    loads.open();

    let own = leader.await.expect("no panic").expect_err("it is refused");
    assert_eq!(own.to_string(), "tags: 9 tags, limit 8");
    let told = follower.await.expect("no panic").expect_err("it is told");
    assert!(matches!(told, Error::Failed { .. }), "{told:?}");
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
}
