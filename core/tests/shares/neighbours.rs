//! A tenant that scans, beside one that reads what it has read before.

use std::sync::Arc;

use millpond_core::cache::{Allowance, Scope};

use crate::support::*;
use crate::{ENTRY, cap, pond, reserve};

/// What the whole cache holds.
const ROOM: u64 = 4_000;
/// Reads of the quiet tenant, by popularity, of twice as many keys as its part holds.
const PART: u64 = ROOM / 4;
const KEYS: u64 = 2 * PART;
const READS: u64 = 60_000;
/// Keys that the other one reads once each.
const SCANNED: u64 = 10 * ROOM;

/// Draws keys of which the first are the most popular, always the same ones.
struct Popular(u64);

impl Popular {
    fn next(&mut self) -> u64 {
        // Knuth's linear congruence (TAOCP 3.3.4); the upper half is random enough.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let unit = f64::from(u32::try_from(self.0 >> 32).expect("32 bits")) / f64::from(u32::MAX);
        // KEYS^u: density 1/k, as Zipf's law with exponent 1.
        let bound = f64::from(u32::try_from(KEYS).expect("small"));
        #[expect(clippy::cast_possible_truncation, reason = "thousands")]
        let rank = bound.powf(unit) as u64;
        rank - 1
    }
}

/// The quiet tenant's hit ratio in percent once it is warm, beside `scans` keys of
/// another's scan for all of its reads.
fn hit_ratio<const N: usize>(allowances: [(&str, Allowance); N], scans: u64) -> f64 {
    let bench = pond(ROOM * ENTRY, allowances);
    let (quiet, noisy) = (bench.scope("quiet", "c"), bench.scope("noisy", "c"));
    let mut keys = Popular(7);
    for _ in 0..READS {
        bench.touch(&quiet, keys.next());
    }
    let mut scan = 0..scans;
    let mut hits = 0;
    for read in 0..READS {
        hits += u64::from(bench.touch(&quiet, keys.next()));
        let due = scans * (read + 1) / READS;
        while scan.start < due
            && let Some(key) = scan.next()
        {
            touch_twice(&bench, &noisy, key);
        }
    }
    assert_eq!(scan.next(), None, "all was scanned");
    bench.assert_counted();
    100.0 * hits as f64 / READS as f64
}

/// Twice, so that the frequencies do not tell the scan from reads in earnest.
fn touch_twice(bench: &Bench, scope: &Arc<Scope>, key: u64) {
    bench.touch(scope, key);
    bench.touch(scope, key);
}

#[test]
fn a_scan_of_ten_times_the_cache_costs_a_tenant_with_a_reserve_no_point_of_hit_ratio() {
    let allowance = [("quiet", reserve(PART * ENTRY))];
    let (alone, beside) = (hit_ratio(allowance, 0), hit_ratio(allowance, SCANNED));
    // Alone it may have all the rest; beside others it is promised its reserve.
    let promised = hit_ratio([("quiet", crate::both(PART * ENTRY, PART * ENTRY))], 0);
    assert!(
        promised > 80.0 && alone > promised,
        "{promised} % of {alone} %"
    );
    assert!(
        beside > promised - 1.0,
        "promised {promised} %, beside a scan {beside} %"
    );
}

#[test]
fn a_scanner_with_a_cap_costs_the_others_no_point_of_hit_ratio() {
    let allowance = [("noisy", cap(ROOM / 20 * ENTRY))];
    let (alone, beside) = (hit_ratio(allowance, 0), hit_ratio(allowance, SCANNED));
    assert!(
        alone > 90.0 && beside > alone - 1.0,
        "alone {alone} %, beside a scan {beside} %"
    );
}
