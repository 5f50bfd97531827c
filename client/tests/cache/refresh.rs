//! Stale answers: at once, refreshed once, kept when loading fails.

use millpond_client::{Context, Error, Item, Revalidated, StaleReason};
use tokio::task::JoinSet;

use crate::everywhere;
use crate::venue::{Down, Loads, Venue, seconds, some, tagged, text};

everywhere!(
    an_early_refresh_is_behind_a_fresh_answer,
    a_stale_value_is_answered_at_once_and_refreshed_once,
    a_failed_refresh_keeps_the_stale_value_and_says_why,
    a_failed_load_is_answered_with_what_is_held,
    who_takes_nothing_stale_gets_the_error,
    what_is_not_modified_is_fresh_again,
    a_background_load_may_find_nothing_modified,
    what_is_gone_before_it_is_confirmed_is_loaded_in_full,
    what_is_invalidated_before_it_is_confirmed_is_loaded_in_full,
    not_modified_without_a_validator_is_refused,
);

async fn a_stale_value_is_answered_at_once_and_refreshed_once(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    users.set("42", "old").await.expect("it is set");
    venue.clock.advance(seconds(31));
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (users, load) = (users.clone(), loads.of("new"));
        callers.spawn(async move { users.get_or_load("42", load).await });
    }
    // All return while no load can end, the one that refreshes among them.
    while let Some(read) = callers.join_next().await {
        let value = read.expect("no panic").expect("it is held");
        let value = value.expect("it is there");
        assert_eq!(value[..], *b"old");
        let stale = value.stale().expect("it is stale");
        assert_eq!(stale.reason, StaleReason::Revalidating);
    }
    loads.until_begun(1).await;
    loads.open();
    venue.until(|totals| totals.stored == 1).await;
    let read = users.get_or_load("42", loads.of("never")).await;
    assert_eq!(text(read), some("new"));
    assert_eq!(loads.begun(), 1);
}

async fn an_early_refresh_is_behind_a_fresh_answer(venue: Venue) {
    let (eager, loads) = (venue.of("eager", "acme"), Loads::held());
    let (loading, load) = (eager.clone(), loads.of("old"));
    let slow = tokio::spawn(async move { text(loading.get_or_load("42", load).await) });
    loads.until_begun(1).await;
    venue.clock.advance(seconds(9)); // which is its load time
    loads.open();
    assert_eq!(slow.await.expect("no panic"), some("old"));
    venue.clock.advance(seconds(15)); // as much is left

    let read = eager.get_or_load("42", loads.of("new")).await;

    let value = read.expect("it is held").expect("it is there");
    assert_eq!((&value[..], value.stale()), (&b"old"[..], None));
    venue.until(|totals| totals.stored == 2).await;
    let read = eager.get_or_load("42", loads.of("never")).await;
    assert_eq!(text(read), some("new"));
}

async fn a_failed_refresh_keeps_the_stale_value_and_says_why(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::free());
    users.set("42", "old").await.expect("it is set");
    venue.clock.advance(seconds(31));
    let read = users.get_or_load("42", loads.failing("no such host")).await;
    assert_eq!(text(read), some("old"));
    venue.until(|totals| totals.failed == 1).await;

    let read = users.get_or_load("42", loads.of("never")).await;

    let value = read.expect("it is held").expect("it is there");
    let stale = value.stale().expect("it is stale");
    assert_eq!(stale.reason, StaleReason::LoadFailed);
    assert!(stale.retry_after.is_some(), "it backs off");
    assert_eq!(loads.begun(), 1, "and until then nobody loads");
}

async fn a_failed_load_is_answered_with_what_is_held(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    users.set("42", "old").await.expect("it is set");
    venue.clock.advance(seconds(91));
    let (leading, load) = (users.clone(), loads.failing("no such host"));
    let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
    loads.until_begun(1).await;
    let (following, load) = (users.clone(), loads.of("never"));
    let follower = tokio::spawn(async move { following.get_or_load("42", load).await });
    venue.until(|totals| totals.coalesced == 1).await;

    loads.open();

    for read in [leader.await, follower.await] {
        let value = read.expect("no panic").expect("it is held");
        let value = value.expect("it is there");
        assert_eq!(value[..], *b"old");
        let stale = value.stale().expect("it is stale");
        assert_eq!(stale.reason, StaleReason::LoadFailed);
    }
    assert_eq!(loads.begun(), 1);
}

async fn who_takes_nothing_stale_gets_the_error(venue: Venue) {
    let (users, loads) = (venue.users().fresh_only(), Loads::free());
    users.set("42", "old").await.expect("it is set");
    venue.clock.advance(seconds(31));

    let read = users.get_or_load("42", loads.failing("no such host")).await;

    assert_eq!(read, Err(Error::Load(Down("no such host"))));
}

async fn what_is_not_modified_is_fresh_again(venue: Venue) {
    let users = venue.users();
    let set = users.set("42", tagged("Ada", "v1")).await;
    let set = set.expect("it is set");
    venue.clock.advance(seconds(91)); // beyond what is answered at once
    let confirm = |context: Context| async move {
        assert_eq!(context.etag.as_deref(), Some(&b"v1"[..]));
        Ok::<_, Down>(Revalidated::not_modified())
    };

    let value = users.get_or_revalidate("42", confirm).await;

    let value = value.expect("it is confirmed").expect("it is there");
    assert_eq!(value[..], *b"Ada");
    assert_eq!(value.stale(), None);
    assert_eq!(value.fresh_for(), Some(seconds(30)));
    assert_eq!(value.etag()[..], *b"v1");
    assert_ne!(value.version(), Some(set));
}

async fn a_background_load_may_find_nothing_modified(venue: Venue) {
    let users = venue.users();
    let set = users.set("42", tagged("Ada", "v1")).await;
    set.expect("it is set");
    venue.clock.advance(seconds(31));
    let confirm = |_: Context| async { Ok::<_, Down>(Revalidated::not_modified()) };

    let value = users.get_or_revalidate("42", confirm).await;

    let value = value.expect("it is held").expect("it is there");
    assert!(value.stale().is_some());
    venue.until(|totals| totals.stored == 1).await;
    let value = users.get("42").await.expect("it answers").value();
    assert_eq!(value.expect("it is held").stale(), None);
}

/// A loader that confirms what it is asked about, and else loads `value`.
fn confirming(
    loads: Loads,
    value: &'static str,
) -> impl FnMut(Context) -> std::pin::Pin<Box<dyn Future<Output = Result<Revalidated, Down>> + Send>>
+ Send {
    move |context| {
        let loads = loads.clone();
        Box::pin(async move {
            loads.pass().await;
            Ok(match context.etag {
                Some(_) => Revalidated::not_modified(),
                None => Revalidated::loaded(Item::new(value).etag("v2")),
            })
        })
    }
}

async fn what_is_gone_before_it_is_confirmed_is_loaded_in_full(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let set = users.set("42", tagged("old", "v1")).await;
    set.expect("it is set");
    venue.clock.advance(seconds(380)); // ten before its end
    let (reading, load) = (users.clone(), confirming(loads.clone(), "new"));
    let reader = tokio::spawn(async move { text(reading.get_or_revalidate("42", load).await) });
    loads.until_begun(1).await;

    venue.clock.advance(seconds(20));
    loads.open();

    assert_eq!(reader.await.expect("no panic"), some("new"));
    assert_eq!(loads.begun(), 2);
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(
        held.expect("it is stored under the same lease")[..],
        *b"new"
    );
}

async fn what_is_invalidated_before_it_is_confirmed_is_loaded_in_full(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let set = users.set("42", tagged("old", "v1")).await;
    set.expect("it is set");
    venue.clock.advance(seconds(91));
    let (reading, load) = (users.clone(), confirming(loads.clone(), "new"));
    let reader = tokio::spawn(async move { text(reading.get_or_revalidate("42", load).await) });
    loads.until_begun(1).await;

    users.invalidate("42").await.expect("it takes effect");
    loads.open();

    assert_eq!(reader.await.expect("no panic"), some("new"));
    assert_eq!(loads.begun(), 2);
}

async fn not_modified_without_a_validator_is_refused(venue: Venue) {
    let lying = |_: Context| async { Ok::<_, Down>(Revalidated::not_modified()) };
    let read = venue.users().get_or_revalidate("42", lying).await;
    let error = read.expect_err("there is nothing to confirm");
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
}
