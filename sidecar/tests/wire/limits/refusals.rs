//! What is asked in a wrong form, of whom there is no more, or too late.

use super::*;

#[tokio::test]
async fn what_is_asked_in_a_wrong_form_is_refused_by_name() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 5)), Vec::new());
    let client = still.client().await;
    let long = "k".repeat(1_025);
    let with = |change: fn(&mut v1::AcquireRequest)| {
        let mut request = acquire(&[]);
        change(&mut request);
        request
    };
    let wrong = [
        (acquire(&[("", "", 1); 9]), "charges: 9, limit 8"),
        (
            acquire(&[("", "", 1), ("", &long, 1)]),
            "charges[1].key: 1025 bytes, limit 1024",
        ),
        (
            acquire(&[("Sms", "", 1)]),
            "charges[0].limit: byte 0 is outside [a-z0-9._-]",
        ),
        (
            with(|request| request.tenant.clear()),
            "tenant: is empty, needs at least 1 byte",
        ),
        (
            with(|request| request.tenant = "x".repeat(129)),
            "tenant: 129 bytes, limit 128",
        ),
        (
            with(|request| request.request_id = Bytes::from(vec![7; 129])),
            "request_id: 129 bytes, limit 128",
        ),
    ];
    for (request, message) in wrong {
        assert_eq!(
            refused(&client, request).await,
            (Code::InvalidArgument, message.to_owned())
        );
    }
    let absurd = asked(&client, acquire(&[("", "", u64::MAX), ("", "", u64::MAX)])).await;
    assert_eq!(absurd.reason(), v1::LimitReason::Never);
    assert_eq!(remaining(&client).await, 5);

    let commit = v1::CommitRequest {
        tenant: "acme".to_owned(),
        ..v1::CommitRequest::default()
    };
    let status = client.clone().commit(commit.clone()).await;
    let said = status.expect_err("it has no costs").message().to_owned();
    assert_eq!(said, "costs: is empty, needs at least 1");
    let commit = v1::CommitRequest {
        costs: vec![1; 9],
        ..commit
    };
    let status = client.clone().commit(commit).await;
    let said = status.expect_err("it has too many").message().to_owned();
    assert_eq!(said, "costs: 9, limit 8");
    let release = v1::ReleaseRequest {
        tenant: "acme".to_owned(),
        reservation: None,
    };
    let status = client.clone().release(release).await;
    let said = status.expect_err("it names none").message().to_owned();
    assert_eq!(said, "reservation: is missing");
    eventually("nothing is held", || {
        still.pod.running.in_flight_bytes() == 0
    })
    .await;
}

#[tokio::test]
async fn a_message_is_bounded_and_garbage_is_refused() {
    const PATH: &str = "http://localhost/millpond.v1.LimitService/Acquire";
    let still = Still::start();
    let mut peer = Peer::connect(&still.pod).await;
    let mut large = peer.begin_at(PATH, &[]).await;
    large.send(head(20_000).freeze(), false);
    large.send(Bytes::from(vec![0; 20_000]), true);
    let ended = large.ended().await;
    assert_eq!(ended.code, Code::InvalidArgument as i32);
    assert_eq!(ended.message, "message: 20000 bytes, limit 16384");

    // Counted before they are decoded: each would be 80 bytes for its two.
    let many = v1::AcquireRequest {
        charges: vec![v1::Charge::default(); 5_000],
        ..acquire(&[])
    };
    assert!(many.encoded_len() < 16_384);
    let mut listed = peer.begin_at(PATH, &[]).await;
    listed.send(framed(&many), true);
    let ended = listed.ended().await;
    assert_eq!(ended.message, "charges: 5000, limit 8");

    let mut garbage = peer.begin_at(PATH, &[]).await;
    let mut bytes = head(4);
    bytes.extend_from_slice(&[0xff; 4]);
    garbage.send(bytes.freeze(), true);
    assert_eq!(garbage.ended().await.code, Code::InvalidArgument as i32);
    let nothing = peer
        .begin_at("http://localhost/millpond.v1.LimitService/Get", &[])
        .await;
    assert_eq!(nothing.ended().await.code, Code::Unimplemented as i32);
    eventually("nothing is held", || {
        still.pod.running.in_flight_bytes() == 0
    })
    .await;
}

#[tokio::test]
async fn who_still_waits_for_a_turn_when_the_sidecar_leaves_is_told_so_and_gets_it_back() {
    let still = Still::with(Config {
        drain: Duration::from_secs(2),
        ..Config::on_free_ports()
    });
    let slow = Quota::new(1, MINUTE, 1).expect("valid");
    still.put("acme", Some(slow), Vec::new());
    let client = still.client().await;
    assert!(asked(&client, acquire(&[])).await.allowed);
    let request = v1::AcquireRequest {
        max_wait_ms: 60_000,
        ..acquire(&[])
    };
    let waiting = tokio::spawn(async move { client.clone().acquire(request).await });
    let limiter = std::sync::Arc::clone(still.pod.running.limiter());
    let away = move || {
        let peek = limiter.peek("acme", &[own(1)]).expect("known");
        peek.retry_after
    };
    eventually("it is charged", || away() == 2 * MINUTE).await;
    let Still { pod, .. } = still;
    let ending = tokio::task::spawn_blocking(|| pod.running.shutdown());
    let refused = timeout(LONG, waiting).await.expect("it ends");
    let refused = refused
        .expect("it ends")
        .expect_err("its turn did not come");
    assert_eq!(refused.code(), Code::Unavailable);
    let drained = timeout(LONG, ending).await.expect("it ends");
    assert_eq!(drained.expect("it ends"), Drained { cut_off: 0 });
    assert_eq!(away(), MINUTE);
}

#[tokio::test]
async fn who_waits_for_a_turn_is_told_of_a_state_that_was_set_meanwhile() {
    let still = Still::start();
    still.put("acme", Some(quota(1, 1)), Vec::new());
    let client = still.client().await;
    assert!(asked(&client, acquire(&[])).await.allowed);
    let request = v1::AcquireRequest {
        max_wait_ms: 60_000,
        ..acquire(&[])
    };
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { asked(&client, request).await }
    });
    let limiter = std::sync::Arc::clone(still.pod.running.limiter());
    let away = || {
        let peek = limiter.peek("acme", &[own(1)]).expect("known");
        peek.retry_after
    };
    eventually("it is charged", || away() == Duration::from_secs(2)).await;
    let set = limiter.directory().set_state(&id("acme"), State::Suspended);
    set.expect("it can be");
    still.clock.advance(Duration::from_secs(1));
    let told = timeout(LONG, waiting).await.expect("its turn came");
    let told = told.expect("it ends");
    assert!(!told.allowed, "it is not served any more");
    assert_eq!(told.reason(), v1::LimitReason::Suspended);
    let set = limiter.directory().set_state(&id("acme"), State::Active);
    set.expect("it can be");
    assert_eq!(remaining(&client).await, 1, "what it waited for is back");
}
