//! What the client promises, proven against a cache in this process and against a
//! sidecar over TCP and over a Unix socket: every test below runs on all three.

mod arguments;
mod coalescing;
mod invalidation;
mod json;
mod refresh;
mod sidecar;
mod values;
mod venue;

/// Runs each test on every kind of venue.
macro_rules! everywhere {
    ($($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::venue::Venue::embedded()).await })+
        }

        mod tcp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::venue::Venue::tcp().await).await })+
        }

        mod unix {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::venue::Venue::unix().await).await })+
        }
    };
}

pub(crate) use everywhere;
