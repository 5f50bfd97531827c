//! What a share of a tenant's own costs while it is empty, measured.
//!
//! Alone in its process: resident memory is the process's.

use millpond_core::cache::{Allowance, CacheName, Config, Pond, SHARE_OVERHEAD, TenantId};

const SHARES: u64 = 1_000;

/// Allocators round, and pages are whole: the constant need not be closer.
const TOLERANCE_PERCENT: u64 = 15;

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("the second field is the resident pages");
    pages * 4_096
}

#[test]
fn the_overhead_of_a_share_is_the_overhead_measured() {
    let cache = CacheName::parse("users").expect("valid");
    let tenants: Vec<TenantId> = (0..2 * SHARES)
        .map(|i| TenantId::parse(&format!("tenant-{i}")).expect("valid"))
        .collect();
    let (with, without) = tenants.split_at(tenants.len() / 2);
    let allowance = Allowance {
        cap: Some(1 << 20),
        reserve: 0,
    };
    let pond = Pond::new(Config {
        shares: with.iter().map(|t| (t.clone(), allowance)).collect(),
        max_shares: with.len(),
        ..Config::default()
    });
    let grown_by = |tenants: &[TenantId]| {
        let before = resident();
        for tenant in tenants {
            pond.scope(tenant, &cache).expect("room");
        }
        resident() - before
    };
    let plain = grown_by(without) / SHARES;
    assert_eq!(pond.gauges().shares, 0, "made on their first use");
    let measured = grown_by(with) / SHARES - plain;
    assert_eq!(pond.gauges().shares, with.len());
    let gap = measured.abs_diff(SHARE_OVERHEAD as u64);
    assert!(
        gap * 100 <= measured * TOLERANCE_PERCENT,
        "stated {SHARE_OVERHEAD} bytes a share, measured {measured}, a scope {plain}"
    );
}
