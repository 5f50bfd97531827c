//! What one tenant may hold, and what it cannot do to another.

mod support;

#[path = "shares/bounds.rs"]
mod bounds;
#[path = "shares/changes.rs"]
mod changes;
#[path = "shares/neighbours.rs"]
mod neighbours;
#[path = "shares/purge.rs"]
mod purge;

use std::collections::HashMap;
use std::sync::Arc;

use millpond_core::cache::{
    Allowance, Config, ENTRY_OVERHEAD, Fill, Lookup, Policy, Scope, Settlement, TenantId, Want,
};

use support::*;

/// Bytes of a test's value.
const VALUE: usize = 120;

/// What an entry of these tests weighs: its key is eight bytes.
const ENTRY: u64 = (ENTRY_OVERHEAD + VALUE + 8) as u64;

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

pub(crate) fn cap(cap: u64) -> Allowance {
    Allowance {
        cap: Some(cap),
        reserve: 0,
    }
}

pub(crate) fn reserve(reserve: u64) -> Allowance {
    Allowance { cap: None, reserve }
}

pub(crate) fn both(reserve: u64, cap: u64) -> Allowance {
    Allowance {
        cap: Some(cap),
        reserve,
    }
}

/// How far a policy's bytes may exceed its budget, as the documents say.
pub(crate) fn backlog(budget: u64) -> u64 {
    (budget / 16).max(64 << 10)
}

/// A pond where nothing expires.
pub(crate) fn pond<const N: usize>(budget: u64, shares: [(&str, Allowance); N]) -> Bench {
    Bench::configured(Config {
        budget,
        shares: HashMap::from(shares.map(|(name, allowance)| (tenant(name), allowance))),
        undeclared: Policy {
            fresh: Policy::MAX_TIME,
            ..policy()
        },
        ..Config::default()
    })
}

impl Bench {
    /// Reads a key and loads it if it is missing; whether it was there.
    pub(crate) fn touch(&self, scope: &Arc<Scope>, key: u64) -> bool {
        let value = |byte: u8| vec![byte; VALUE];
        let byte = key.to_le_bytes()[0];
        match self.pond.get(scope, &key.to_be_bytes(), self.want()) {
            Lookup::Answer(answer) => match (answer.found, answer.lease) {
                (Some(hit), _) => {
                    assert_eq!(hit.body().value().map(|v| v[0]), Some(byte), "another's");
                    true
                }
                (None, Some(lease)) => {
                    let settled = lease.settle(Fill::value(value(byte)));
                    assert!(matches!(settled, Settlement::Done(_)));
                    false
                }
                (None, None) => panic!("refused"),
            },
            Lookup::Follow(_) => panic!("somebody leads"),
        }
    }

    pub(crate) fn holds(&self, scope: &Arc<Scope>, key: u64) -> bool {
        match self.pond.get(scope, &key.to_be_bytes(), Want::held()) {
            Lookup::Answer(answer) => answer.found.is_some(),
            Lookup::Follow(_) => panic!("a read that loads nothing never waits"),
        }
    }

    pub(crate) fn bytes_of(&self, name: &str) -> u64 {
        self.pond.tenant_bytes(&tenant(name))
    }

    /// Panics when bytes were lost or counted twice.
    pub(crate) fn assert_counted(&self) {
        for share in self.pond.audit_shares() {
            assert_eq!(share.counted, share.found, "{share:?}");
        }
        assert_eq!(self.pond.audit_bytes(), self.pond.gauges().bytes);
    }
}
