//! The ports under whatever bytes come, for as long as one likes.
//!
//! ```sh
//! cargo test -p millpond-sidecar --test fuzz
//! MILLPOND_FUZZ_SECONDS=600 cargo test -p millpond-sidecar --test fuzz -- --nocapture
//! ```
//!
//! The seed is fixed, or `MILLPOND_FUZZ_SEED`: the same bytes are sent again in the
//! same order, if not at the same moment. All the while another caller's reads are
//! right; nothing panics; and when it is over, nothing is left of it.

mod fuzz {
    pub(crate) mod bytes;
    pub(crate) mod messages;
    pub(crate) mod oracle;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fuzz::oracle::Oracle;
use fuzz::{bytes, messages};
use millpond_core::cache;
use millpond_core::cache::Policy;
use millpond_sidecar::{Config, Running, Sidecar};
use tokio::time::Instant;

/// Rounds of a quick run.
const ROUNDS: usize = 100;
const LONG: Duration = Duration::from_secs(30);
const IN_FLIGHT: u64 = 4 << 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn config() -> Config {
    let short = Duration::from_millis(200);
    Config {
        // Less than is asked for, so that refusals are met too.
        in_flight: IN_FLIGHT,
        max_connections: 64,
        patience: Duration::from_millis(150),
        cache: cache::Config {
            budget: 16 << 20,
            undeclared: Policy {
                lease: short,
                max_load: short,
                ..Policy::undeclared()
            },
            ..cache::Config::default()
        },
        ..Config::on_free_ports()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_others_are_served_and_nothing_is_left_of_it() {
    let panics = Arc::new(AtomicUsize::new(0));
    let before = std::panic::take_hook();
    std::panic::set_hook({
        let panics = Arc::clone(&panics);
        Box::new(move |panic| {
            panics.fetch_add(1, Ordering::Relaxed);
            before(panic);
        })
    });
    let seed = number("MILLPOND_FUZZ_SEED").unwrap_or(0x6d69_6c6c);
    let until = number("MILLPOND_FUZZ_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let running = Sidecar::start(config()).expect("free ports are free");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut oracle = Oracle::connect(&running).await;
    let mut messages = messages::Sender::connect(&running).await;

    let mut rounds = 0;
    loop {
        let over = until.map_or(rounds >= ROUNDS, |until| Instant::now() >= until);
        if over {
            break;
        }
        rounds += 1;
        bytes::garbage(&running, &mut random).await;
        bytes::mutated_session(&running, &mut random).await;
        bytes::probe(&running, &mut random).await;
        messages.send_mutated(&running, &mut random).await;
        messages.send_slowly(&mut random).await;
        oracle.check(rounds).await;
        assert!(running.in_flight_bytes() <= IN_FLIGHT + (64 << 10));
        assert_eq!(
            panics.load(Ordering::Relaxed),
            0,
            "round {rounds}, seed {seed}"
        );
    }
    println!("{rounds} rounds, seed {seed}: {messages}");
    drop(messages);
    oracle.check(rounds + 1).await;
    drop(oracle);
    at_rest(&running).await;
    assert!(running.probe().is_some_and(bytes::is_live));
    let drained = tokio::task::spawn_blocking(|| running.shutdown());
    assert_eq!(drained.await.expect("it ends").cut_off, 0);
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}

/// Waits until nothing is held for anybody.
async fn at_rest(running: &Running) {
    const STEP: Duration = Duration::from_millis(5);
    let mut left = LONG;
    loop {
        let held = (
            running.in_flight_calls(),
            running.in_flight_bytes(),
            running.connections(),
            running.pond().gauges().loads,
        );
        if held == (0, 0, 0, 0) {
            return;
        }
        left = left
            .checked_sub(STEP)
            .unwrap_or_else(|| panic!("calls, bytes, connections, loads: {held:?}"));
        tokio::time::sleep(STEP).await;
    }
}
