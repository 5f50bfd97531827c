//! Keys that were answered with a fresh value, by where it came from. (Why others
//! were stale is counted by the core.)

use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::cache::{Answer, Source};

/// By number, as [`number`] gives them.
pub(crate) const SOURCES: [&str; 3] = ["l1", "l2", "loaded"];

/// Fresh answers.
#[derive(Debug, Default)]
pub(crate) struct Answers([AtomicU64; SOURCES.len()]);

// Relaxed throughout: these are counts, and order nothing.
impl Answers {
    #[inline]
    pub(super) fn count(&self, answer: &Answer) {
        if let Some(source) = answer.source
            && answer.found.is_some()
            && !answer.stale
        {
            self.0[number(source)].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn fresh(&self, source: usize) -> u64 {
        self.0[source].load(Ordering::Relaxed)
    }
}

fn number(source: Source) -> usize {
    match source {
        Source::L1 => 0,
        Source::L2 => 1,
        Source::Loaded => 2,
    }
}
