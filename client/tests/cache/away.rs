//! A sidecar that is away, silent, or comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_client::{
    Bytes, Error, Held, Item, Loaded, LoadedMany, Millpond, OnUnavailable, RemoteConfig,
    TenantCache, Value,
};
use tokio::task::JoinSet;

use crate::proxy::Proxy;
use crate::venue::{Down, Loads, Venue, in_time, seconds, some, text};

/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_secs(3_000);

/// A sidecar behind a network.
struct Far {
    venue: Venue,
    proxy: Proxy,
    users: TenantCache,
}

impl Far {
    async fn with(config: impl FnOnce(RemoteConfig) -> RemoteConfig) -> Self {
        let venue = Venue::tcp().await;
        let proxy = Proxy::to(venue.tcp_address()).await;
        let remote = RemoteConfig::new(&proxy.address()).expect("the address is one");
        let pond = config(remote).connect().await.expect("the sidecar answers");
        let users = pond.cache("users").expect("the name is one");
        let users = users.tenant("acme").expect("the name is one");
        Self {
            venue,
            proxy,
            users,
        }
    }

    async fn loading_directly() -> Self {
        Self::with(|config| config.on_unavailable(OnUnavailable::LoadDirectly)).await
    }

    /// Waits until calls get through again.
    async fn until_back(&self) {
        while self
            .users
            .clone()
            .on_unavailable(OnUnavailable::Fail)
            .get("42")
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn unavailable<T: std::fmt::Debug, E: std::fmt::Debug>(read: Result<T, Error<E>>) -> String {
    match read {
        Err(Error::Unavailable { message }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_given_up_soon_where_the_sidecar_is_silent_however_patient_it_is() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.proxy.stall();
        let patient = far.users.clone().wait(FOR_EVER);
        let loads = Loads::free();
        // It is the silence that ends it: nothing else would for 50 minutes.
        let read = patient.get_or_load("42", loads.of("never")).await;
        unavailable(read);
        assert_eq!(loads.begun(), 0);
        far.proxy.open();
        far.until_back().await;
        // Of another key: the first question has arrived by now, and nobody is there
        // to take the lease that it brought.
        let read = patient.get_or_load("43", loads.of("Ada")).await;
        assert_eq!(text(read), some("Ada"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_within_the_time_it_was_given() {
    in_time(async {
        // The connection is given up for silence after half an hour.
        let far = Far::with(|config| config.timeout(FOR_EVER)).await;
        far.proxy.stall();
        let hasty = far.users.clone().within(Duration::from_millis(20));
        unavailable(hasty.get("42").await);
        unavailable(hasty.get_or_load("42", Loads::free().of("never")).await);
        unavailable(hasty.set("42", "Ada").await);
        unavailable(hasty.invalidate("42").await);
        unavailable(hasty.get_many(["42"]).await.remove(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_takes_no_longer_than_its_wait_and_the_timeout() {
    in_time(async {
        let timeout = Duration::from_millis(20);
        let far = Far::with(|config| config.timeout(timeout)).await;
        far.proxy.stall();
        let hasty = far.users.clone().wait(Duration::ZERO);
        let message = unavailable(hasty.get_or_load("42", Loads::free().of("never")).await);
        // Not because the connection was given up, which takes a second.
        assert!(message.contains("Timeout expired"), "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_connects_to_a_peer_that_accepts_and_never_answers() {
    in_time(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let config = RemoteConfig::new(&at.to_string()).expect("the address is one");
        let message = unavailable(config.connect().await);
        assert!(message.contains("did not answer"), "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_waits_within_a_time_is_told_so_by_the_sidecar() {
    in_time(async {
        // On the kernel's clock: patience passes.
        let config = millpond_sidecar::Config::on_free_ports();
        let sidecar = millpond_sidecar::Sidecar::start(config).expect("free ports are free");
        let address = sidecar.tcp().expect("it listens").to_string();
        let pond = Millpond::connect(&address).await.expect("it answers");
        let users = pond.cache("users").expect("the name is one");
        let users = users.tenant("acme").expect("the name is one");
        let loads = Loads::held();
        let (leading, load) = (users.clone(), loads.of("Ada"));
        let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
        loads.until_begun(1).await;
        let hasty = users.within(Duration::from_millis(200));
        let read = hasty.get_or_load("42", loads.of("never")).await;
        assert_eq!(read, Err(Error::WaitExpired));
        loads.open();
        assert!(leader.await.expect("no panic").is_ok());
        tokio::task::block_in_place(|| drop(sidecar));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_sidecar_is_known_to_be_away_calls_fail_at_once_and_do_not_connect() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.proxy.stall();
        unavailable(far.users.get("42").await);
        // Connections are accepted and not answered: each attempt takes a second.
        let before = far.proxy.accepted();
        for _ in 0..2_000 {
            unavailable(far.users.get("42").await);
        }
        let attempts = far.proxy.accepted() - before;
        assert!(attempts <= 20, "{attempts} attempts for 2 000 calls");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_back_is_noticed() {
    in_time(async {
        let far = Far::with(|config| config.connections(4)).await;
        for _ in 0..5 {
            far.users.set("42", "Ada").await.expect("it is set");
            far.proxy.shut();
            unavailable(far.users.get("42").await);
            far.proxy.open();
            far.until_back().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_meets_a_broken_connection_goes_out_again() {
    in_time(async {
        let far = Far::with(|config| config.connections(4)).await;
        for round in 0..20 {
            far.proxy.cut();
            let value = format!("round {round}");
            let loads = Loads::free();
            let key = round.to_string();
            let read = far.users.get_or_load(&key, loads.of(value.clone())).await;
            assert_eq!(text(read), some(&value));
            far.users.invalidate(&key).await.expect("it takes effect");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_given_up_as_soon_as_the_sidecar_is_reached_again() {
    in_time(async {
        let far = Far::with(|config| config).await;
        let loads = Loads::held();
        let (leading, load) = (far.users.clone(), loads.of("never"));
        let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
        loads.until_begun(1).await;
        far.proxy.shut();
        unavailable(far.users.get("42").await);
        leader.abort();
        drop(leader.await);
        // Another process, whose connection stands.
        let (following, load) = (far.venue.users(), Loads::free().of("Ada"));
        let follower = tokio::spawn(async move { text(following.get_or_load("42", load).await) });
        far.venue.until(|totals| totals.coalesced == 1).await;

        far.proxy.open();

        // Time stands still there, so it is not the lease's deadline that helps.
        assert_eq!(follower.await.expect("no panic"), some("Ada"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_connection_breaks_under_it_goes_out_again() {
    in_time(async {
        let far = Far::with(|config| config).await;
        let loads = Loads::held();
        let (leading, load) = (far.venue.users(), loads.of("Ada"));
        let leader = tokio::spawn(async move { leading.get_or_load("42", load).await });
        loads.until_begun(1).await;
        let (following, load) = (far.users.clone(), loads.of("never"));
        let follower = tokio::spawn(async move { text(following.get_or_load("42", load).await) });
        far.venue.until(|totals| totals.coalesced == 1).await;

        far.proxy.cut();

        // It waits for the same load again, by another connection.
        far.venue.until(|totals| totals.coalesced == 2).await;
        loads.open();
        assert_eq!(follower.await.expect("no panic"), some("Ada"));
        assert!(leader.await.expect("no panic").is_ok());
    })
    .await;
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
        let far = Far::loading_directly().await;
        far.proxy.shut();
        let (first, second) = (Loads::held(), Loads::free());
        let (leading, load) = (far.users.clone(), first.of("old"));
        let leader = tokio::spawn(async move { text(leading.get_or_load("42", load).await) });
        first.until_begun(1).await;
        // From here on the origin has another value.
        let (following, load) = (far.users.clone(), second.of("new"));
        let follower = tokio::spawn(async move { text(following.get_or_load("42", load).await) });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }

        first.open();

        assert_eq!(leader.await.expect("no panic"), some("old"));
        assert_eq!(follower.await.expect("no panic"), some("new"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sidecar_a_leader_that_is_gone_is_replaced() {
    in_time(async {
        let far = Far::loading_directly().await;
        far.proxy.shut();
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
            let (following, load) = (far.users.clone(), second.of("second"));
            let follower =
                tokio::spawn(async move { text(following.get_or_load("42", load).await) });
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }

            if panics {
                first.open();
            } else {
                leader.abort();
            }

            // The lease alone would hold it up for ten seconds.
            let read = tokio::time::timeout(seconds(4), follower).await;
            let read = read.expect("it is handed over").expect("no panic");
            assert_eq!(read, some("second"));
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
        let far = Far::loading_directly().await;
        far.proxy.shut();
        let first = Loads::held();
        let (leading, load) = (far.users.clone(), first.of("old"));
        let leader = tokio::spawn(async move { text(leading.get_or_load("b", load).await) });
        first.until_begun(1).await;
        let following = far.users.clone();
        let follower = tokio::spawn(async move {
            let load = |keys: Vec<Bytes>| async move {
                let found = keys.into_iter().map(|key| (key, "new"));
                Ok::<LoadedMany<_>, Down>(found.collect())
            };
            following.get_many_or_load(["a", "b"], load).await
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        first.open();
        assert_eq!(leader.await.expect("no panic"), some("old"));
        for one in follower.await.expect("no panic") {
            let value: Value = one.expect("it loads").expect("it is there");
            assert_eq!(value[..], *b"new");
        }
    })
    .await;
}
