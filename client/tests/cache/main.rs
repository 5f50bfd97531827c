//! What the client promises, proven against a cache in this process and against a
//! sidecar over TCP and over a Unix socket: every test below runs on all three.

mod arguments;
mod away;
mod bulk;
mod coalescing;
mod direct;
mod environment;
mod invalidation;
#[cfg(feature = "json")]
mod json;
mod leases;
mod peer;
#[expect(
    dead_code,
    reason = "shared with the tests of limits, which lose replies"
)]
mod proxy;
mod refresh;
mod sidecar;
mod streams;
mod values;
mod venue;
mod versions;

/// Runs each test on every kind of venue.
macro_rules! everywhere {
    ($($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let venue = crate::venue::Venue::embedded();
                crate::venue::in_time(super::$test(venue)).await;
            })+
        }

        mod tcp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let venue = crate::venue::Venue::tcp().await;
                crate::venue::in_time(super::$test(venue)).await;
            })+
        }

        mod unix {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let venue = crate::venue::Venue::unix().await;
                crate::venue::in_time(super::$test(venue)).await;
            })+
        }
    };
}

pub(crate) use everywhere;
