//! What only a cache in another process can do: not be there.

use millpond_client::{Error, Millpond, RemoteConfig};

use crate::venue::{Loads, Venue};

/// A port that was free a moment ago, and where nothing listens.
fn deserted() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    format!("http://{address}")
}

#[tokio::test]
async fn a_sidecar_that_is_not_there_is_a_clear_error() {
    let address = deserted();
    let error = Millpond::connect(&address)
        .await
        .expect_err("nobody listens");
    let Error::Unavailable { message } = error else {
        panic!("{error:?}")
    };
    assert!(message.contains(&address), "{message}");
    let socket = "unix:/nonexistent/millpond.sock";
    let error = Millpond::connect(socket).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_is_loaded_while_the_sidecar_is_away() {
    let config = RemoteConfig::new(&deserted()).expect("the address is one");
    let users = config.connect_lazily().cache("users").expect("a name");
    let loads = Loads::free();
    let read = users.get_or_load("acme", "42", loads.of("never")).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    assert_eq!(loads.begun(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_is_good_though_the_sidecar_went_away() {
    let mut venue = Venue::unix().await;
    let (users, loads) = (venue.users(), Loads::held());
    let (reading, load) = (users.clone(), loads.of("Ada"));
    let reader = tokio::spawn(async move { reading.get_or_load("42", load).await });
    loads.until_begun(1).await;

    tokio::task::block_in_place(|| venue.stop());
    loads.open();

    let value = reader.await.expect("no panic").expect("it is loaded");
    let value = value.expect("it is there");
    assert_eq!((&value[..], value.version()), (&b"Ada"[..], None));
    let read = users.get_or_load("42", loads.of("never")).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
}
