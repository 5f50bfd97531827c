//! What is held stays within what was allowed.

use millpond_core::cache::{Allowance, Config, Pond, ShareFault};

use crate::support::*;
use crate::{ENTRY, backlog, both, cap, pond, reserve, tenant};

/// What the whole cache holds.
const ROOM: u64 = 4_000;
const BUDGET: u64 = ROOM * ENTRY;

#[test]
fn a_cap_is_kept_whatever_is_written() {
    for allowance in [
        cap(BUDGET / 4),
        both(BUDGET / 8, BUDGET / 4),
        both(BUDGET / 4, BUDGET / 4),
    ] {
        let bench = pond(BUDGET, [("t", allowance)]);
        let scope = bench.scope("t", "c");
        let cap = BUDGET / 4;
        // One backlog a policy.
        let bound = cap + 2 * backlog(cap);
        for key in 0..3 * ROOM {
            bench.touch(&scope, key);
            let held = bench.bytes_of("t");
            assert!(held <= bound, "{allowance:?}: {held} bytes, bound {bound}");
        }
        bench.assert_counted();
        let held = bench.bytes_of("t");
        assert!(
            held <= cap,
            "{allowance:?}: {held} bytes at rest, cap {cap}"
        );
        assert!(
            held > cap / 2,
            "{allowance:?}: only {held} bytes, cap {cap}"
        );
    }
}

#[test]
fn a_reserve_is_held_and_what_exceeds_it_shares_the_rest() {
    let bench = pond(BUDGET, [("t", reserve(BUDGET / 4))]);
    let scope = bench.scope("t", "c");
    for key in 0..ROOM * 3 / 4 {
        bench.touch(&scope, key);
    }
    assert!(
        (0..ROOM * 3 / 4).all(|key| bench.holds(&scope, key)),
        "there is room for all of it"
    );
    let other = bench.scope("other", "c");
    for _ in 0..4 {
        for key in 0..ROOM {
            bench.touch(&other, key);
        }
    }
    bench.assert_counted();
    let held = bench.bytes_of("t");
    assert!(held >= BUDGET / 4 - ENTRY, "{held} bytes of {}", BUDGET / 4);
}

#[test]
fn what_is_held_stays_within_the_budget_whatever_is_reserved_and_capped() {
    let bench = pond(
        BUDGET,
        [
            ("capped", cap(BUDGET / 2)),
            ("also-capped", cap(BUDGET)),
            ("reserved", reserve(BUDGET / 8)),
            ("both", both(BUDGET / 8, BUDGET / 2)),
            ("exact", both(BUDGET / 8, BUDGET / 8)),
        ],
    );
    let names = [
        "capped",
        "also-capped",
        "reserved",
        "both",
        "exact",
        "common",
    ];
    let scopes = names.map(|name| bench.scope(name, "c"));
    let bound = BUDGET + backlog(BUDGET) + 6 * backlog(BUDGET / 2);
    for key in 0..2 * ROOM {
        for scope in &scopes {
            bench.touch(scope, key);
        }
        let held = bench.pond.gauges().bytes;
        assert!(held <= bound, "{held} bytes, bound {bound}");
    }
    bench.assert_counted();
    let gauges = bench.pond.gauges();
    assert_eq!((gauges.shares, gauges.reserved), (5, BUDGET / 8 * 3));
    assert!(gauges.bytes <= BUDGET, "{} at rest", gauges.bytes);
    assert!(gauges.bytes > BUDGET * 3 / 4, "only {}", gauges.bytes);
    for name in ["reserved", "both", "exact"] {
        let held = bench.bytes_of(name);
        assert!(held >= BUDGET / 8 - ENTRY, "{name}: {held} bytes");
    }
}

#[test]
fn a_reserve_declared_live_is_taken_off_what_the_others_hold() {
    let bench = pond(BUDGET, []);
    let other = bench.scope("other", "c");
    for key in 0..2 * ROOM {
        bench.touch(&other, key);
    }
    let set = bench
        .pond
        .set_share(&tenant("t"), Some(reserve(BUDGET / 2)));
    assert_eq!(set, Ok(()));
    assert!(
        bench.pond.gauges().bytes <= BUDGET / 2,
        "room was made first"
    );
    let scope = bench.scope("t", "c");
    for key in 0..ROOM {
        bench.touch(&scope, key);
        bench.touch(&other, key);
    }
    bench.assert_counted();
    assert!(bench.pond.gauges().bytes <= BUDGET);
    assert!(bench.bytes_of("t") >= BUDGET / 2 - ENTRY);
    // Given back, the others may have it again.
    assert_eq!(bench.pond.set_share(&tenant("t"), None), Ok(()));
    for key in 0..4 * ROOM {
        bench.touch(&other, key);
    }
    bench.assert_counted();
    let held = bench.pond.gauges().bytes;
    assert!(held > BUDGET * 9 / 10 && held <= BUDGET, "{held} bytes");
}

#[test]
fn an_entry_too_large_for_what_is_left_to_share_is_not_kept() {
    let bench = pond(BUDGET, [("t", reserve(BUDGET))]);
    let other = bench.scope("other", "c");
    for key in 0..100 {
        bench.touch(&other, key);
    }
    bench.assert_counted();
    assert_eq!(bench.bytes_of("other"), 0, "all of it is reserved");
}

#[test]
fn tenants_beyond_the_shares_there_may_be_are_held_to_their_caps_all_the_same() {
    let declared = [("a", cap(40 * ENTRY)), ("b", cap(40 * ENTRY))];
    let bench = Bench::configured(Config {
        shares: declared
            .map(|(name, allowance)| (tenant(name), allowance))
            .into(),
        max_shares: 1,
        undeclared: policy(),
        ..Config::default()
    });
    let (first, second) = (bench.scope("a", "c"), bench.scope("b", "c"));
    assert_eq!(bench.pond.gauges().shares, 1);
    for key in 0..200 {
        bench.touch(&first, key);
        bench.touch(&second, key);
        assert!(bench.bytes_of("b") <= 40 * ENTRY);
    }
    bench.assert_counted();
    assert_eq!(bench.bytes_of("b"), 40 * ENTRY);
    // Lowered, what is beyond it goes at once.
    let set = bench.pond.set_share(&tenant("b"), Some(cap(10 * ENTRY)));
    assert_eq!(set, Ok(()));
    assert_eq!(bench.bytes_of("b"), 10 * ENTRY);
    bench.assert_counted();
}

#[test]
fn allowances_that_cannot_be_kept_are_refused_with_everything_that_is_wrong() {
    let bench = pond(1_000, [("a", reserve(600))]);
    let changes = [
        (tenant("b"), Some(reserve(500))),
        (tenant("c"), Some(both(10, 9))),
    ];
    let error = bench.pond.set_shares(&changes.into());
    let faults = error.expect_err("too much").faults;
    assert_eq!(
        faults,
        [
            ShareFault::CapBelowReserve {
                tenant: tenant("c"),
                cap: 9,
                reserve: 10
            },
            ShareFault::Overdrawn {
                reserved: 1_110,
                budget: 1_000
            }
        ]
    );
    assert_eq!(bench.pond.allowance(&tenant("b")), None, "nothing changed");
    assert_eq!(bench.pond.gauges().reserved, 600);
    let config = Config {
        budget: 10,
        shares: [(tenant("a"), reserve(11))].into(),
        ..Config::default()
    };
    assert!(config.check_shares().is_err());
}

#[test]
#[should_panic(expected = "the shares are wrong: reserves: 11 bytes together, limit 10")]
fn a_cache_whose_reserves_exceed_it_is_refused() {
    let _pond = Pond::new(Config {
        budget: 10,
        shares: [(tenant("a"), reserve(11))].into(),
        ..Config::default()
    });
}

#[test]
fn an_allowance_outlives_its_tenants_entries_and_its_share_does_not() {
    let bench = pond(
        BUDGET,
        [("t", cap(BUDGET / 2)), ("u", Allowance::default())],
    );
    assert_eq!(bench.pond.gauges().shares, 0, "made on first use");
    let scope = bench.scope("t", "c");
    bench.touch(&scope, 1);
    assert_eq!(bench.pond.gauges().shares, 1);
    bench.pond.purge_tenant(&tenant("t"));
    drop(scope);
    // What is removed, entries and then scopes, is freed in batches, and refers to
    // its tenant until then.
    for round in 0..100 {
        bench.set("k", "v");
        drop(bench.scope(&format!("passing-{round}"), "c"));
        bench.pond.sweep();
    }
    bench.invalidate("k");
    bench.pond.sweep();
    let gauges = bench.pond.gauges();
    assert_eq!(gauges.shares, 0, "forgotten, as its tenant is idle");
    assert_eq!(bench.pond.allowance(&tenant("t")), Some(cap(BUDGET / 2)));
    bench.touch(&bench.scope("t", "c"), 1);
    assert_eq!(bench.pond.gauges().shares, 1);
    assert_eq!(bench.pond.set_share(&tenant("t"), None), Ok(()));
    let gauges = bench.pond.gauges();
    assert_eq!(
        (gauges.shares, gauges.entries),
        (0, 1),
        "it moved, and nothing was lost"
    );
    assert_eq!(bench.pond.allowance(&tenant("t")), None);
    bench.assert_counted();
}
