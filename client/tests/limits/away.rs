//! A sidecar that is lost in the middle of a call, away, or killed and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millpond_client::clock::Clock;
use millpond_client::{LimitReason, RemoteConfig, WithoutSidecar};

use crate::venue::{Far, SECOND, folder, in_time, put, quota, sidecar, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_reply_was_lost_goes_out_again_and_spends_once() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.venue.put("acme", Some(quota(1, 10)), Vec::new());
        let requests = far.pond.requests().cost(3);
        far.proxy.mute();
        let asking = tokio::spawn(async move { requests.acquire("acme").await });
        // The sidecar has spent, and its reply is on its way.
        until(async || far.venue.left_in_sidecar("acme") == 7).await;
        far.proxy.lose();
        let decision = asking.await.expect("no panic").expect("it answers");
        assert!(decision.allowed && !decision.without_sidecar);
        assert_eq!(far.venue.left_in_sidecar("acme"), 7, "it was spent once");
        // Another call is another one.
        let requests = far.pond.requests().cost(3);
        assert!(requests.acquire("acme").await.expect("it answers").allowed);
        assert_eq!(far.venue.left_in_sidecar("acme"), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_silent_holds_nobody_up_for_long() {
    in_time(async {
        let far = Far::with(|config| config.timeout(Duration::from_millis(50))).await;
        far.venue.put("acme", Some(quota(1, 10)), Vec::new());
        far.proxy.stall();
        let closed = far.pond.requests().on_unavailable(WithoutSidecar::Closed);
        let decision = closed.acquire("acme").await.expect("a denial is no error");
        assert_eq!(decision.reason, LimitReason::Unavailable);
        assert!(decision.without_sidecar && decision.retry_after >= SECOND);
        let granted = closed.clone().granted().acquire("acme").await;
        let granted = granted.expect("a denial is no error");
        assert_eq!(granted.reason, LimitReason::Unavailable);
        let open = far.pond.requests().acquire("acme").await;
        assert!(open.expect("the default lets it go on").allowed);
        let peeked = closed.peek("acme").await.expect("a denial is no error");
        assert!(!peeked.allowed && peeked.without_sidecar);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_starts_empty_each_time_the_sidecar_goes() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.venue.put("acme", Some(quota(1, 1_000)), Vec::new());
        // So slow that nothing comes back within the test.
        let slow = millpond_client::Quota::new(1, 3_600 * SECOND, 100).expect("a quota");
        let share = WithoutSidecar::LocalShare(slow);
        let requests = far.pond.requests().on_unavailable(share);
        for _ in 0..2 {
            far.proxy.shut();
            until(async || {
                let decision = requests.acquire("acme").await.expect("it decides");
                decision.without_sidecar
            })
            .await;
            for _ in 0..50 {
                let decision = requests.acquire("acme").await.expect("it decides");
                assert!(!decision.allowed && decision.without_sidecar);
                assert_eq!(decision.reason, LimitReason::OverLimit);
                assert!(!decision.retry_after.is_zero());
            }
            far.proxy.open();
            until(async || {
                let decision = requests.acquire("acme").await.expect("it decides");
                !decision.without_sidecar && decision.allowed
            })
            .await;
        }
    })
    .await;
}

/// Decides under load while the sidecar is killed and started again, with what was
/// chosen for its absence; how many were allowed while it was away, and for how long
/// that was.
async fn killed_and_started_again(chosen: WithoutSidecar, granted: bool) -> (u64, u64, Duration) {
    let folder = folder();
    let socket = folder.join("millpond.sock");
    let first = sidecar(Clock::Kernel, Some(socket.clone()));
    let many = quota(1_000_000, 1_000_000);
    put(first.limiter().directory(), "acme", Some(many), Vec::new());
    let pond = RemoteConfig::new(&format!("unix:{}", socket.display()))
        .expect("the address is one")
        .connections(2)
        .limits_on_unavailable(chosen)
        .connect()
        .await
        .expect("it answers");
    let over = Arc::new(AtomicBool::new(false));
    let here = Arc::new(AtomicU64::new(0));
    let (away, allowed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut load = Vec::new();
    for _ in 0..4 {
        let requests = pond.requests();
        let grant = pond.requests().granted().tenant("acme").expect("a name");
        let (over, here) = (Arc::clone(&over), Arc::clone(&here));
        let (away, allowed) = (Arc::clone(&away), Arc::clone(&allowed));
        load.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let decision = if granted {
                    grant.acquire().await
                } else {
                    requests.acquire("acme").await
                };
                let decision = decision.expect("it decides");
                if !decision.without_sidecar {
                    here.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    continue;
                }
                away.fetch_add(1, Ordering::Relaxed);
                allowed.fetch_add(decision.allowed.into(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
    }
    let more = async |count: &AtomicU64, than: u64| {
        let before = count.load(Ordering::Relaxed);
        until(async || count.load(Ordering::Relaxed) > before + than).await;
    };
    more(&here, 100).await;
    let gone = tokio::time::Instant::now();
    tokio::task::block_in_place(|| drop(first));
    more(&away, 200).await;
    let second = sidecar(Clock::Kernel, Some(socket));
    put(second.limiter().directory(), "acme", Some(many), Vec::new());
    more(&here, 100).await;
    let without = gone.elapsed();
    // The sidecar decides again, for everybody.
    until(async || {
        let before = away.load(Ordering::Relaxed);
        more(&here, 100).await;
        away.load(Ordering::Relaxed) == before
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("no panic");
    }
    pond.hand_back().await;
    drop(pond);
    tokio::task::block_in_place(|| drop(second));
    drop(std::fs::remove_dir_all(folder));
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    (count(&away), count(&allowed), without)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_lets_everybody_go_on_while_the_sidecar_is_away() {
    in_time(async {
        for granted in [false, true] {
            let (away, allowed, _) = killed_and_started_again(WithoutSidecar::Open, granted).await;
            assert_eq!(allowed, away);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_lets_nobody_go_on_while_the_sidecar_is_away() {
    in_time(async {
        for granted in [false, true] {
            let (_, allowed, _) = killed_and_started_again(WithoutSidecar::Closed, granted).await;
            assert_eq!(allowed, 0);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_lets_no_more_go_on_than_comes_back_while_the_sidecar_is_away() {
    in_time(async {
        for granted in [false, true] {
            let share = WithoutSidecar::LocalShare(quota(20, 5));
            let (away, allowed, without) = killed_and_started_again(share, granted).await;
            // A second more: some are still decided here while others reach it again.
            let bound = (without + SECOND).as_millis() * 20 / 1_000;
            assert!(
                u128::from(allowed) <= bound,
                "{allowed} of {away}, at most {bound}"
            );
        }
    })
    .await;
}
