//! What the environment says, in a process of its own: variables are everybody's.

use std::process::{Command, Output};

use millpond_client::{ADDR_VARIABLE, BYPASS_VARIABLE, EmbeddedConfig, Error, Held, Millpond};

use crate::venue::{Loads, Venue, some, text};

/// Says which half of a test a process is.
const CHILD: &str = "MILLPOND_TEST_CHILD";

/// Runs one test again, with variables.
fn again(test: &str, variables: &[(&str, &str)]) -> Output {
    let this = std::env::current_exe().expect("it runs");
    let mut command = Command::new(this);
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1");
    let output = command.envs(variables.iter().copied()).output();
    let output = output.expect("it runs again");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_bypasses_reads_past_the_cache_writes_to_it_and_says_so_once() {
    if std::env::var_os(CHILD).is_some() {
        return bypassing().await;
    }
    let venue = Venue::tcp().await;
    let users = venue.users();
    users.set("42", "held").await.expect("it is set");
    let address = venue.tcp_address().to_string();
    let test =
        "environment::a_process_that_bypasses_reads_past_the_cache_writes_to_it_and_says_so_once";
    let output = tokio::task::block_in_place(|| {
        again(test, &[(ADDR_VARIABLE, &address), (BYPASS_VARIABLE, "1")])
    });
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.matches("MILLPOND_BYPASS").count(), 1, "{told}");
    assert_eq!(users.get("42").await, Ok(Held::Nothing), "it invalidated");
    let held = users.get("43").await.expect("it answers").value();
    assert_eq!(held.expect("it set")[..], *b"set");
}

async fn bypassing() {
    let remote = Millpond::from_env().await.expect("it is understood");
    let config = EmbeddedConfig::default();
    let either = Millpond::from_env_or_embedded(config)
        .await
        .expect("it is understood");
    for pond in [remote, either] {
        let users = pond
            .cache("users")
            .expect("a name")
            .tenant("acme")
            .expect("a name");
        let loads = Loads::free();
        for begun in 1..=2 {
            let read = users.get_or_load("42", loads.of("own")).await;
            assert_eq!(text(read), some("own"));
            assert_eq!(loads.begun(), begun);
        }
        assert_eq!(users.get("42").await, Ok(Held::Nothing));
        assert_eq!(users.get_many(["42"]).await, [Ok(Held::Nothing)]);
        users.invalidate("42").await.expect("it takes effect");
        users.set("43", "set").await.expect("it is set");
        assert_eq!(users.get("43").await, Ok(Held::Nothing));
    }
}

#[tokio::test]
async fn a_process_without_a_sidecar_that_bypasses_does_not_read_its_own_cache() {
    if std::env::var_os(CHILD).is_none() {
        let test =
            "environment::a_process_without_a_sidecar_that_bypasses_does_not_read_its_own_cache";
        again(test, &[(ADDR_VARIABLE, ""), (BYPASS_VARIABLE, "1")]);
        return;
    }
    let config = EmbeddedConfig::default();
    let pond = Millpond::from_env_or_embedded(config)
        .await
        .expect("it is understood");
    assert!(pond.pond().is_some());
    let users = pond
        .cache("users")
        .expect("a name")
        .tenant("acme")
        .expect("a name");
    users.set("42", "held").await.expect("it is set");
    assert_eq!(users.peek("42"), None);
    assert_eq!(users.with("42", <[u8]>::len), None);
    let read = users.get_or_load("42", Loads::free().of("own")).await;
    assert_eq!(text(read), some("own"));
}

#[tokio::test]
async fn an_address_that_is_none_is_not_taken_for_unset() {
    if std::env::var_os(CHILD).is_none() {
        let test = "environment::an_address_that_is_none_is_not_taken_for_unset";
        again(test, &[(ADDR_VARIABLE, "https://127.0.0.1:7470")]);
        return;
    }
    let either = Millpond::from_env_or_embedded(EmbeddedConfig::default()).await;
    let Err(Error::Rejected { message }) = either else {
        panic!("{either:?}")
    };
    assert!(message.starts_with("MILLPOND_ADDR: address"), "{message}");
    assert!(Millpond::from_env().await.is_err());
}
