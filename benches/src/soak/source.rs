//! The origin of a soak: it reads the truth when a load begins and answers later,
//! sometimes later than the load's lease, sometimes with an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use millpond_client::{Item, Times};

use crate::load::oracle::Oracle;

/// How long values are fresh, in a sidecar too.
pub(super) const FRESH: Duration = Duration::from_millis(200);
/// And stale after that; and good after a failed load, after that.
pub(super) const STALE: Duration = Duration::from_millis(300);
/// One key in so many lasts, so that something is left at the end to count.
const LASTING_EVERY: usize = 10;
const LASTING: Duration = Duration::from_secs(3_600);
/// Names under which many keys are invalidated at once.
pub(super) const TAGS: usize = 20;
/// Values differ in length, so that counting bytes means something.
const LENGTHS: u64 = 300;

#[derive(Debug)]
pub(super) struct Source {
    pub(super) oracle: Arc<Oracle>,
}

impl Source {
    pub(super) fn new(oracle: Arc<Oracle>) -> Arc<Self> {
        Arc::new(Self { oracle })
    }

    pub(super) async fn load(&self, key: usize) -> Result<Item, &'static str> {
        // First, as a database would: what is answered is of before the delay.
        let generation = self.oracle.truth(key);
        match delay() {
            Duration::ZERO => tokio::task::yield_now().await,
            delay => tokio::time::sleep(delay).await,
        }
        if fastrand::u32(..1_000) < 20 {
            return Err("the origin failed, as it does at times");
        }
        Ok(item(key, generation))
    }
}

/// Mostly at once; some outlive the lease of a soak, a few the time a load may be stored.
fn delay() -> Duration {
    let millis = match fastrand::u32(..10_000) {
        0..7_000 => 0,
        7_000..9_000 => fastrand::u64(0..3),
        9_000..9_850 => fastrand::u64(3..20),
        9_850..9_998 => fastrand::u64(90..250),
        _ => 2_200,
    };
    Duration::from_millis(millis)
}

pub(super) fn item(key: usize, generation: u64) -> Item {
    let fresh = if key.is_multiple_of(LASTING_EVERY) {
        LASTING
    } else {
        FRESH
    };
    Item::new(encode(key, generation))
        .tags([tag(key)])
        .times(Times {
            fresh: Some(fresh),
            stale: Some(STALE),
            stale_if_error: Some(STALE),
        })
}

pub(super) fn tag(key: usize) -> String {
    format!("t{}", key % TAGS)
}

pub(super) fn encode(key: usize, generation: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u64(key as u64);
    bytes.put_u64(generation);
    bytes.put_bytes(0, usize::try_from(generation % LENGTHS).unwrap_or_default());
    bytes.freeze()
}

/// The generation in a value of `key`; `None` when it is another's, or no value.
pub(super) fn decode(key: usize, value: &[u8]) -> Option<u64> {
    let (words, _) = value.as_chunks::<8>();
    let &[of, generation, ..] = words else {
        return None;
    };
    (u64::from_be_bytes(of) == key as u64).then(|| u64::from_be_bytes(generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_key_and_generation() {
        assert_eq!(decode(7, &encode(7, 301)), Some(301));
        assert_eq!(decode(8, &encode(7, 301)), None);
        assert_eq!(decode(7, b"short"), None);
    }
}
