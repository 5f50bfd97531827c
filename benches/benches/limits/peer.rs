//! governor, as its documentation has it used: the default store and clock, with
//! ahash like all others here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use millpond_benches::lockfile::locked_version;

use crate::work::{Contender, Draws, MOST_THREADS, names};

pub(crate) const KEYED: &str = "governor keyed";
pub(crate) const DIRECT: &str = "governor direct";

type Keyed = RateLimiter<String, DashMapStateStore<String, RandomState>, DefaultClock>;

/// Name and version of what was linked.
pub(crate) fn title() -> String {
    const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
    format!(
        "governor {}",
        locked_version(LOCK, "governor").unwrap_or("?")
    )
}

pub(crate) fn admits() -> Quota {
    let rate = NonZeroU32::new(100_000_000).expect("not zero");
    Quota::per_second(rate).allow_burst(NonZeroU32::MAX)
}

pub(crate) fn denies() -> Quota {
    Quota::with_period(Duration::from_secs(3_600)).expect("not zero")
}

fn keyed(quota: Quota) -> Keyed {
    RateLimiter::dashmap_with_hasher(quota, RandomState::new())
}

/// The direct one, and the keyed one asked for the same key each time: among as many
/// others as a keyed limiter is for.
pub(crate) fn in_hand(quota: Quota, each: bool) -> [Contender; 2] {
    let count = if each { MOST_THREADS } else { 1 };
    let direct = (0..count).map(|_| DefaultDirectRateLimiter::direct(quota));
    let direct: Arc<[DefaultDirectRateLimiter]> = direct.collect();
    let of = move |thread: usize| if each { thread } else { 0 };
    let (names, limiter) = (names(), keyed(quota));
    for name in &names {
        let _admitted = limiter.check_key(name);
    }
    let shared = Arc::new((names, limiter));
    [
        Contender::new(DIRECT, move |thread| {
            let direct = Arc::clone(&direct);
            move || direct[of(thread)].check().is_ok()
        }),
        Contender::new(KEYED, move |thread| {
            let shared = Arc::clone(&shared);
            move || shared.1.check_key(&shared.0[of(thread)]).is_ok()
        }),
    ]
}

/// Random ones of many keys, so many a call.
pub(crate) fn by_key(quota: Quota, checks: usize) -> Contender {
    let (names, limiter) = (names(), keyed(quota));
    for name in &names {
        let _admitted = limiter.check_key(name);
    }
    let shared = Arc::new((names, limiter, Draws::new()));
    Contender::new(KEYED, move |thread| {
        let shared = Arc::clone(&shared);
        let mut draw = shared.2.of(thread);
        move || (0..checks).all(|_| shared.1.check_key(&shared.0[draw()]).is_ok())
    })
}
