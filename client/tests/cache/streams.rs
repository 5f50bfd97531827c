//! Calls whose streams end in other ways than by an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use millpond_client::{Bytes, RemoteConfig, TenantCache};
use millpond_proto::v1;
use prost::Message;

use crate::away::{FOR_EVER, unavailable};
use crate::peer::{Fate, serve};
use crate::venue::{Loads, in_time};

/// A cache in a sidecar that counts the calls it is sent, and settles the first so, the
/// second so and so on.
async fn users(fates: impl Fn(usize) -> Fate + Send + Sync + 'static) -> (TenantCache, Sent) {
    let sent = Sent::default();
    let counted = Arc::clone(&sent);
    let at = serve(move |_| fates(counted.fetch_add(1, Ordering::SeqCst))).await;
    let config = RemoteConfig::new(&at.to_string()).expect("the address is one");
    let pond = config.timeout(FOR_EVER).connect().await;
    let users = pond.expect("it greets").cache("users");
    let users = users.expect("a name").tenant("acme");
    (users.expect("a name"), sent)
}

type Sent = Arc<AtomicUsize>;

fn set() -> Fate {
    let reply = v1::SetReply {
        stored: true,
        version: Bytes::from_static(b"v"),
    };
    Fate::Answered(reply.encode_to_vec().into())
}

// Writes: they go out again if it is certain that they were not processed, and only
// then.

#[tokio::test]
async fn a_write_that_the_sidecar_refused_unprocessed_goes_out_again() {
    in_time(async {
        let (users, sent) = users(|call| match call {
            0 => Fate::Reset(Reason::REFUSED_STREAM),
            _ => set(),
        })
        .await;
        users.set("42", "Ada").await.expect("the second is stored");
        assert_eq!(sent.load(Ordering::SeqCst), 2);
    })
    .await;
}

#[tokio::test]
async fn a_write_that_was_reset_under_way_does_not_go_out_again() {
    in_time(async {
        for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR] {
            let (users, sent) = users(move |call| match call {
                0 => Fate::Reset(reason),
                _ => set(),
            })
            .await;
            unavailable(users.set("42", "Ada").await);
            assert_eq!(sent.load(Ordering::SeqCst), 1, "{reason}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_that_refuses_whatever_it_is_sent_is_not_asked_for_ever() {
    in_time(async {
        let (users, sent) = users(|_| Fate::Reset(Reason::REFUSED_STREAM)).await;
        unavailable(users.set("42", "Ada").await);
        assert_eq!(sent.load(Ordering::SeqCst), 32);
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_answer_begins_and_never_ends_ends_in_its_time() {
    in_time(async {
        let (users, _) = users(|_| Fate::Begun).await;
        let hasty = users.within(Duration::from_millis(50));
        unavailable(hasty.get("42").await);
        unavailable(hasty.set("42", "Ada").await);
        let loads = Loads::free();
        unavailable(hasty.get_or_load("42", loads.of("never")).await);
        assert_eq!(loads.begun(), 0);
    })
    .await;
}
