//! Typed values.

use millpond_client::{Error, Held, Item, JsonDirection, JsonTenantCache};
use serde::{Deserialize, Serialize};

use crate::everywhere;
use crate::venue::{Down, Venue};

everywhere!(
    a_typed_value_comes_back_as_it_was,
    a_value_of_another_type_is_an_error_that_tells_no_bytes,
    a_value_that_does_not_encode_is_no_error_of_the_loader,
    a_value_that_does_not_decode_is_loaded_anew_for_all,
    a_stale_value_that_does_not_decode_is_loaded_under_its_lease,
    who_is_strict_gets_the_error_and_loads_nothing,
    typed_values_are_read_in_bulk,
    a_typed_cache_takes_the_tenant_with_each_call,
);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u32,
}

fn ada() -> User {
    User {
        name: "Ada".to_owned(),
        age: 36,
    }
}

fn typed<T>(venue: &Venue) -> JsonTenantCache<T> {
    let users = venue.pond.cache("users").expect("the name is one");
    users.json().tenant("acme").expect("the name is one")
}

async fn a_typed_value_comes_back_as_it_was(venue: Venue) {
    let users = typed::<User>(&venue);
    let load = || async { Ok::<_, Down>(Some(Item::new(ada()).tags(["team:7"]))) };
    let own = users.get_or_load("42", load).await.expect("it loads");
    assert_eq!(own.expect("it is there").into_inner(), ada());
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(*held.expect("it is held"), ada());
    let tags = ["team:7"];
    users
        .bytes()
        .invalidate_tags(tags)
        .await
        .expect("it takes effect");
    assert_eq!(users.get("42").await, Ok(Held::Nothing));
    let absent = || async { Ok::<_, Down>(None::<User>) };
    assert_eq!(users.get_or_load("42", absent).await, Ok(None));
    users.set("42", ada()).await.expect("it is set");
    let held = users.get("42").await.expect("it answers").value();
    assert_eq!(held.expect("it is held").name, "Ada");
}

async fn a_value_of_another_type_is_an_error_that_tells_no_bytes(venue: Venue) {
    let users = typed::<User>(&venue);
    let secret = r#"{"name":"Ada","age":"secret"}"#;
    let bytes = users.bytes();
    bytes.set("42", secret).await.expect("it is set");

    let error = users.get("42").await.expect_err("an age is a number");

    let message = error.to_string();
    assert!(!message.contains("secret"), "{message}");
    let Error::Json(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.cache, "users");
    assert!(error.type_name.ends_with("User"), "{error:?}");
    assert_eq!(error.direction, JsonDirection::Decode);
}

async fn a_value_that_does_not_encode_is_no_error_of_the_loader(venue: Venue) {
    use std::collections::BTreeMap;
    type Unkeyed = BTreeMap<Vec<u8>, u8>;
    let users = typed::<Unkeyed>(&venue);
    let load = || async { Ok::<_, Down>(Unkeyed::from([(vec![1], 1)])) };

    let error = users.get_or_load("42", load).await;

    let Err(Error::Json(error)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.direction, JsonDirection::Encode);
}

async fn a_value_that_does_not_decode_is_loaded_anew_for_all(venue: Venue) {
    let users = typed::<User>(&venue);
    let bytes = users.bytes();
    bytes
        .set("42", "of another version")
        .await
        .expect("it is set");
    let load = || async { Ok::<_, Down>(ada()) };

    let read = users.get_or_load("42", load).await;

    assert_eq!(*read.expect("it loads").expect("it is there"), ada());
    let never = || async { Err::<User, _>(Down("it is held")) };
    let held = users.get_or_load("42", never).await;
    assert_eq!(*held.expect("it is held").expect("it is there"), ada());
}

async fn a_stale_value_that_does_not_decode_is_loaded_under_its_lease(venue: Venue) {
    let users = typed::<User>(&venue);
    let bytes = users.bytes();
    bytes
        .set("42", "of another version")
        .await
        .expect("it is set");
    venue.clock.advance(crate::venue::seconds(31));
    let load = || async { Ok::<_, Down>(ada()) };

    let read = users.get_or_load("42", load).await;

    assert_eq!(*read.expect("it loads").expect("it is there"), ada());
    let totals = venue.core.totals();
    assert_eq!((totals.stored, totals.invalidations), (1, 0), "{totals:?}");
}

async fn who_is_strict_gets_the_error_and_loads_nothing(venue: Venue) {
    let users = venue.pond.cache("users").expect("the name is one");
    let users = users.json::<User>().strict();
    let bytes = users.bytes();
    bytes
        .set("acme", "42", "of another version")
        .await
        .expect("it is set");
    let never = || async { panic!("it is held") };
    let read = users
        .get_or_load::<_, _, User, Down>("acme", "42", never)
        .await;
    assert!(matches!(read, Err(Error::Json(_))), "{read:?}");
    let never = |_| async { panic!("it is held") };
    let many = users
        .get_many_or_load::<_, _, _, Down>("acme", ["42"], never)
        .await;
    assert!(matches!(many[0], Err(Error::Json(_))), "{many:?}");
}

async fn typed_values_are_read_in_bulk(venue: Venue) {
    use millpond_client::LoadedMany;
    let users = typed::<User>(&venue);
    users.set("held", ada()).await.expect("it is set");
    let broken = users.bytes().set("broken", "of another version").await;
    broken.expect("it is set");
    let load = |keys: Vec<millpond_client::Bytes>| async move {
        let mut found = LoadedMany::new();
        for key in keys {
            match &key[..] {
                b"new" | b"broken" => found.insert(key, Item::new(ada())),
                b"down" => found.fail(key, Down("shard 3 is down")),
                b"gone" => {}
                other => panic!("{other:?} is held"),
            }
        }
        Ok::<_, Down>(found)
    };
    let keys = ["gone", "new", "held", "broken", "down", "held"];

    let found = users.get_many_or_load(keys, load).await;

    let found: Vec<_> = found
        .into_iter()
        .map(|one| one.map(|value| value.map(millpond_client::Value::into_inner)))
        .collect();
    let user = || Ok(Some(ada()));
    let down = Err(Error::Load(Down("shard 3 is down")));
    assert_eq!(found, [Ok(None), user(), user(), user(), down, user()]);
    let held = users.get_many(["new", "broken", "gone"]).await;
    assert!(matches!(
        &held[..2],
        [Ok(Held::Value(_)), Ok(Held::Value(_))]
    ));
    assert_eq!(held[2], Ok(Held::Absent));
}

async fn a_typed_cache_takes_the_tenant_with_each_call(venue: Venue) {
    let users = venue.pond.cache("users").expect("the name is one");
    let users = users.json::<User>();
    users.set("acme", "42", ada()).await.expect("it is set");
    let never = || async { Err::<User, _>(Down("it is held")) };
    let read = users.get_or_load("acme", "42", never).await;
    assert_eq!(*read.expect("it is held").expect("it is there"), ada());
    assert_eq!(users.get("other", "42").await, Ok(Held::Nothing));
    users
        .invalidate("acme", "42")
        .await
        .expect("it takes effect");
    assert_eq!(users.get("acme", "42").await, Ok(Held::Nothing));
    let bad = users.get_many("", ["42", "43"]).await;
    assert_eq!(bad.len(), 2);
    assert!(bad.iter().all(|one| matches!(one, Err(Error::BadField(_)))));
}
