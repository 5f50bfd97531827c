//! What was invalidated is not read again, whatever was in flight.

use std::time::Duration;

use millpond_client::{Held, Invalidation, Item, Target};

use crate::everywhere;
use crate::venue::{Loads, Venue, seconds, some, text};

everywhere!(
    what_is_invalidated_while_it_loads_is_never_read,
    every_way_of_invalidating_reaches_what_it_names,
    a_soft_invalidation_leaves_a_stale_value,
    what_loads_while_replicas_lag_ends_with_the_lag,
    tenants_do_not_share,
);

async fn what_is_invalidated_while_it_loads_is_never_read(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::held());
    let (leading, load) = (users.clone(), loads.of("old"));
    let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
    loads.until_begun(1).await;

    users.invalidate("42").await.expect("it takes effect");
    loads.open();

    // It asked before the invalidation, and gets what it loaded.
    let own = leader.await.expect("no panic").expect("it loads");
    let own = own.expect("it is there");
    assert_eq!((&own[..], own.version()), (&b"old"[..], None));
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
    let next = users.get_or_load("42", Loads::free().of("new")).await;
    assert_eq!(text(next), some("new"));
}

async fn every_way_of_invalidating_reaches_what_it_names(venue: Venue) {
    let users = venue.users();
    let names = ["key", "first", "second", "tagged", "rest"];
    for name in names {
        let item = Item::new(name).tags([format!("tag {name}")]);
        users.set(name, item).await.expect("it is set");
    }
    let held = async || {
        let mut held = Vec::new();
        for name in names {
            if users.get(name).await.expect("it answers").value().is_some() {
                held.push(name);
            }
        }
        held
    };
    assert_eq!(held().await, names);
    users.invalidate("key").await.expect("it takes effect");
    assert_eq!(held().await, ["first", "second", "tagged", "rest"]);
    let keys = ["first", "second"];
    users.invalidate_keys(keys).await.expect("it takes effect");
    assert_eq!(held().await, ["tagged", "rest"]);
    let tags = ["tag tagged"];
    users.invalidate_tags(tags).await.expect("it takes effect");
    assert_eq!(held().await, ["rest"]);
    users.invalidate_all().await.expect("it takes effect");
    assert!(held().await.is_empty());
}

async fn a_soft_invalidation_leaves_a_stale_value(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::free());
    users.set("42", "old").await.expect("it is set");
    let soft = Invalidation {
        soft: true,
        ..Invalidation::default()
    };
    let done = users.invalidate_with(Target::keys(["42"]), soft).await;
    done.expect("it takes effect");

    let read = users.get_or_load("42", loads.of("new")).await;

    let value = read.expect("it is held").expect("it is there");
    assert!(value.stale().is_some());
    venue.until(|totals| totals.stored == 1).await;
    assert_eq!(loads.begun(), 1);
}

async fn what_loads_while_replicas_lag_ends_with_the_lag(venue: Venue) {
    let users = venue.users();
    let lag = Invalidation {
        settle: seconds(3),
        ..Invalidation::default()
    };
    let done = users.invalidate_with(Target::keys(["42"]), lag).await;
    done.expect("it takes effect");
    let read = users.get_or_load("42", Loads::free().of("old")).await;
    assert_eq!(text(read), some("old"));

    venue.clock.advance(seconds(3) - Duration::from_millis(1));
    assert_ne!(users.get("42").await, Ok(Held::Nothing));
    venue.clock.advance(Duration::from_millis(1));
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
}

async fn tenants_do_not_share(venue: Venue) {
    let (acme, other) = (venue.users(), venue.of("users", "other"));
    acme.set("42", "of acme").await.expect("it is set");
    assert_eq!(other.get("42").await, Ok(Held::Nothing));
    other.set("42", "of other").await.expect("it is set");
    acme.invalidate_all().await.expect("it takes effect");
    assert_eq!(acme.get("42").await, Ok(Held::Nothing));
    let held = other.get("42").await.expect("it answers").value();
    assert_eq!(held.expect("it is held")[..], *b"of other");
}
