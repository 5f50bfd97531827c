//! Planted bugs: each rule's test is proven by the bug that breaks the rule.
//!
//! A place that keeps a correctness rule asks `planted(Bug::…)` whether to break
//! it. In every ordinary build the answer is the constant `false` and the
//! optimiser removes the question. Under the private cfgs `millpond_planted` and
//! `millpond_loom` the environment variable `MILLPOND_PLANTED` names one bug to
//! switch on, and `cargo xtask promises` and `cargo xtask loom` require that the
//! rule's test then fails.

macro_rules! bugs {
    ($($(#[$when:meta])* $variant:ident = $name:literal,)*) => {
        /// A way to break a rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug { $($(#[$when])* $variant,)* }

        #[cfg(any(millpond_planted, millpond_loom))]
        impl Bug {
            fn name(self) -> &'static str {
                match self { $($(#[$when])* Self::$variant => $name,)* }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $($(#[$when])* $name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

bugs! {
    AdoptUnsealed = "adopt-unsealed",
    AdmitUnchecked = "admit-unchecked",
    BarrierUnread = "barrier-unread",
    BytesUncounted = "bytes-uncounted",
    BeginAtFill = "begin-at-fill",
    ChangeRefills = "change-refills",
    ChangeUntold = "change-untold",
    ChargeUnchecked = "charge-unchecked",
    CapIgnored = "cap-ignored",
    CapNotLent = "cap-not-lent",
    CancelAsError = "cancel-as-error",
    CreditUnchecked = "credit-unchecked",
    DeadlineDiscards = "deadline-discards",
    DeliverUnchecked = "deliver-unchecked",
    DropKeepsLease = "drop-keeps-lease",
    ErrorDropsStale = "error-drops-stale",
    ErrorRemembered = "error-remembered",
    ExpiredSpent = "expired-spent",
    #[cfg(feature = "testing")]
    FleetBeginsFull = "fleet-begins-full",
    FloorForgotten = "floor-forgotten",
    GrantOverwrites = "grant-overwrites",
    GivenUpForgotten = "given-up-forgotten",
    HandoverForgotten = "handover-forgotten",
    IgnoredTwice = "ignored-twice",
    InvalidateSparesLoads = "invalidate-spares-loads",
    KeyWithoutScope = "key-without-scope",
    LateCounted = "late-counted",
    LateLoadWins = "late-load-wins",
    LedgerWithoutTenant = "ledger-without-tenant",
    ListenerRemovesAny = "listener-removes-any",
    LongerLoadForgotten = "longer-load-forgotten",
    MeterDropped = "meter-dropped",
    MeterForgotten = "meter-forgotten",
    NamedUnclosed = "named-unclosed",
    MovedTicketAlive = "moved-ticket-alive",
    MoveThroughNothing = "move-through-nothing",
    MoveWithoutGrace = "move-without-grace",
    NoBackoff = "no-backoff",
    NoReadmission = "no-readmission",
    OldestForgotten = "oldest-forgotten",
    PermitsKept = "permits-kept",
    ProbeUnchecked = "probe-unchecked",
    PromoteUnleased = "promote-unleased",
    PromoteUnderBarrier = "promote-under-barrier",
    RefundUnclamped = "refund-unclamped",
    RefundsUntold = "refunds-untold",
    ReplayForgotten = "replay-forgotten",
    RetiredUsed = "retired-used",
    PurgeSparesLoads = "purge-spares-loads",
    PurgeWithoutGrace = "purge-without-grace",
    RingOverwrites = "ring-overwrites",
    ReserveEvicted = "reserve-evicted",
    ReserveNotTaken = "reserve-not-taken",
    SettleAnyToken = "settle-any-token",
    SettledTwice = "settled-twice",
    SettleForgotten = "settle-forgotten",
    SettleLate = "settle-late",
    SettleIgnored = "settle-ignored",
    ShareUnreleased = "share-unreleased",
    SlotResetApart = "slot-reset-apart",
    SnapshotUnchecked = "snapshot-unchecked",
    SpentForgotten = "spent-forgotten",
    StampForgotten = "stamp-forgotten",
    StampLate = "stamp-late",
    SpentEvicted = "spent-evicted",
    StaleAfterInvalidate = "stale-after-invalidate",
    SuccessorUnread = "successor-unread",
    TagForgotten = "tag-forgotten",
    TailForgotten = "tail-forgotten",
    ThresholdExceeded = "threshold-exceeded",
    TripUnchecked = "trip-unchecked",
    TurnsUncharged = "turns-uncharged",
    TwoLeaders = "two-leaders",
    UndoRestores = "undo-restores",
    VersionEarly = "version-early",
    WakeOne = "wake-one",
}

/// Whether this bug is switched on.
#[cfg(not(any(millpond_planted, millpond_loom)))]
#[inline(always)]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Whether this bug is switched on.
#[cfg(any(millpond_planted, millpond_loom))]
pub(crate) fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("MILLPOND_PLANTED").ok()?;
        let bug = Bug::named(&name);
        assert!(
            bug.is_some(),
            "MILLPOND_PLANTED={name} names no planted bug"
        );
        bug
    });
    chosen.is_some_and(|chosen| chosen.name() == bug.name())
}
