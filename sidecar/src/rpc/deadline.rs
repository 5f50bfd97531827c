//! How long a call waits for a load that is led elsewhere.

use std::time::Duration;

use tonic::Status;
use tonic::metadata::MetadataMap;

use super::fields::milliseconds;
use super::limits::MAX_WAIT;
use super::status;

/// The answer to a call whose patience ends must be there before the caller's
/// own deadline strikes: a tenth of the time is kept for the way, at most this.
const MAX_WAY_BACK: Duration = Duration::from_millis(20);

/// What a caller said about its patience.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    asked: Option<Duration>,
    call: Option<Duration>,
}

impl Patience {
    pub(super) fn read(wait_ms: Option<u32>, metadata: &MetadataMap) -> Result<Self, Status> {
        let call = match metadata.get("grpc-timeout") {
            None => None,
            Some(text) => Some(text.to_str().ok().and_then(timeout).ok_or_else(|| {
                status::bad(
                    "grpc-timeout",
                    "expected 1 to 8 digits and one of H M S m u n",
                )
            })?),
        };
        Ok(Self {
            asked: wait_ms.map(milliseconds),
            call: call.map(|call| call - (call / 10).min(MAX_WAY_BACK)),
        })
    }

    /// As asked, within the call's deadline; without either, as long as a lease.
    pub(super) fn or(self, lease: Duration) -> Duration {
        let patience = match (self.asked, self.call) {
            (Some(asked), Some(call)) => asked.min(call),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => lease,
        };
        patience.min(MAX_WAIT)
    }
}

/// `TimeoutValue TimeoutUnit` of the gRPC protocol over HTTP/2.
fn timeout(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().last()?;
    let digits = &text[..unit_at];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(value * 3_600)),
        'M' => Some(Duration::from_secs(value * 60)),
        'S' => Some(Duration::from_secs(value)),
        'm' => Some(Duration::from_millis(value)),
        'u' => Some(Duration::from_micros(value)),
        'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(
            timeout("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3_600))
        );
        for wrong in [
            "",
            "m",
            "100",
            "123456789m",
            "-1S",
            "1.5S",
            "1 S",
            "1µ",
            "١S",
        ] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn patience_is_what_was_asked_within_the_calls_deadline() {
        let lease = Duration::from_secs(10);
        let patience = |wait_ms, timeout: Option<&str>| {
            let mut metadata = MetadataMap::new();
            if let Some(timeout) = timeout {
                metadata.insert("grpc-timeout", timeout.parse().unwrap());
            }
            Patience::read(wait_ms, &metadata).unwrap().or(lease)
        };
        assert_eq!(patience(None, None), lease);
        assert_eq!(patience(Some(0), None), Duration::ZERO);
        assert_eq!(patience(None, Some("1S")), Duration::from_millis(980));
        assert_eq!(patience(None, Some("100m")), Duration::from_millis(90));
        assert_eq!(patience(Some(50), Some("100m")), Duration::from_millis(50));
        assert_eq!(patience(Some(500), Some("100m")), Duration::from_millis(90));
        assert_eq!(patience(Some(u32::MAX), None), MAX_WAIT);
    }
}
