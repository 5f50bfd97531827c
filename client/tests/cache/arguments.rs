//! Bad arguments: named with their limit and what was found, before anything is
//! asked of a cache.

use millpond_client::{BadField, Error, Held, Invalidation, Item, Target};

use crate::everywhere;
use crate::venue::{Loads, Venue};

everywhere!(
    bad_names_are_typed_errors,
    bad_keys_are_typed_errors_of_every_call,
    what_stands_beside_a_value_is_checked,
    a_source_that_lags_more_than_an_hour_is_refused,
    a_value_larger_than_any_message_is_refused_and_what_was_held_is_gone,
);

async fn bad_names_are_typed_errors(venue: Venue) {
    let bad = venue.pond.cache("Users").map(|_| ());
    let alphabet = BadField::Alphabet {
        field: "cache",
        allowed: "[a-z0-9._-]",
        at: 0,
    };
    assert_eq!(bad, Err(Error::BadField(alphabet)));
    let users = venue.pond.cache("users").expect("the name is one");
    let bad = users.get(&"t".repeat(129), "42").await;
    let long = BadField::TooLong {
        field: "tenant",
        limit: 128,
        size: 129,
        unit: "bytes",
    };
    assert_eq!(bad, Err(Error::BadField(long)));
    let bad = users.get_or_load("", "42", Loads::free().of("never")).await;
    assert_eq!(
        bad,
        Err(Error::BadField(BadField::Empty { field: "tenant" }))
    );
}

async fn bad_keys_are_typed_errors_of_every_call(venue: Venue) {
    let users = venue.users();
    let empty = || Error::BadField(BadField::Empty { field: "key" });
    assert_eq!(users.get("").await, Err(empty()));
    assert_eq!(users.set("", "Ada").await, Err(empty()));
    assert_eq!(users.invalidate("").await, Err(empty()));
    let read = users.get_or_load("", Loads::free().of("never")).await;
    assert_eq!(read, Err(empty().widen()));
    let long = users.get(vec![0; 1_025]).await;
    let message = long.expect_err("it is too long").to_string();
    assert_eq!(message, "key: 1025 bytes, limit 1024");
}

async fn what_stands_beside_a_value_is_checked(venue: Venue) {
    let users = venue.users();
    let say = |error: Error| error.to_string();
    let set = users.set("42", Item::new("Ada").etag(vec![0; 257]));
    let long = "etag: 257 bytes, limit 256".to_owned();
    assert_eq!(set.await.map_err(say), Err(long));
    let set = users.set("42", Item::new("Ada").tags([""]));
    let empty = "tags: is empty, needs at least 1 byte".to_owned();
    assert_eq!(set.await.map_err(say), Err(empty));
    let none: [&str; 0] = [];
    for target in [Target::keys(none), Target::tags(none)] {
        let done = users.invalidate_with(target, Default::default()).await;
        assert!(matches!(done, Err(Error::BadField(BadField::Empty { .. }))));
    }
}

async fn a_source_that_lags_more_than_an_hour_is_refused(venue: Venue) {
    let users = venue.users();
    let lag = |settle| Invalidation {
        settle,
        ..Invalidation::default()
    };
    let hour = std::time::Duration::from_secs(3_600);
    let done = users.invalidate_with(Target::keys(["42"]), lag(hour)).await;
    done.expect("an hour is not too long");
    let more = lag(hour + std::time::Duration::from_millis(1));
    let done = users.invalidate_with(Target::All, more).await;
    let told = done.expect_err("it is too long").to_string();
    assert_eq!(told, "settle: 3600001 ms, limit 3600000");
}

async fn a_value_larger_than_any_message_is_refused_and_what_was_held_is_gone(venue: Venue) {
    let users = venue.users();
    users.set("42", "old").await.expect("it is set");
    let set = users.set("42", vec![7; 5 << 20]).await;
    assert!(matches!(set, Err(Error::Rejected { .. })), "{set:?}");
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
}
