//! Tokens held until the real cost is known.

use super::*;

#[tokio::test]
async fn a_reservation_is_settled_once_to_its_real_cost() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 10)), Vec::new());
    let client = still.client().await;
    let reserve = || {
        let request = v1::AcquireRequest {
            hold_ms: Some(5_000),
            ..acquire(&[("", "", 6)])
        };
        asked(&client, request)
    };
    let commit = |reservation: &v1::Reservation, costs: &[u64]| {
        let request = v1::CommitRequest {
            tenant: "acme".to_owned(),
            reservation: Some(*reservation),
            costs: costs.to_vec(),
        };
        let mut client = client.clone();
        async move {
            client
                .commit(request)
                .await
                .map(|reply| reply.into_inner().settlement())
        }
    };
    let release = |reservation: &v1::Reservation| {
        let request = v1::ReleaseRequest {
            tenant: "acme".to_owned(),
            reservation: Some(*reservation),
        };
        let mut client = client.clone();
        async move {
            let reply = client.release(request).await;
            reply.expect("it is well formed").into_inner().settlement()
        }
    };
    let held = reserve().await.reservation.expect("it is held");
    assert_eq!(held.expires_in_ms, 5_000);
    assert_eq!(remaining(&client).await, 4);
    let wrong = commit(&held, &[1, 2]).await.expect_err("it has one charge");
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(wrong.message().starts_with("costs: 2"), "{wrong}");
    let settled = commit(&held, &[2]).await.expect("it is well formed");
    assert_eq!(settled, v1::Settlement::Done);
    assert_eq!(remaining(&client).await, 8);
    let again = commit(&held, &[2]).await.expect("it is well formed");
    assert_eq!(again, v1::Settlement::Repeated);
    assert_eq!(release(&held).await, v1::Settlement::Void);
    let other = v1::Reservation {
        boot: held.boot ^ 1,
        ..held
    };
    assert_eq!(release(&other).await, v1::Settlement::Void);
    assert_eq!(remaining(&client).await, 8);

    let held = reserve().await.reservation.expect("it is held");
    let other = v1::Reservation {
        boot: held.boot ^ 1,
        ..held
    };
    assert_eq!(release(&other).await, v1::Settlement::Void);
    assert_eq!(remaining(&client).await, 2, "it is held still");
    assert_eq!(release(&held).await, v1::Settlement::Done);
    assert_eq!(remaining(&client).await, 8);
    let held = reserve().await.reservation.expect("it is held");
    still.clock.advance(Duration::from_secs(5));
    // The sweeper, by its own thread.
    eventually("the hold ends", || {
        still.pod.running.limiter().figures().reservations == 0
    })
    .await;
    assert_eq!(release(&held).await, v1::Settlement::Late);
}
