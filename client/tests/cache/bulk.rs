//! Many keys at once: one loader call, each key by itself.

use std::sync::Arc;

use millpond_client::{Bytes, Error, Held, Item, Loaded, LoadedMany, Value};
use millpond_core::cache::{CacheName, Mode};
use tokio::sync::watch;

use crate::everywhere;
use crate::venue::{Down, Loads, Venue, seconds};

everywhere!(
    what_is_led_is_loaded_by_one_call_and_answered_in_the_order_asked,
    a_keys_failure_is_its_own,
    a_load_that_fails_as_a_whole_fails_each_key_it_was_asked_for,
    what_is_led_elsewhere_is_waited_for_and_not_loaded,
    bulk_reads_whose_keys_cross_wait_for_nothing_but_loads,
    stale_keys_are_answered_at_once_and_refreshed_by_one_call,
    a_failed_key_is_answered_with_what_is_held,
    more_keys_than_a_call_takes_go_in_lots,
    a_bulk_read_that_is_dropped_holds_nobody_up,
    a_bulk_read_tells_what_is_held_and_loads_nothing,
    a_cache_that_is_switched_off_loads_all_keys_in_one_call,
    a_bulk_follower_waits_no_longer_than_it_said,
    more_bytes_than_a_message_takes_are_stored_and_read_back,
    a_bulk_read_may_wait_for_ever,
);

/// What each call was asked for; it finds `value of <key>` once it is opened.
#[derive(Clone)]
struct Calls {
    asked: watch::Sender<Vec<Vec<String>>>,
    open: watch::Sender<bool>,
}

impl Calls {
    fn held() -> Self {
        Self {
            asked: watch::Sender::new(Vec::new()),
            open: watch::Sender::new(false),
        }
    }

    fn free() -> Self {
        let calls = Self::held();
        calls.open.send_replace(true);
        calls
    }

    fn asked(&self) -> Vec<Vec<String>> {
        self.asked.borrow().clone()
    }

    async fn until_asked(&self, calls: usize) {
        let mut asked = self.asked.subscribe();
        drop(asked.wait_for(|asked| asked.len() >= calls).await);
    }

    async fn pass(self, keys: Vec<Bytes>) -> Vec<String> {
        let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
        let keys: Vec<String> = keys.iter().map(text).collect();
        self.asked.send_modify(|asked| asked.push(keys.clone()));
        let mut open = self.open.subscribe();
        drop(open.wait_for(|open| *open).await);
        keys
    }

    fn loader(&self) -> impl Fn(Vec<Bytes>) -> Loading + Send + Sync + 'static {
        self.finding(|keys| {
            let found = keys.into_iter().map(|key| {
                let value = format!("value of {key}");
                (key, value)
            });
            Ok(found.collect())
        })
    }

    fn finding(
        &self,
        find: impl Fn(Vec<String>) -> Found + Send + Sync + 'static,
    ) -> impl Fn(Vec<Bytes>) -> Loading + Clone + Send + Sync + 'static {
        let (calls, find) = (self.clone(), Arc::new(find));
        move |keys| {
            let (calls, find) = (calls.clone(), Arc::clone(&find));
            Box::pin(async move { find(calls.pass(keys).await) })
        }
    }
}

type Found = Result<LoadedMany<Down>, Down>;
type Loading = std::pin::Pin<Box<dyn Future<Output = Found> + Send>>;

fn texts(
    found: Vec<Result<Option<Value>, Error<Down>>>,
) -> Vec<Result<Option<String>, Error<Down>>> {
    let text = |value: Value| String::from_utf8_lossy(&value).into_owned();
    let texts = found.into_iter().map(|one| Ok(one?.map(text)));
    texts.collect()
}

fn values(keys: &[&str]) -> Vec<Result<Option<String>, Error<Down>>> {
    let value = |key: &&str| Ok(Some(format!("value of {key}")));
    keys.iter().map(value).collect()
}

async fn what_is_led_is_loaded_by_one_call_and_answered_in_the_order_asked(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::free());
    users.set("b", "value of b").await.expect("it is set");

    let keys = ["c", "b", "a", "c", "b"];
    let found = users.get_many_or_load(keys, calls.loader()).await;

    assert_eq!(texts(found), values(&keys));
    assert_eq!(calls.asked(), [["c", "a"]]);
    let again = users.get_many_or_load(keys, calls.loader()).await;
    let version = |at: usize| match &again[at] {
        Ok(Some(value)) => value.version(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        version(0),
        version(3),
        "keys that are alike have one answer"
    );
    assert_eq!(texts(again), values(&keys));
    assert_eq!(calls.asked().len(), 1);
    assert_eq!(users.get_many_or_load([""; 0], calls.loader()).await, []);
}

async fn a_keys_failure_is_its_own(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::free());
    let load = calls.finding(|_| {
        let mut found = LoadedMany::new();
        found.insert("value", Item::new("Ada").tags(["team:7"]));
        found.insert("gone", Loaded::absent());
        found.insert("tags", Item::new("Bo").tags(["tag"; 9]));
        found.insert("nobody asked", "never");
        found.fail("broken", Down("shard 3 is down"));
        Ok(found)
    });
    let long = "k".repeat(1_025);
    let keys = [
        "broken", "value", "", "gone", "unnamed", &long, "tags", "broken",
    ];

    let mut found = texts(users.get_many_or_load(keys, load).await).into_iter();

    let mut next = || found.next().expect("one for each");
    assert_eq!(next(), Err(Error::Load(Down("shard 3 is down"))));
    assert_eq!(next(), Ok(Some("Ada".to_owned())));
    assert!(matches!(next(), Err(Error::BadField(_))));
    assert_eq!(next(), Ok(None));
    assert_eq!(next(), Ok(None));
    assert!(matches!(next(), Err(Error::BadField(_))));
    let told = next().expect_err("too many tags").to_string();
    assert_eq!(told, "tags: 9 tags, limit 8");
    let message = "shard 3 is down".to_owned();
    let echoed = Error::Failed {
        message,
        retry_after: None,
    };
    assert_eq!(next(), Err(echoed));
    assert_eq!(found.next(), None);
    assert_eq!(users.get("gone").await, Ok(Held::Absent));
    assert_eq!(users.get("unnamed").await, Ok(Held::Absent));
    for key in ["broken", "tags", "nobody asked"] {
        assert_eq!(users.get(key).await, Ok(Held::Nothing), "{key}");
    }
    users
        .invalidate_tags(["team:7"])
        .await
        .expect("it takes effect");
    assert_eq!(users.get("value").await, Ok(Held::Nothing));
}

async fn a_load_that_fails_as_a_whole_fails_each_key_it_was_asked_for(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::free());
    users.set("held", "value of held").await.expect("it is set");
    let load = calls.finding(|_| Err(Down("no such host")));

    let found = users.get_many_or_load(["a", "held", "b"], load).await;

    let echoed = Error::Failed {
        message: "no such host".to_owned(),
        retry_after: None,
    };
    let own = Error::Load(Down("no such host"));
    let held = Ok(Some("value of held".to_owned()));
    assert_eq!(texts(found), [Err(own), held, Err(echoed)]);
    let again = users.get_many_or_load(["a", "b"], calls.loader()).await;
    assert_eq!(texts(again), values(&["a", "b"]));
}

async fn what_is_led_elsewhere_is_waited_for_and_not_loaded(venue: Venue) {
    let (users, loads, calls) = (venue.users(), Loads::held(), Calls::free());
    let (leading, load) = (users.clone(), loads.of("value of b"));
    let leader = tokio::spawn(async move { leading.get_or_load("b", load).await });
    loads.until_begun(1).await;
    let (reading, load) = (users.clone(), calls.loader());
    let reader =
        tokio::spawn(async move { texts(reading.get_many_or_load(["a", "b"], load).await) });
    // Its own is settled while the other's is still being loaded.
    calls.until_asked(1).await;
    while users.get("a").await == Ok(Held::Nothing) {
        tokio::task::yield_now().await;
    }

    loads.open();

    assert_eq!(reader.await.expect("no panic"), values(&["a", "b"]));
    assert_eq!(calls.asked(), [["a"]]);
    assert!(leader.await.expect("no panic").is_ok());
}

async fn bulk_reads_whose_keys_cross_wait_for_nothing_but_loads(venue: Venue) {
    // Time stands still: whoever waits for what waits for it waits for ever.
    for round in 0..20 {
        let users = venue.of(&format!("round-{round}"), "acme");
        let calls = Calls::free();
        let keys: Vec<String> = (0..40).map(|key| key.to_string()).collect();
        let mut backwards = keys.clone();
        backwards.reverse();
        let readers = [keys.clone(), backwards, keys.clone()].map(|keys| {
            let (users, load) = (users.clone(), calls.loader());
            tokio::spawn(async move {
                let found = users.get_many_or_load(&keys, load).await;
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                assert_eq!(texts(found), values(&keys));
            })
        });
        for reader in readers {
            reader.await.expect("no panic");
        }
        let mut loaded: Vec<String> = calls.asked().concat();
        loaded.sort();
        let mut all = keys;
        all.sort();
        assert_eq!(loaded, all, "each key is loaded once");
    }
}

async fn stale_keys_are_answered_at_once_and_refreshed_by_one_call(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::held());
    for key in ["a", "b"] {
        users
            .set(key, format!("old {key}"))
            .await
            .expect("it is set");
    }
    venue.clock.advance(seconds(31));

    // Returns while no load can end.
    let found = users.get_many_or_load(["a", "b"], calls.loader()).await;

    for (one, old) in found.into_iter().zip(["old a", "old b"]) {
        let value = one.expect("it is held").expect("it is there");
        assert_eq!(value[..], *old.as_bytes());
        assert!(value.stale().is_some());
    }
    calls.until_asked(1).await;
    calls.open.send_replace(true);
    venue.until(|totals| totals.stored == 2).await;
    let found = users.get_many_or_load(["a", "b"], calls.loader()).await;
    assert_eq!(texts(found), values(&["a", "b"]));
    assert_eq!(calls.asked(), [["a", "b"]]);
}

async fn a_failed_key_is_answered_with_what_is_held(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::free());
    users.set("a", "old").await.expect("it is set");
    venue.clock.advance(seconds(91)); // beyond what is answered at once
    let load = calls.finding(|_| Err(Down("no such host")));

    let found = users.get_many_or_load(["b", "a"], load).await;

    let mut found = found.into_iter();
    let own = found.next().expect("one for each");
    assert_eq!(own, Err(Error::Load(Down("no such host"))));
    let value = found.next().expect("one for each").expect("it is held");
    let value = value.expect("it is there");
    assert_eq!(value[..], *b"old");
    assert!(value.stale().is_some());
}

async fn more_keys_than_a_call_takes_go_in_lots(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::free());
    let keys: Vec<String> = (0..1_100).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();

    let found = users.get_many_or_load(&keys, calls.loader()).await;

    assert_eq!(texts(found), values(&keys));
    let sizes: Vec<usize> = calls.asked().iter().map(Vec::len).collect();
    assert_eq!(sizes, [512, 512, 76]);
    let held = users.get_many(&keys).await;
    assert!(held.iter().all(|one| matches!(one, Ok(Held::Value(_)))));
    users.invalidate_keys(&keys).await.expect("it takes effect");
    let held = users.get_many(&keys).await;
    assert!(held.iter().all(|one| one == &Ok(Held::Nothing)));
}

async fn a_bulk_read_that_is_dropped_holds_nobody_up(venue: Venue) {
    let (users, held, free) = (venue.users(), Calls::held(), Calls::free());
    let (leading, load) = (users.clone(), held.loader());
    let leader = tokio::spawn(async move { leading.get_many_or_load(["a", "b"], load).await });
    held.until_asked(1).await;
    let (following, load) = (users.clone(), free.loader());
    let follower =
        tokio::spawn(async move { texts(following.get_many_or_load(["b", "a"], load).await) });
    venue.until(|totals| totals.coalesced == 2).await;

    leader.abort();

    // Time stands still, so it is not the leases' deadline that helps.
    assert_eq!(follower.await.expect("no panic"), values(&["b", "a"]));
}

async fn a_bulk_read_tells_what_is_held_and_loads_nothing(venue: Venue) {
    let users = venue.users();
    users.set("value", "Ada").await.expect("it is set");
    let nobody = users.get_or_load("absent", Loads::free().of(Loaded::absent()));
    assert_eq!(nobody.await, Ok(None));

    let held = users
        .get_many(["nothing", "absent", "", "value", "value"])
        .await;

    assert_eq!(held[0], Ok(Held::Nothing));
    assert_eq!(held[1], Ok(Held::Absent));
    assert!(matches!(held[2], Err(Error::BadField(_))));
    for one in &held[3..] {
        assert!(matches!(one, Ok(Held::Value(value)) if value[..] == *b"Ada"));
    }
}

async fn a_cache_that_is_switched_off_loads_all_keys_in_one_call(venue: Venue) {
    let (users, calls) = (venue.users(), Calls::free());
    users.set("a", "held").await.expect("it is set");
    let cache = CacheName::parse("users").expect("a name");
    let switched = venue.core.switch(&cache, Some(Mode::Bypass));
    switched.expect("there is room for a switch");
    for _ in 0..2 {
        let found = users.get_many_or_load(["a", "b"], calls.loader()).await;
        assert_eq!(texts(found), values(&["a", "b"]));
    }
    assert_eq!(calls.asked(), [["a", "b"], ["a", "b"]]);
}

async fn a_bulk_follower_waits_no_longer_than_it_said(venue: Venue) {
    let (users, loads, calls) = (venue.users(), Loads::held(), Calls::free());
    let (leading, load) = (users.clone(), loads.of("value of b"));
    let leader = tokio::spawn(async move { leading.get_or_load("b", load).await });
    loads.until_begun(1).await;

    let hasty = users.wait(std::time::Duration::ZERO);
    let found = hasty.get_many_or_load(["a", "b"], calls.loader()).await;

    let own = Ok(Some("value of a".to_owned()));
    assert_eq!(texts(found), [own, Err(Error::WaitExpired)]);
    loads.open();
    assert!(leader.await.expect("no panic").is_ok());
}

async fn more_bytes_than_a_message_takes_are_stored_and_read_back(venue: Venue) {
    // Keeps values of up to 1 MiB.
    let (plain, calls) = (venue.of("plain", "acme"), Calls::free());
    let keys = ["a", "b", "c", "d", "e", "f"];
    let large = |key: &str| vec![key.as_bytes()[0]; 900 << 10];
    let load = calls.finding(move |keys| {
        let found = keys.into_iter().map(|key| {
            let value = large(&key);
            (key, value)
        });
        Ok(found.collect())
    });
    for own in [true, false] {
        let found = plain.get_many_or_load(keys, load.clone()).await;
        for (key, one) in keys.iter().zip(found) {
            let value = one.expect("it is there").expect("it is there");
            assert_eq!(value[..], large(key));
            assert!(value.version().is_some(), "{key} is stored");
            assert_eq!(value.source() == millpond_client::Source::Loaded, own);
        }
    }
    assert_eq!(calls.asked().len(), 1);
    let held = plain.get_many(keys).await;
    for (key, one) in keys.iter().zip(held) {
        let value = one.expect("it answers").value().expect("it is held");
        assert_eq!(value[..], large(key));
    }
}

async fn a_bulk_read_may_wait_for_ever(venue: Venue) {
    let patient = venue.users().wait(std::time::Duration::MAX);
    let found = patient.get_many_or_load(["a"], Calls::free().loader());
    assert_eq!(texts(found.await), values(&["a"]));
}
