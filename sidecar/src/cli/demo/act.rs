//! The five acts: what each promises, and why it matters.

use clap::ValueEnum;

use super::stage::{Outcome, Stage};
use super::{expiry, herd, invalidation, leader, outage};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Act {
    Herd,
    Expiry,
    Invalidation,
    Leader,
    Outage,
}

impl Act {
    /// In the order they are played.
    pub(super) const ALL: [Self; 5] = [
        Self::Herd,
        Self::Expiry,
        Self::Invalidation,
        Self::Leader,
        Self::Outage,
    ];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// Counted from 1.
    pub(super) fn number(self) -> usize {
        self.index() + 1
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Herd => "herd",
            Self::Expiry => "expiry",
            Self::Invalidation => "invalidation",
            Self::Leader => "leader",
            Self::Outage => "outage",
        }
    }

    /// The promise, in a few words.
    pub(super) fn promise(self) -> &'static str {
        match self {
            Self::Herd => "A herd makes one load",
            Self::Expiry => "Nobody waits at expiry",
            Self::Invalidation => "Invalidated is gone",
            Self::Leader => "A dead leader strands nobody",
            Self::Outage => "Held values outlive the origin",
        }
    }

    /// What happens, and why it matters.
    pub(super) fn story(self) -> &'static str {
        match self {
            Self::Herd => {
                "100 callers at once want a key that nobody holds, as after a deploy: a cache \
                 that sends them all to the origin takes it down when it can least bear it."
            }
            Self::Expiry => {
                "A hot key expires again and again under load: whoever waits for the reload is \
                 a slow page, so the old value is answered at once and reloaded behind it."
            }
            Self::Invalidation => {
                "A price changes while the old one is being loaded: a cache that stores \
                 whatever a load brings sells at the old price until it expires."
            }
            Self::Leader => {
                "The one caller that loads dies halfway, cancelled or cut off: those who wait \
                 for it are served by the next, not left to wait for a ghost."
            }
            Self::Outage => {
                "The origin goes down and what is cached expires: a value that was right a \
                 moment ago is worth more to a caller than an error."
            }
        }
    }

    pub(super) async fn play(self, stage: &Stage<'_>) -> Result<Outcome, String> {
        match self {
            Self::Herd => herd::play(stage).await,
            Self::Expiry => expiry::play(stage).await,
            Self::Invalidation => invalidation::play(stage).await,
            Self::Leader => leader::play(stage).await,
            Self::Outage => outage::play(stage).await,
        }
    }
}
