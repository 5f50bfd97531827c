//! Allowances that change while their tenants are at work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millpond_core::cache::Allowance;

use crate::support::*;
use crate::{ENTRY, both, cap, pond, reserve, tenant};

const ROOM: u64 = 4_000;
const BUDGET: u64 = ROOM * ENTRY;
/// Keys of the tenant whose share changes; all of them fit into any of its shares.
const KEYS: u64 = 256;
/// Twice what its keys take: a policy is full before its budget is, as it divides.
const PART: u64 = 2 * KEYS * ENTRY;

/// Writes before the next change, all threads together.
const BETWEEN_CHANGES: u64 = 200;

/// Whatever a share may become, one after the other.
const CHANGES: [Option<Allowance>; 9] = [
    Some(Allowance {
        cap: Some(PART),
        reserve: 0,
    }),
    Some(Allowance {
        cap: Some(2 * PART),
        reserve: 0,
    }),
    Some(Allowance {
        cap: None,
        reserve: PART,
    }),
    Some(Allowance {
        cap: None,
        reserve: 2 * PART,
    }),
    Some(Allowance {
        cap: Some(2 * PART),
        reserve: PART,
    }),
    Some(Allowance {
        cap: Some(PART),
        reserve: PART,
    }),
    None,
    Some(Allowance {
        cap: Some(PART),
        reserve: 1,
    }),
    Some(Allowance {
        cap: None,
        reserve: 1,
    }),
];

#[test]
fn nothing_is_missed_while_a_share_is_set_raised_lowered_and_unset() {
    let bench = pond(BUDGET, []);
    let scope = bench.scope("t", "c");
    for key in 0..KEYS {
        bench.touch(&scope, key);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let (bench, scope, done) = (&bench, &scope, &done);
            threads.spawn(move || {
                let mut key = thread;
                while !done.load(Ordering::Relaxed) {
                    key = (key + 1) % KEYS;
                    assert!(bench.holds(scope, key), "{key} was missed");
                }
            });
        }
        for change in CHANGES.into_iter().cycle().take(4 * CHANGES.len()) {
            assert_eq!(bench.pond.set_share(&tenant("t"), change), Ok(()));
        }
        done.store(true, Ordering::Relaxed);
    });
    bench.assert_counted();
    assert_eq!(bench.bytes_of("t"), KEYS * ENTRY);
}

#[test]
fn no_byte_is_lost_or_counted_twice_when_shares_change_under_load() {
    let bench = pond(BUDGET, []);
    let names = ["t", "u", "v"];
    let scopes = names.map(|name| bench.scope(name, "c"));
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for thread in 0..2_u64 {
            let (bench, scopes, done, written) = (&bench, &scopes, &done, &written);
            threads.spawn(move || {
                let mut step = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    step += 1;
                    written.fetch_add(1, Ordering::Relaxed);
                    let scope = &scopes[usize::try_from(step % 3).expect("small")];
                    // Each thread has its own keys: nobody waits.
                    let key = 2 * (step * 7 % (2 * ROOM)) + thread;
                    bench.touch(scope, key);
                    if step.is_multiple_of(11) {
                        let keys = [key.to_be_bytes()];
                        let target = millpond_core::cache::Target::Keys(&keys);
                        bench.pond.invalidate(scope, target, HARD);
                    }
                }
            });
        }
        for step in 0..4 * CHANGES.len() {
            // Every change finds something to move, and writers at work.
            while written.load(Ordering::Relaxed) < BETWEEN_CHANGES * step as u64 {
                std::thread::yield_now();
            }
            // Two of them at a time, out of step.
            for (name, ahead) in [("t", 0), ("u", 4)] {
                let change = CHANGES[(step + ahead) % CHANGES.len()];
                assert_eq!(bench.pond.set_share(&tenant(name), change), Ok(()));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    bench.assert_counted();
    let sum: u64 = names.iter().map(|name| bench.bytes_of(name)).sum();
    assert_eq!(sum, bench.pond.gauges().bytes);
    assert!(sum <= BUDGET, "{sum} bytes at rest");
    // Whatever is left can be evicted: nothing is an orphan.
    for name in names {
        let purged = bench.pond.purge_tenant(&tenant(name));
        assert_eq!((purged.left, bench.bytes_of(name)), (0, 0));
    }
    assert_eq!(bench.pond.gauges().bytes, 0);
}

#[test]
fn a_share_that_is_lowered_or_raised_holds_what_it_may_and_no_other_notices() {
    let bench = pond(BUDGET, []);
    let (scope, other) = (bench.scope("t", "c"), bench.scope("other", "c"));
    for key in 0..ROOM / 4 {
        bench.touch(&other, key);
    }
    for (allowance, most) in [
        (Some(cap(BUDGET / 4)), BUDGET / 4),
        (Some(cap(BUDGET / 8)), BUDGET / 8),
        (Some(both(BUDGET / 16, BUDGET / 4)), BUDGET / 4),
        (Some(both(BUDGET / 16, BUDGET / 16)), BUDGET / 16),
        (Some(reserve(BUDGET / 4)), BUDGET * 3 / 4),
        (None, BUDGET * 3 / 4),
    ] {
        assert_eq!(bench.pond.set_share(&tenant("t"), allowance), Ok(()));
        for key in 0..ROOM * 5 / 8 {
            bench.touch(&scope, key);
        }
        bench.assert_counted();
        let held = bench.bytes_of("t");
        assert!(held <= most, "{allowance:?}: {held} bytes, at most {most}");
        let least = most.min(ROOM * 5 / 8 * ENTRY) * 9 / 10;
        assert!(
            held >= least,
            "{allowance:?}: {held} bytes, at least {least}"
        );
        assert!(
            (0..ROOM / 4).all(|key| bench.holds(&other, key)),
            "{allowance:?}: the other's entries fit beside it"
        );
    }
}
