//! Reading one's own writes.

use millpond_client::{Error, Held, Version};

use crate::everywhere;
use crate::venue::{Loads, Venue, some, text};

everywhere!(
    a_read_at_least_as_new_as_a_write_is_answered_where_the_write_went,
    what_another_process_wrote_is_loaded_for_its_reader_alone,
    a_reader_of_many_keys_is_as_new_as_it_asks,
);

/// A version of a process that is not there.
fn foreign() -> Version {
    Version::from_bytes(&[7; 16]).expect("it is short enough")
}

async fn a_read_at_least_as_new_as_a_write_is_answered_where_the_write_went(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::free());
    let set = users.set("42", "Ada").await.expect("it is set");
    let read = users.clone().at_least(set);
    let own = read.get_or_load("42", loads.of("never")).await;
    assert_eq!(text(own), some("Ada"));
    assert!(matches!(read.get("42").await, Ok(Held::Value(_))));
    let done = users.invalidate("42").await.expect("it takes effect");
    let read = users.at_least(done.version);
    assert_eq!(read.get("42").await, Ok(Held::Nothing));
    let new = read.get_or_load("42", loads.of("Bo")).await;
    assert_eq!(text(new), some("Bo"));
    let held = read.get_or_load("42", loads.of("never")).await;
    assert_eq!(text(held), some("Bo"));
    assert_eq!(loads.begun(), 1);
}

async fn what_another_process_wrote_is_loaded_for_its_reader_alone(venue: Venue) {
    let (users, loads) = (venue.users(), Loads::free());
    users.set("42", "old").await.expect("it is set");
    let wary = users.clone().at_least(foreign());
    for begun in 1..=2 {
        let own = wary.get_or_load("42", loads.of("new")).await;
        let own = own.expect("it loads").expect("it is there");
        assert_eq!((&own[..], own.version()), (&b"new"[..], None));
        assert_eq!(loads.begun(), begun);
    }
    assert!(matches!(
        wary.get("42").await,
        Err(Error::Unconfirmed { .. })
    ));
    assert_eq!(wary.peek("42"), None);
    assert_eq!(wary.with("42", <[u8]>::len), None);
    // For itself: others go on with what is held.
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(held.expect("it is held")[..], *b"old");
}

async fn a_reader_of_many_keys_is_as_new_as_it_asks(venue: Venue) {
    let users = venue.users();
    let set = users.set("42", "Ada").await.expect("it is set");
    let load = |keys: Vec<millpond_client::Bytes>| async move {
        let found = keys.into_iter().map(|key| (key, "new"));
        Ok::<millpond_client::LoadedMany<_>, crate::venue::Down>(found.collect())
    };
    let known = users.clone().at_least(set);
    let found = known.get_many_or_load(["42"], load).await;
    assert!(matches!(&found[0], Ok(Some(value)) if value[..] == *b"Ada"));
    let wary = users.at_least(foreign());
    let found = wary.get_many_or_load(["42"], load).await;
    assert!(matches!(&found[0], Ok(Some(value)) if value[..] == *b"new"));
    let held = wary.get_many(["42"]).await;
    assert!(matches!(&held[0], Err(Error::Unconfirmed { .. })));
}
