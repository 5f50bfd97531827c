//! What a case is made of.

use std::time::Duration;

use millpond_core::cache::{Allowance, Policy};
use proptest::prelude::*;

/// What an invalidation covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Covers {
    Key(u8),
    Tag(u8),
    Cache,
    Tenant,
}

/// One call, or the passing of time. `lease` picks among those held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Read {
        key: u8,
        fresh_only: bool,
    },
    Held {
        key: u8,
    },
    Fill {
        lease: usize,
        body: Option<u8>,
        tag: Option<u8>,
    },
    NotModified {
        lease: usize,
    },
    Fail {
        lease: usize,
    },
    GiveUp {
        lease: usize,
    },
    Renew {
        lease: usize,
    },
    Set {
        key: u8,
        byte: u8,
        tag: Option<u8>,
    },
    Invalidate {
        target: Covers,
        soft: bool,
        settle: Duration,
    },
    Pass(Duration),
    Sweep,
    Share(Option<Allowance>),
}

/// A policy and what is done under it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) policy: Policy,
    pub(crate) operations: Vec<Operation>,
}

fn seconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_secs)
}

fn some_or_zero(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    prop_oneof![1 => Just(Duration::ZERO), 3 => seconds(range)]
}

fn policy() -> impl Strategy<Value = Policy> {
    (
        some_or_zero(1..20),
        some_or_zero(1..20),
        some_or_zero(1..40),
        some_or_zero(1..10),
        1..8_u64,
    )
        .prop_map(|(fresh, stale, stale_if_error, negative, lease)| Policy {
            fresh,
            stale,
            stale_if_error,
            negative,
            jitter: 0.0,
            early_refresh: 0.0,
            lease: Duration::from_secs(lease),
            max_load: Duration::from_secs(lease * 3),
            ..Policy::declared()
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = 0..3_u8;
    let tag = || proptest::option::of(0..2_u8);
    let lease = 0..8_usize;
    let body = prop_oneof![6 => any::<u8>().prop_map(Some), 1 => Just(None)];
    let target = prop_oneof![
        4 => key.clone().prop_map(Covers::Key),
        2 => (0..2_u8).prop_map(Covers::Tag),
        1 => Just(Covers::Cache),
        1 => Just(Covers::Tenant),
    ];
    prop_oneof![
        10 => (key.clone(), prop::bool::weighted(0.1))
            .prop_map(|(key, fresh_only)| Operation::Read { key, fresh_only }),
        3 => key.clone().prop_map(|key| Operation::Held { key }),
        6 => (lease.clone(), body, tag())
            .prop_map(|(lease, body, tag)| Operation::Fill { lease, body, tag }),
        1 => lease.clone().prop_map(|lease| Operation::NotModified { lease }),
        1 => lease.clone().prop_map(|lease| Operation::Fail { lease }),
        1 => lease.clone().prop_map(|lease| Operation::GiveUp { lease }),
        1 => lease.prop_map(|lease| Operation::Renew { lease }),
        1 => (key, any::<u8>(), tag())
            .prop_map(|(key, byte, tag)| Operation::Set { key, byte, tag }),
        2 => (target, prop::bool::weighted(0.3), some_or_zero(1..6))
            .prop_map(|(target, soft, settle)| Operation::Invalidate { target, soft, settle }),
        4 => (0..4_000_u64).prop_map(|millis| Operation::Pass(Duration::from_millis(millis))),
        1 => Just(Operation::Sweep),
    ]
}

/// Room for all keys, whatever the share.
fn allowance() -> impl Strategy<Value = Allowance> {
    const ROOM: u64 = 1 << 20;
    prop_oneof![
        Just((Some(ROOM), 0)),
        Just((None, ROOM)),
        Just((Some(ROOM), ROOM)),
        Just((Some(2 * ROOM), ROOM)),
        // Everything overflows.
        Just((Some(ROOM), 1)),
        Just((None, 1)),
    ]
    .prop_map(|(cap, reserve)| Allowance { cap, reserve })
}

fn case_of(operation: impl Strategy<Value = Operation>) -> impl Strategy<Value = Case> {
    (policy(), prop::collection::vec(operation, 100..160))
        .prop_map(|(policy, operations)| Case { policy, operations })
}

/// A case of 100 to 160 operations.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    case_of(operation())
}

/// The same, of a tenant whose share of L1 changes meanwhile.
pub(crate) fn case_of_shares() -> impl Strategy<Value = Case> {
    let share = proptest::option::of(allowance()).prop_map(Operation::Share);
    case_of(prop_oneof![12 => operation(), 1 => share])
}
