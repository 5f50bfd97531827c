//! What calls for tokens were answered, and what of it would have been a denial.

use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::limit::{Decision, Given, Verdict};

/// By number, as [`number`] gives them.
pub(crate) const VERDICTS: [&str; 5] =
    ["allowed", "over_limit", "never", "suspended", "unavailable"];

/// Decisions by verdict.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    by_verdict: [AtomicU64; VERDICTS.len()],
    would_deny: AtomicU64,
    granted: AtomicU64,
    returned: AtomicU64,
}

// Relaxed throughout: these are counts, and order nothing.
impl Decisions {
    #[inline]
    pub(crate) fn count(&self, decision: &Decision) {
        self.count_verdict(decision.verdict, decision.would_deny);
    }

    #[inline]
    pub(crate) fn count_verdict(&self, verdict: Verdict, would_deny: bool) {
        self.by_verdict[number(verdict)].fetch_add(1, Ordering::Relaxed);
        if would_deny {
            self.would_deny.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn granted(&self, given: &Given) {
        let tokens = u64::from(given.tokens);
        self.granted.fetch_add(tokens, Ordering::Relaxed);
        self.returned.fetch_add(given.returned, Ordering::Relaxed);
    }

    /// Tokens granted to processes, and handed back by them.
    pub(crate) fn grants(&self) -> [u64; 2] {
        [&self.granted, &self.returned].map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn of(&self, verdict: usize) -> u64 {
        self.by_verdict[verdict].load(Ordering::Relaxed)
    }

    /// Allowed, though a limit that is not enforced would have denied it.
    pub(crate) fn would_deny(&self) -> u64 {
        self.would_deny.load(Ordering::Relaxed)
    }
}

fn number(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Allowed => 0,
        Verdict::OverLimit => 1,
        Verdict::Never => 2,
        Verdict::NotServed(state) if !state.passes() => 3,
        // In maintenance, without room, or for a reason of a later core.
        _ => 4,
    }
}
