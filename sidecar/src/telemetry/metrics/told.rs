//! What other parts of the sidecar tell when they are asked, at a scrape.

use std::fmt;

use millpond_core::cache::CacheInForce;

/// Asked at each scrape, on the control thread: it must not wait.
pub(crate) type Source<T> = Box<dyn Fn() -> T + Send + Sync>;

/// Those parts. Unset: the part is not there, and neither are its families.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) config: Option<Source<Configured>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// The configuration in force, and the attempts to change it.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    pub(crate) applied: u64,
    pub(crate) refused: u64,
    /// Whether the last file that was read is the one in force.
    pub(crate) successful: bool,
    /// Since the epoch.
    pub(crate) applied_micros: u64,
    /// Of the file's bytes, as hexadecimal.
    pub(crate) hash: String,
}

/// Caches that the page names at most.
const MAX_CACHES: usize = 256;

/// Those that the page names: switched ones first, then declared ones by name, so that
/// the choice is the same at every scrape.
pub(super) fn named(mut caches: Vec<CacheInForce>) -> Vec<CacheInForce> {
    caches.retain(|cache| cache.switched || cache.declared);
    caches.sort_unstable_by(|one, other| {
        (!one.switched, &one.name).cmp(&(!other.switched, &other.name))
    });
    caches.truncate(MAX_CACHES);
    caches
}
