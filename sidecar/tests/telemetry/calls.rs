//! Words for calls whose values outlive their freshness, and for those that are traced.

use bytes::Bytes;
use millpond_proto::v1;
use tonic::Request;

use crate::support::{self, Client, Pod};

/// Settles a load with a value that may be answered long after it is fresh.
pub(crate) fn settle(
    key: &'static str,
    lease: Option<v1::Lease>,
    settlement: v1::fill::Settlement,
) -> v1::FillRequest {
    let lease = lease.expect("nobody led before");
    let mut request = support::settle(key, lease, settlement);
    request.fills[0].times = Some(v1::Times {
        stale_ms: Some(600_000),
        stale_if_error_ms: Some(600_000),
        ..v1::Times::default()
    });
    request
}

pub(crate) async fn fill(client: &Client, key: &'static str, lease: Option<v1::Lease>) {
    let value = v1::fill::Settlement::Value(Bytes::from_static(b"value"));
    let filled = client.clone().fill(settle(key, lease, value)).await;
    filled.expect("the call is well formed");
}

/// The request under a caller's span.
pub(crate) fn under<T>(request: T, traceparent: &'static str) -> Request<T> {
    let mut request = Request::new(request);
    let value = traceparent.parse().expect("it is ASCII");
    request.metadata_mut().insert("traceparent", value);
    request
}

/// The value of one sample, as it stands on the page.
pub(crate) async fn sample(pod: &Pod, sample: &str) -> Option<f64> {
    pod.samples().await.get(sample).copied()
}
