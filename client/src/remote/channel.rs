//! Connections, tuned for values of up to a megabyte over one machine's loopback.
//!
//! HTTP/2's default windows of 64 KiB would stop a large value several times on
//! its way, and all calls of a connection together at the second such value.
//! Memory, worst case: one connection window for each connection.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::address::Address;

const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A sidecar that was stopped is noticed after the sum of the two, not after the
/// kernel's minutes.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is made when it is first used, and again after it broke.
pub(super) fn open(address: &Address) -> Channel {
    match address {
        Address::Http(uri) => tuned(Endpoint::from(uri.clone())).connect_lazy(),
        Address::Unix(path) => {
            let path = path.clone();
            // The name is not resolved: it only fills `:authority`.
            tuned(Endpoint::from_static("http://localhost")).connect_with_connector_lazy(
                service_fn(move |_| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                }),
            )
        }
    }
}

fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
}
