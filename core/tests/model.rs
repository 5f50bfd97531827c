//! The cache against a sequential model, on hand-moved time.
//!
//! A case is a policy and a list of operations by a few callers on a few keys. The
//! model below says, in the plainest words there are, what each read may find:
//! it keeps every load that was begun and decides from first principles. The pond
//! is asked the same and must agree on every answer: value, staleness, who leads,
//! what became of each fill.
//!
//! `PROPTEST_CASES` sets the number of cases (each of 100 to 160 operations); the
//! default is what `cargo xtask test` runs.

mod support;

#[path = "model/operation.rs"]
mod operation;
#[path = "model/reference.rs"]
mod reference;

use std::collections::VecDeque;

use millpond_core::cache::{
    Body, Fill, Filled, Invalidation, Lease, LoadError, Lookup, Settlement, Target, Times, Want,
    Write, Written,
};
use proptest::prelude::*;

use operation::{Case, Operation};
use reference::{Reference, Seen};
use support::*;

const CASES: u32 = 10_000;
/// Each makes some ten policies anew.
const CASES_OF_SHARES: u32 = 1_000;

/// The pond, with the leases that the case's callers hold, oldest first.
struct Real {
    bench: Bench,
    leases: VecDeque<(u8, u64, Lease)>,
    numbered: u64,
}

impl Real {
    fn read(&mut self, key: u8, want: Want) -> Seen {
        let lookup = self.bench.pond.get(&self.bench.scope, &[key], want);
        let answer = match lookup {
            Lookup::Follow(_) => return Seen::Wait,
            Lookup::Answer(answer) => answer,
        };
        let led = answer.lease.is_some();
        let found = answer.found.map(|hit| match hit.body() {
            Body::Value(value) => value.first().copied(),
            Body::Absent => None,
        });
        if let Some(lease) = answer.lease {
            self.numbered += 1;
            self.leases.push_back((key, self.numbered, lease));
        }
        match found {
            Some(body) => Seen::Found {
                body,
                stale: answer.stale,
                led,
            },
            None if led => Seen::Lead,
            None => Seen::Nothing,
        }
    }

    fn settle(&mut self, at: usize, fill: Fill) -> Option<(u8, u64, Filled)> {
        let at = at.checked_rem(self.leases.len())?;
        let (key, number, lease) = self.leases.remove(at)?;
        let filled = match lease.settle(fill) {
            Settlement::Done(filled) => filled,
            Settlement::NeedValue(lease) => {
                self.leases.push_back((key, number, lease));
                Filled::NeedValue
            }
        };
        Some((key, number, filled))
    }
}

fn fill_of(body: Option<u8>, tag: Option<u8>) -> Fill {
    Fill::Found {
        body: body.map_or(Body::Absent, |byte| Body::Value(vec![byte].into())),
        times: Times::default(),
        tags: tag.map(|tag| vec![tag].into()).into_iter().collect(),
        etag: vec![body.unwrap_or(0)].into(),
    }
}

fn agree(case: &Case) -> Result<(), TestCaseError> {
    let bench = Bench::with(case.policy);
    let mut model = Reference::new(case.policy, bench.clock.now());
    let mut real = Real {
        bench,
        leases: VecDeque::new(),
        numbered: 0,
    };
    for (step, operation) in case.operations.iter().enumerate() {
        step_both(&mut real, &mut model, operation)
            .map_err(|error| TestCaseError::fail(format!("step {step}, {operation:?}: {error}")))?;
    }
    // At rest nothing is held that should not be.
    real.leases.clear();
    prop_assert_eq!(
        real.bench.pond.gauges().loads,
        0,
        "rights still held at rest"
    );
    prop_assert_eq!(
        real.bench.pond.audit_bytes(),
        real.bench.pond.gauges().bytes
    );
    for share in real.bench.pond.audit_shares() {
        // What is charged is released, share by share.
        prop_assert_eq!(share.counted, share.found, "{:?}", share);
    }
    prop_assert_eq!(
        real.bench.pond.tenant_bytes(real.bench.scope.tenant()),
        real.bench.pond.gauges().bytes
    );
    Ok(())
}

fn step_both(
    real: &mut Real,
    model: &mut Reference,
    operation: &Operation,
) -> Result<(), TestCaseError> {
    match *operation {
        Operation::Read { key, fresh_only } => {
            let want = Want {
                fresh_only,
                ..real.bench.want()
            };
            prop_assert_eq!(real.read(key, want), model.read(key, fresh_only));
        }
        Operation::Held { key } => {
            prop_assert_eq!(real.read(key, Want::held()), model.held(key));
        }
        Operation::Fill { lease, body, tag } => {
            if let Some((key, number, filled)) = real.settle(lease, fill_of(body, tag)) {
                let stored = matches!(filled, Filled::Stored(_));
                prop_assert_eq!(stored, model.fill(key, number, body, tag), "{:?}", filled);
            }
        }
        Operation::NotModified { lease } => {
            let fill = Fill::NotModified {
                times: Times::default(),
            };
            if let Some((key, number, filled)) = real.settle(lease, fill) {
                let became = match filled {
                    Filled::Stored(_) => Some(true),
                    Filled::NeedValue => None,
                    _ => Some(false),
                };
                prop_assert_eq!(became, model.not_modified(key, number));
            }
        }
        Operation::Fail { lease } => {
            let fill = Fill::Failed(LoadError::new("down", None));
            if let Some((key, number, _)) = real.settle(lease, fill) {
                model.fail(key, number);
            }
        }
        Operation::GiveUp { lease } => {
            let at = lease.checked_rem(real.leases.len());
            if let Some((key, number, lease)) = at.and_then(|at| real.leases.remove(at)) {
                drop(lease);
                model.give_up(key, number);
            }
        }
        Operation::Renew { lease } => {
            let at = lease.checked_rem(real.leases.len());
            if let Some((key, number, lease)) = at.and_then(|at| real.leases.get(at)) {
                let bench = &real.bench;
                let renewed = bench.pond.renew(&bench.scope, &[*key], lease.grant(), None);
                prop_assert_eq!(renewed.is_some(), model.renew(*key, *number));
            }
        }
        Operation::Set { key, byte, tag } => {
            let write = Write {
                tags: tag.map(|tag| vec![tag].into()).into_iter().collect(),
                ..Write::value(vec![byte])
            };
            let set = real.bench.pond.set(&real.bench.scope, &[key], write);
            prop_assert!(matches!(set, Ok(Written::Stored(_))));
            model.set(key, byte, tag);
        }
        Operation::Invalidate {
            target,
            soft,
            settle,
        } => {
            invalidate(&real.bench, target, Invalidation { soft, settle });
            model.invalidate(target, soft, settle);
        }
        Operation::Pass(time) => {
            real.bench.pass(time);
            model.pass(time);
        }
        Operation::Sweep => {
            real.bench.pond.sweep();
            model.sweep();
        }
        // What is held and how it is answered is none of a share's business.
        Operation::Share(allowance) => {
            let tenant = real.bench.scope.tenant();
            let set = real.bench.pond.set_share(tenant, allowance);
            prop_assert!(set.is_ok());
        }
    }
    Ok(())
}

fn invalidate(bench: &Bench, target: operation::Covers, how: Invalidation) {
    match target {
        operation::Covers::Key(key) => {
            bench
                .pond
                .invalidate(&bench.scope, Target::Keys(&[[key]]), how);
        }
        operation::Covers::Tag(tag) => {
            bench
                .pond
                .invalidate(&bench.scope, Target::Tags(&[[tag]]), how);
        }
        operation::Covers::Cache => {
            bench
                .pond
                .invalidate::<[u8; 1]>(&bench.scope, Target::Cache, how);
        }
        operation::Covers::Tenant => {
            bench.pond.invalidate_tenant(bench.scope.tenant(), how);
        }
    }
}

/// As many as asked for, or else `default`.
fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|n| n.parse().ok()).unwrap_or(default),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(CASES))]

    #[test]
    fn the_cache_agrees_with_the_sequential_model(case in operation::case()) {
        agree(&case)?;
    }
}

proptest! {
    #![proptest_config(cases(CASES_OF_SHARES))]

    #[test]
    fn the_cache_agrees_with_the_model_whatever_its_tenant_may_hold(
        case in operation::case_of_shares()
    ) {
        agree(&case)?;
    }
}
