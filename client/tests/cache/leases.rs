//! Slow loaders: their leases are kept for them, up to a bound. Dead ones: theirs end.

use std::pin::pin;
use std::time::Duration;

use millpond_client::{Error, Loaded, LoadedMany, TenantCache};
use millpond_core::cache::{Lookup, Want};
use millpond_core::clock::Time;

use crate::everywhere;
use crate::venue::{Down, Loads, Venue, begin, policy, some, text};

everywhere!(
    a_loader_of_five_leases_loads_alone,
    a_bulk_loader_of_five_leases_loads_alone,
    a_lease_that_is_not_renewed_runs_out,
);

/// Short in real time too, which renewals go by.
const LEASE: Duration = Duration::from_millis(40);

/// When the lease of the key that is being loaded runs out.
fn runs_out(venue: &Venue, key: &str) -> Time {
    let scope = venue
        .core
        .scope_named("acme", "users")
        .expect("it is in use");
    match venue
        .core
        .get(&scope, key.as_bytes(), Want::load_until(Time::FAR))
    {
        Lookup::Follow(waiter) => waiter.wake_at(),
        Lookup::Answer(answer) => panic!("nobody loads it: {answer:?}"),
    }
}

/// Lets most of a lease pass, and waits until it has been renewed.
async fn pass_a_lease(venue: &Venue, keys: &[&str]) {
    let passed = LEASE - Duration::from_millis(1);
    let due = venue.clock.now().after(passed).after(LEASE);
    venue.clock.advance(passed);
    for key in keys {
        while runs_out(venue, key) < due {
            tokio::task::yield_now().await;
        }
    }
}

async fn a_loader_of_five_leases_loads_alone(venue: Venue) {
    let (users, loads) = (venue.users().lease(LEASE), Loads::held());
    let (loading, load) = (users.clone(), loads.of("Ada"));
    let slow = tokio::spawn(async move { text(loading.get_or_load("42", load).await) });
    loads.until_begun(1).await;
    for _ in 0..6 {
        pass_a_lease(&venue, &["42"]).await;
        let other = users.clone().wait(Duration::ZERO);
        let other = other.get_or_load("42", loads.of("never")).await;
        assert_eq!(other, Err(Error::WaitExpired));
    }

    loads.open();

    assert_eq!(slow.await.expect("no panic"), some("Ada"));
    assert_eq!(loads.begun(), 1);
}

async fn a_bulk_loader_of_five_leases_loads_alone(venue: Venue) {
    let (users, loads) = (venue.users().lease(LEASE), Loads::held());
    let (loading, held) = (users.clone(), loads.clone());
    let slow = tokio::spawn(async move {
        let load = move |_| {
            let held = held.clone();
            async move {
                held.pass().await;
                let found = [("a", "Ada"), ("b", "Bo")];
                Ok::<LoadedMany<_>, Down>(found.into_iter().collect())
            }
        };
        loading.get_many_or_load(["a", "b"], load).await
    });
    loads.until_begun(1).await;
    for _ in 0..6 {
        pass_a_lease(&venue, &["a", "b"]).await;
    }

    loads.open();

    for one in slow.await.expect("no panic") {
        assert!(matches!(one, Ok(Some(_))), "{one:?}");
    }
    assert_eq!(loads.begun(), 1);
}

async fn a_lease_that_is_not_renewed_runs_out(venue: Venue) {
    let users = venue.users().lease(LEASE).renew(false);
    let loads = Loads::held();
    let slow = spawn(&users, &loads);
    loads.until_begun(1).await;

    venue.clock.advance(LEASE);

    let second = spawn(&users, &loads);
    loads.until_begun(2).await;
    loads.open();
    assert!(slow.await.expect("no panic").is_ok());
    assert!(second.await.expect("no panic").is_ok());
}

fn spawn(
    users: &TenantCache,
    loads: &Loads,
) -> tokio::task::JoinHandle<Result<Option<millpond_client::Value>, Error<Down>>> {
    let (users, load) = (users.clone(), loads.of(Loaded::absent()));
    tokio::spawn(async move { users.get_or_load("42", load).await })
}

#[tokio::test]
async fn who_follows_a_caller_that_died_comes_to_load_when_its_lease_ends() {
    let venue = Venue::embedded();
    let users = venue.users();
    let scope = venue.core.scope_named("acme", "users");
    let want = Want::load_until(Time::FAR);
    let asked = venue.core.get(&scope.expect("it is in use"), b"42", want);
    let Lookup::Answer(dead) = asked else {
        panic!("nobody led before")
    };
    let loads = Loads::free();
    let mut followers = [(); 3].map(|()| {
        let (users, load) = (users.clone(), loads.of("Ada"));
        Box::pin(async move { text(users.get_or_load("42", load).await) })
    });
    for follower in &mut followers {
        begin(pin!(follower)).await;
    }

    venue.clock.advance(policy().lease);

    for follower in followers {
        assert_eq!(follower.await, some("Ada"));
    }
    assert_eq!(loads.begun(), 1);
    assert!(dead.lease.is_some(), "it was never given up");
    assert_eq!(venue.core.totals().promoted, 1);
}
