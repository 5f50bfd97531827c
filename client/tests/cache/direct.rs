//! Loading while the sidecar is away: shared, bounded, and never what was old.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_client::{
    Bytes, Error, Held, Item, Loaded, LoadedMany, OnUnavailable, TenantCache, Value,
};
use tokio::task::JoinSet;

use crate::away::{FOR_EVER, Far, unavailable};
use crate::venue::{Down, Loads, begin, in_time, seconds, some, text};

/// A network that carries nothing, and a client that knows it: reads go to the origin
/// without waiting for anything.
async fn cut_off() -> Far {
    let far = Far::loading_directly().await;
    far.proxy.shut();
    let strict = far.users.clone().on_unavailable(OnUnavailable::Fail);
    unavailable(strict.get("42").await);
    far
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_reads_load_and_keep_nothing() {
    in_time(async {
        let far = Far::loading_directly().await;
        far.users.set("42", "held").await.expect("it is set");
        far.proxy.shut();
        let loads = Loads::free();
        for begun in 1..=3 {
            let item = Item::new("direct").fresh(seconds(60)).tags(["team:7"]);
            let read = far.users.get_or_load("42", loads.of(item)).await;
            let value = read.expect("it loads").expect("it is there");
            assert_eq!((&value[..], value.version()), (&b"direct"[..], None));
            assert_eq!(loads.begun(), begun);
        }
        let absent = far
            .users
            .get_or_load("43", loads.of(Loaded::absent()))
            .await;
        assert_eq!(absent, Ok(None));
        let failed = far
            .users
            .get_or_load("44", loads.failing("no such host"))
            .await;
        assert_eq!(failed, Err(Error::Load(Down("no such host"))));
        assert_eq!(far.users.get("42").await, Ok(Held::Nothing));
        assert_eq!(
            far.users.get_many(["42", "43"]).await,
            [Ok(Held::Nothing), Ok(Held::Nothing)]
        );
        // What is not delivered does not look delivered.
        unavailable(far.users.set("42", "never").await);
        unavailable(far.users.invalidate("42").await);
        let strict = far.users.clone().on_unavailable(OnUnavailable::Fail);
        unavailable(strict.get_or_load("42", loads.of("never")).await);
        unavailable(strict.get("42").await);
        far.proxy.open();
        far.until_back().await;
        let held = far.users.get("42").await.expect("it answers").value();
        assert_eq!(held.expect("it is held")[..], *b"held");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_a_herd_shares_its_loads() {
    in_time(async {
        let far = Far::loading_directly().await;
        far.proxy.shut();
        let strict = far.users.clone().on_unavailable(OnUnavailable::Fail);
        unavailable(strict.get("42").await);
        let begun = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..500 {
            let (users, begun) = (far.users.clone(), Arc::clone(&begun));
            let load = move || async move {
                begun.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await; // the origin's time
                Ok::<_, Down>("Ada")
            };
            callers.spawn(async move { text(users.get_or_load("42", load).await) });
        }
        while let Some(read) = callers.join_next().await {
            assert_eq!(read.expect("no panic"), some("Ada"));
        }
        // Two, but for those who ask while the second is under way already.
        let begun = begun.load(Ordering::SeqCst);
        assert!(begun < 50, "{begun} loads");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_nobody_gets_what_was_loaded_before_it_asked() {
    in_time(async {
        let far = cut_off().await;
        let (first, second) = (Loads::held(), Loads::free());
        let (leading, load) = (far.users.clone(), first.of("old"));
        let leader = tokio::spawn(async move { text(leading.get_or_load("42", load).await) });
        first.until_begun(1).await;
        // From here on the origin has another value.
        let mut follower = pin!(far.users.get_or_load("42", second.of("new")));
        begin(follower.as_mut()).await;

        first.open();

        assert_eq!(leader.await.expect("no panic"), some("old"));
        assert_eq!(text(follower.await), some("new"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_a_leader_that_is_gone_is_replaced() {
    in_time(async {
        let far = cut_off().await;
        for panics in [false, true] {
            let (first, second) = (Loads::held(), Loads::free());
            let (leading, held) = (far.users.clone(), first.clone());
            let leader = tokio::spawn(async move {
                let load = || async move {
                    held.pass().await;
                    panic!("the loader's own");
                    #[expect(unreachable_code, reason = "names the type")]
                    Ok::<Loaded, Down>(Loaded::absent())
                };
                leading.get_or_load("42", load).await
            });
            first.until_begun(1).await;
            // Its patience ends before the lease does.
            let following = far.users.clone().wait(seconds(5));
            let mut follower = pin!(following.get_or_load("42", second.of("second")));
            begin(follower.as_mut()).await;

            if panics {
                first.open();
            } else {
                leader.abort();
            }

            assert_eq!(text(follower.await), some("second"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_so_many_loads_run_so_many_wait_and_the_rest_is_refused() {
    in_time(async {
        let far = Far::with(|config| {
            let config = config.on_unavailable(OnUnavailable::LoadDirectly);
            config.direct_loads(2, 3)
        })
        .await;
        far.proxy.shut();
        let loads = Loads::held();
        let mut callers = JoinSet::new();
        for caller in 0..20 {
            let (users, load) = (far.users.clone().wait(FOR_EVER), loads.of("Ada"));
            callers.spawn(async move { users.get_or_load(caller.to_string(), load).await });
        }
        // All but those who load and those who queue.
        for _ in 0..15 {
            let read = callers.join_next().await.expect("there are more");
            let refused = read.expect("no panic").expect_err("there is no place");
            assert!(
                matches!(
                    refused,
                    Error::Shed {
                        retry_after: Some(_)
                    }
                ),
                "{refused:?}"
            );
        }
        assert_eq!(loads.begun(), 2);
        loads.open();
        while let Some(read) = callers.join_next().await {
            assert_eq!(text(read.expect("no panic")), some("Ada"));
        }
        assert_eq!(loads.begun(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_many_keys_are_loaded_by_one_call() {
    in_time(async {
        let far = Far::loading_directly().await;
        far.proxy.shut();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let load = move |keys: Vec<Bytes>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let found = keys.into_iter().map(|key| (key, "direct"));
                Ok::<LoadedMany<_>, Down>(found.collect())
            }
        };
        let found = far.users.get_many_or_load(["a", "b", "a"], load).await;
        for one in &found {
            assert!(
                matches!(one, Ok(Some(value)) if value[..] == *b"direct"),
                "{one:?}"
            );
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let strict = far.users.clone().on_unavailable(OnUnavailable::Fail);
        let never = |_| async { panic!("it must not load") };
        let found = strict
            .get_many_or_load::<_, _, _, Down>(["a", "b"], never)
            .await;
        for one in found {
            unavailable(one);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_bulk_followers_take_what_began_after_they_asked() {
    in_time(async {
        let far = cut_off().await;
        let first = Loads::held();
        let (leading, load) = (far.users.clone(), first.of("old"));
        let leader = tokio::spawn(async move { text(leading.get_or_load("b", load).await) });
        first.until_begun(1).await;
        let load = |keys: Vec<Bytes>| async move {
            let found = keys.into_iter().map(|key| (key, "new"));
            Ok::<LoadedMany<_>, Down>(found.collect())
        };
        let mut follower = pin!(far.users.get_many_or_load(["a", "b"], load));
        begin(follower.as_mut()).await;

        first.open();

        assert_eq!(leader.await.expect("no panic"), some("old"));
        for one in follower.await {
            let value: Value = one.expect("it loads").expect("it is there");
            assert_eq!(value[..], *b"new");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_who_queues_keeps_its_lease() {
    in_time(async {
        let far = Far::with(|config| {
            let config = config.on_unavailable(OnUnavailable::LoadDirectly);
            config.direct_loads(1, 2)
        })
        .await;
        far.proxy.shut();
        let strict = far.users.clone().on_unavailable(OnUnavailable::Fail);
        unavailable(strict.get("42").await);
        let users = far.users.clone().wait(FOR_EVER);
        let loads = Loads::held();
        let read = |users: &TenantCache, key: &'static str| {
            let (users, load) = (users.clone(), loads.of("Ada"));
            begun(async move { users.get_or_load(key, load).await })
        };
        let running = read(&users, "running").await;
        // Two queue: one that keeps its lease, and one whose longer lease ends.
        let keeps = users.clone().lease(Duration::from_millis(1_000));
        let kept = read(&keeps, "kept").await;
        let lets_go = users.clone().lease(Duration::from_millis(1_500));
        let ended = read(&lets_go.renew(false), "ended").await;
        let behind_kept = read(&users, "kept").await;
        let behind_ended = read(&users, "ended").await;

        // It comes to load, and there is no place in the queue.
        let refused = behind_ended.await.expect("no panic");
        assert!(matches!(refused, Err(Error::Shed { .. })), "{refused:?}");
        loads.open();

        for reading in [running, kept, ended, behind_kept] {
            assert_eq!(text(reading.await.expect("no panic")), some("Ada"));
        }
    })
    .await;
}

/// A task whose future was polled once.
async fn begun<T: std::fmt::Debug + Send + 'static>(
    asking: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let mut asking = Box::pin(asking);
    begin(asking.as_mut()).await;
    tokio::spawn(asking)
}
