//! Typed values.

use millpond_client::{Error, Held, Item, JsonDirection, JsonTenantCache};
use serde::{Deserialize, Serialize};

use crate::everywhere;
use crate::venue::{Down, Venue};

everywhere!(
    a_typed_value_comes_back_as_it_was,
    a_value_of_another_type_is_an_error_that_tells_no_bytes,
    a_value_that_does_not_encode_is_no_error_of_the_loader,
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
