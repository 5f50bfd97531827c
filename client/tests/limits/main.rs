//! What limits promise, proven against limits in this process and against those of a
//! sidecar over TCP and over a Unix socket.

mod away;
mod decisions;
mod grants;
#[cfg(feature = "tower")]
mod http;
#[path = "../cache/proxy.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of caches, which count connections"
)]
mod proxy;
mod reservations;
mod venue;
mod waiting;

/// Runs each test on every kind of venue.
macro_rules! everywhere {
    ($($test:ident),+ $(,)?) => {
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
