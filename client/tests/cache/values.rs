//! What is kept, for how long, and what is known of it.

use millpond_client::{Error, Held, Item, Loaded, Source, Times};
use millpond_core::cache::{CacheName, Mode};

use crate::everywhere;
use crate::venue::{Loads, Venue, policy, seconds, some, text};

everywhere!(
    absence_is_remembered_for_its_time,
    an_undeclared_cache_remembers_no_absence,
    a_value_tells_where_it_comes_from_and_how_old_it_is,
    a_call_may_set_its_own_times,
    a_set_over_another_version_writes_nothing,
    a_value_too_large_to_keep_goes_to_those_who_wait,
    a_cache_that_is_switched_off_loads_for_each_caller,
);

async fn absence_is_remembered_for_its_time(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::free());
    let nobody = users.get_or_load("42", loads.of(Loaded::absent())).await;
    assert_eq!(nobody, Ok(None));
    assert_eq!(users.get("42").await, Ok(Held::Absent));
    venue.clock.advance(seconds(4));
    let nobody = users.get_or_load("42", loads.of("never")).await;
    assert_eq!(nobody, Ok(None));
    venue.clock.advance(seconds(1));
    let somebody = users.get_or_load("42", loads.of("Ada")).await;
    assert_eq!(text(somebody), some("Ada"));
    assert_eq!(loads.begun(), 2);
}

async fn an_undeclared_cache_remembers_no_absence(venue: Venue) {
    let (plain, loads) = (venue.of("plain", "acme"), Loads::free());
    for begun in 1..=2 {
        let nobody = plain.get_or_load("42", loads.of(Loaded::absent())).await;
        assert_eq!(nobody, Ok(None));
        assert_eq!(loads.begun(), begun);
    }
    let for_a_while = Loaded::absent_for(seconds(1));
    let nobody = plain.get_or_load("42", loads.of(for_a_while)).await;
    assert_eq!(nobody, Ok(None));
    assert_eq!(plain.get("42").await, Ok(Held::Absent));
}

async fn a_value_tells_where_it_comes_from_and_how_old_it_is(venue: Venue) {
    let users = venue.users();
    let item = Item::new("Ada").etag("v1").tags(["team:7"]);
    let own = users.get_or_load("42", Loads::free().of(item)).await;
    let own = own.expect("it loads").expect("it is there");
    assert_eq!((own.source(), own.age()), (Source::Loaded, seconds(0)));
    venue.clock.advance(seconds(10));

    let held = users.get("42").await.expect("it answers").value();

    let held = held.expect("it is held");
    assert_eq!(held.source(), Source::L1);
    assert_eq!(held.age(), seconds(10));
    assert_eq!(held.fresh_for(), Some(seconds(20)));
    assert_eq!(held.etag()[..], *b"v1");
    assert_eq!(held.stale(), None);
    assert_eq!(held.version(), own.version());
    assert!(held.version().is_some());
}

async fn a_call_may_set_its_own_times(venue: Venue) {
    let plain = venue.of("plain", "acme");
    let times = Times {
        fresh: Some(seconds(1)),
        stale: Some(seconds(2)),
        stale_if_error: None,
    };
    let item = Item::new("Ada").times(times);
    plain.set("42", item).await.expect("it is set");
    venue.clock.advance(seconds(2));
    let held = plain.get("42").await.expect("it answers").value();
    assert!(held.expect("it is held").stale().is_some());
    venue.clock.advance(seconds(1));
    assert_eq!(plain.get("42").await, Ok(Held::Nothing));
}

async fn a_set_over_another_version_writes_nothing(venue: Venue) {
    let users = venue.users();
    let first = users.set("42", "first").await.expect("it is set");
    let second = users.set_over(first, "42", "second").await;
    let second = second.expect("it answers").expect("it is set");
    assert_ne!(first, second);
    assert_eq!(users.set_over(first, "42", "third").await, Ok(None));
    let held = users.get("42").await.expect("it answers").value();
    let held = held.expect("it is held");
    assert_eq!((&held[..], held.version()), (&b"second"[..], Some(second)));
}

async fn a_value_too_large_to_keep_goes_to_those_who_wait(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let large = vec![7; policy().max_value + 1];
    let (leading, load) = (users.clone(), loads.of(large.clone()));
    let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
    loads.until_begun(1).await;
    let (following, load) = (users.clone(), loads.of("never"));
    let follower = tokio::spawn(async move { following.get_or_load("42", load).await });
    venue.until(|totals| totals.coalesced == 1).await;

    loads.open();

    for read in [leader.await, follower.await] {
        let value = read.expect("no panic").expect("it loads");
        assert_eq!(value.expect("it is there")[..], large);
    }
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
    let refused = users.set("42", large).await;
    let message = "value: 1001 bytes, limit 1000".to_owned();
    assert_eq!(refused, Err(Error::Rejected { message }));
}

async fn a_cache_that_is_switched_off_loads_for_each_caller(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::free());
    users.set("42", "held").await.expect("it is set");
    let cache = CacheName::parse("users").expect("a valid name");
    let switched = venue.core.switch(&cache, Some(Mode::Bypass));
    switched.expect("it is in use");
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
    for begun in 1..=2 {
        let own = users.get_or_load("42", loads.of("own")).await;
        assert_eq!(text(own), some("own"));
        assert_eq!(loads.begun(), begun);
    }
}
