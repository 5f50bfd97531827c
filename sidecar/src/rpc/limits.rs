//! The most a caller may ask for, in one place. `Hello` announces the sizes.

use std::time::Duration;

use millpond_core::cache::{MAX_ETAG_LEN, MAX_KEY_LEN, MAX_TAG_LEN, MAX_TAGS, Policy};
use millpond_proto::v1::Limits;

/// Bytes of one message, in or out. A value is at most 1 MiB by default, and a
/// `Fill` may carry several.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Bytes of one message to a service beside the cache: they ask for names.
pub(super) const MAX_BESIDE_BYTES: usize = 16 << 10;
/// Bytes of one message about limits: eight charges with the longest keys, and what
/// stands beside them.
pub(super) const MAX_LIMIT_BYTES: usize = 16 << 10;
/// Bytes of one message of `Grant`: the longest names and key, and the numbers.
pub(super) const MAX_GRANT_BYTES: usize = 2 << 10;
/// Bytes of one message about descriptors: they hold headers of requests.
pub(super) const MAX_SCREEN_BYTES: usize = 64 << 10;
/// Entries of a descriptor.
pub(super) const MAX_ENTRIES: usize = 32;
/// Keys of a `GetMany` or an `Invalidate`: about a millisecond of one core.
pub(super) const MAX_KEYS: usize = 512;
/// Fills of a `Fill`: every key of a `GetMany` can be settled at once.
pub(super) const MAX_FILLS: usize = MAX_KEYS;
/// Bytes of a version handed back.
pub(super) const MAX_VERSION_BYTES: usize = 32;
/// The longest settle time of an invalidation. A replica that lags more is not
/// one to read from.
pub(super) const MAX_SETTLE: Duration = Duration::from_secs(3_600);
/// The longest a call waits for another's load; more counts as this much.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// As `Hello` says it.
pub(super) fn announced() -> Limits {
    let number = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    Limits {
        max_key_bytes: number(MAX_KEY_LEN),
        max_value_bytes: number(Policy::undeclared().max_value),
        max_keys: number(MAX_KEYS),
        max_fills: number(MAX_FILLS),
        max_tags: number(MAX_TAGS),
        max_tag_bytes: number(MAX_TAG_LEN),
        max_etag_bytes: number(MAX_ETAG_LEN),
        max_message_bytes: number(MAX_MESSAGE_BYTES),
    }
}
