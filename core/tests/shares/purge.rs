//! A tenant purged, beside others at work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use millpond_core::cache::{Fill, Filled, Lease, Purged, Scope, Write};

use crate::support::*;
use crate::{ENTRY, both, pond, tenant};

const ROOM: u64 = 4_000;
const BUDGET: u64 = ROOM * ENTRY;
const KEYS: u64 = 300;

/// Leases of keys that are not held.
fn leases(bench: &Bench, scope: &std::sync::Arc<Scope>, keys: std::ops::Range<u64>) -> Vec<Lease> {
    keys.map(|key| {
        let lookup = bench.pond.get(scope, &key.to_be_bytes(), bench.want());
        let millpond_core::cache::Lookup::Answer(answer) = lookup else {
            panic!("nobody leads");
        };
        answer.lease.expect("the lease")
    })
    .collect()
}

#[test]
fn c10_a_purge_leaves_no_byte_and_no_fill_under_way_brings_one_back() {
    for allowance in [None, Some(both(40 * ENTRY, 200 * ENTRY))] {
        let bench = pond(BUDGET, []);
        assert_eq!(bench.pond.set_share(&tenant("t"), allowance), Ok(()));
        let scopes = [bench.scope("t", "c"), bench.scope("t", "d")];
        let other = bench.scope("other", "c");
        for key in 0..KEYS {
            bench.touch(&scopes[0], key);
            bench.touch(&scopes[1], key);
            bench.touch(&other, key);
        }
        // The policies have evicted what they must.
        bench.assert_counted();
        let held = bench.bytes_of("t");
        assert!(held > 0);
        let under_way = leases(&bench, &scopes[0], KEYS..2 * KEYS);
        let Purged {
            entries,
            bytes,
            left,
            ..
        } = bench.pond.purge_tenant(&tenant("t"));
        assert_eq!((bytes, left), (held, 0));
        assert!(entries * ENTRY <= held && entries > 0, "{entries} entries");
        for lease in under_way {
            assert_eq!(done(lease.settle(Fill::value("late"))), Filled::Superseded);
        }
        assert_eq!(bench.bytes_of("t"), 0);
        assert!((0..2 * KEYS).all(|key| !bench.holds(&scopes[0], key)));
        assert!((0..KEYS).all(|key| bench.holds(&other, key)));
        bench.assert_counted();
        assert_eq!(bench.bytes_of("other"), KEYS * ENTRY);
        // It may begin anew.
        bench.touch(&scopes[0], 1);
        assert!(bench.holds(&scopes[0], 1));
        assert_eq!(
            bench.pond.purge_tenant(&tenant("nobody")),
            Purged::default()
        );
    }
}

#[test]
fn a_purge_under_load_leaves_nothing_and_no_other_tenant_notices() {
    const ROUNDS: usize = 40;
    let bench = pond(BUDGET, [("t", both(100 * ENTRY, 200 * ENTRY))]);
    let (scope, other) = (bench.scope("t", "c"), bench.scope("other", "c"));
    for key in 0..KEYS {
        bench.touch(&other, key);
    }
    for round in 0..ROUNDS {
        let admitted = AtomicBool::new(true);
        let (writing, outstanding) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for thread in 0..2_u64 {
                let (bench, scope, other) = (&bench, &scope, &other);
                let (admitted, writing) = (&admitted, &writing);
                let outstanding = &outstanding;
                threads.spawn(move || {
                    let mut step = thread * KEYS;
                    let mut held = Vec::new();
                    // A call is counted in before it looks, so that who has refused
                    // them can tell when the last one returned.
                    loop {
                        writing.fetch_add(1, Ordering::SeqCst);
                        if !admitted.load(Ordering::SeqCst) {
                            writing.fetch_sub(1, Ordering::SeqCst);
                            break;
                        }
                        step += 2;
                        if step.is_multiple_of(8) {
                            let fresh = 1_000_000 + step + thread;
                            held.extend(leases(bench, scope, fresh..fresh + 1));
                        } else {
                            bench.touch(scope, 2 * step + thread);
                        }
                        writing.fetch_sub(1, Ordering::SeqCst);
                        assert!(bench.holds(other, step % KEYS), "another's was missed");
                        if held.len() > 50 {
                            outstanding.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    // While it is purged, and after.
                    for lease in held {
                        lease.settle(Fill::value("late"));
                        assert!(bench.holds(other, step % KEYS), "another's was missed");
                    }
                });
            }
            while outstanding.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
            admitted.store(false, Ordering::SeqCst);
            while writing.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
            let purged = bench.pond.purge_tenant(&tenant("t"));
            assert_eq!(purged.left, 0, "round {round}");
            assert_eq!(bench.bytes_of("t"), 0, "round {round}");
        });
        assert_eq!(bench.bytes_of("t"), 0, "round {round}: something came back");
        bench.assert_counted();
    }
    assert!((0..KEYS).all(|key| bench.holds(&other, key)));
}

/// A value that tells when it is freed.
struct Told(std::sync::Arc<AtomicUsize>);

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        b"told"
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_purged_value_that_a_thread_has_just_read_is_freed_once_it_reads_on() {
    const VALUES: usize = 32;
    let bench = pond(BUDGET, []);
    let scope = bench.scope("t", "c");
    let freed = std::sync::Arc::new(AtomicUsize::new(0));
    for key in 0..VALUES {
        let value = millpond_core::Bytes::from_owner(Told(std::sync::Arc::clone(&freed)));
        let set = bench
            .pond
            .set(&scope, &key.to_be_bytes(), Write::value(value));
        assert!(set.is_ok());
    }
    let read = |scope: &Scope, key: &[u8]| bench.pond.with(scope, key, |_| ()).is_some();
    // So often that this thread's front keeps all of them.
    for _ in 0..100 {
        assert!((0..VALUES).all(|key| read(&scope, &key.to_be_bytes())));
    }
    assert_eq!(bench.pond.purge_tenant(&tenant("t")).left, 0);
    bench.set("k", "v");
    for _ in 0..100 {
        assert!(read(&bench.scope, b"k"));
        // Nodes out of the index are freed in batches.
        bench.set("other", "v");
    }
    assert_eq!(freed.load(Ordering::SeqCst), VALUES);
}
