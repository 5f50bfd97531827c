//! A sidecar that is away, silent, or comes and goes.

use std::time::Duration;

use millpond_client::{Error, Held, Millpond, OnUnavailable, RemoteConfig, TenantCache};
use millpond_core::tenant::State;

use crate::proxy::Proxy;
use crate::venue::{Down, Loads, Venue, in_time, some, text};

/// Longer than any test waits.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3_000);

/// A sidecar behind a network.
pub(crate) struct Far {
    pub(crate) venue: Venue,
    pub(crate) proxy: Proxy,
    pub(crate) users: TenantCache,
}

impl Far {
    pub(crate) async fn with(config: impl FnOnce(RemoteConfig) -> RemoteConfig) -> Self {
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

    pub(crate) async fn loading_directly() -> Self {
        Self::with(|config| config.on_unavailable(OnUnavailable::LoadDirectly)).await
    }

    /// Waits until calls get through again.
    pub(crate) async fn until_back(&self) {
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

pub(crate) fn unavailable<T: std::fmt::Debug, E: std::fmt::Debug>(
    read: Result<T, Error<E>>,
) -> String {
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

/// The sidecar is there and says no: nobody takes it for one that is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_in_maintenance_is_loaded_for_by_nobody() {
    in_time(async {
        let far = Far::loading_directly().await;
        let acme = far.users.get("42").await;
        assert_eq!(acme, Ok(Held::Nothing));
        let accepted = far.proxy.accepted();
        far.venue.put(State::Maintenance);
        let loads = Loads::free();
        let maintenance = |error: Error<Down>| match error {
            Error::Maintenance { message } => message,
            other => panic!("{other:?}"),
        };
        let read = far.users.get_or_load("42", loads.of("never")).await;
        let message = maintenance(read.expect_err("it is refused"));
        assert!(message.contains("maintenance"), "{message}");
        let read = far.users.get_or_load("42", loads.of("never")).await;
        maintenance(read.expect_err("it is refused"));
        assert_eq!(loads.begun(), 0, "nor directly");
        // On the connection that was there all along.
        far.venue.put(State::Active);
        let other = far.users.get_or_load("42", loads.of("Ada")).await;
        assert_eq!(text(other), some("Ada"));
        assert_eq!(far.proxy.accepted(), accepted);
    })
    .await;
}
