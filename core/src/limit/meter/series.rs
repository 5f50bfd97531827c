//! What was counted of one name, by windows of 10 s, for an hour.
//!
//! Cost: 56 bytes for each window in which there was a call, 360 of them at most.

use std::collections::VecDeque;
use std::time::Duration;

use super::Counts;
use crate::cache::TenantId;
use crate::limit::quota::Ticks;
use crate::tenant::LimitName;

/// Which window it is: so many have been since the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Window(u64);

impl Window {
    const LENGTH: Duration = Duration::from_secs(10);
    const A_MINUTE: u64 = 6;
    pub(super) const AN_HOUR: u64 = 360;

    pub(super) fn at(now: Ticks) -> Self {
        Self(now.0 / Ticks::of(Self::LENGTH).0)
    }

    /// How many windows ago `earlier` was.
    pub(super) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Counts of one tenant's limit, or of those that are not told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// `None` for all tenants that are not told apart.
    pub tenant: Option<TenantId>,
    /// Which of the tenant's limits.
    pub limit: Of,
    /// Since it is told apart. Never falls; one that was not told for an hour may begin
    /// anew.
    pub total: Counts,
}

/// Whose counts they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Of {
    /// The tenant's own bucket.
    Own,
    /// A named limit.
    Limit(LimitName),
    /// Any named limit: of tenants that are not told apart.
    Named,
}

/// What was counted lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// In the last 10 s that are over.
    pub window: Counts,
    /// In the last minute: 50 to 60 s.
    pub minute: Counts,
    /// In the last hour, of which up to 10 s may be missing.
    pub hour: Counts,
}

/// One name's.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) total: Counts,
    /// The earliest first; those without a call are left out.
    windows: VecDeque<(Window, Counts)>,
}

impl Series {
    pub(super) fn add(&mut self, window: Window, counts: Counts) {
        self.total += counts;
        self.add_window(window, counts);
    }

    fn add_window(&mut self, window: Window, counts: Counts) {
        let at = self.windows.partition_point(|(at, _)| *at < window);
        match self.windows.get_mut(at) {
            Some((held, sum)) if *held == window => *sum += counts,
            _ => self.windows.insert(at, (window, counts)),
        }
    }

    /// Takes the windows of one that is not told apart any more. Its total stays its own:
    /// what was told under its name must not be told again under another.
    pub(super) fn fold(&mut self, other: &mut Self) {
        for (window, counts) in std::mem::take(&mut other.windows) {
            self.add_window(window, counts);
        }
    }

    /// Drops what is older than an hour.
    pub(super) fn forget_old(&mut self, open: Window) {
        while let Some((window, _)) = self.windows.front()
            && open.since(*window) >= Window::AN_HOUR
        {
            self.windows.pop_front();
        }
    }

    pub(super) fn recent(&self, open: Window) -> Recent {
        let mut recent = Recent::default();
        for (window, counts) in &self.windows {
            let ago = open.since(*window);
            if ago == 1 {
                recent.window += *counts;
            }
            if ago < Window::A_MINUTE {
                recent.minute += *counts;
            }
            if ago < Window::AN_HOUR {
                recent.hour += *counts;
            }
        }
        recent
    }
}
