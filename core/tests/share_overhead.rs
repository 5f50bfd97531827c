//! What a share of a tenant's own costs beyond what is counted, measured.
//!
//! Alone in its process: resident memory is the process's.

use std::sync::Arc;

use millpond_core::cache::{
    Allowance, CacheName, Config, LENT_OVERHEAD, Pond, SHARE_OVERHEAD, TenantId, Write,
};

const SHARES: u64 = 20;

/// So many that all segments of a policy's table are in use.
const FEW: u64 = 1_000;
const MANY: u64 = 4_000;

/// Allocators round, and pages are whole: the constants need not be closer.
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

/// The resident bytes that each tenant's first `entries` entries add.
fn grown_by(pond: &Arc<Pond>, tenants: &[TenantId], entries: u64) -> u64 {
    let cache = CacheName::parse("users").expect("valid");
    let before = resident();
    for tenant in tenants {
        let scope = pond.scope(tenant, &cache).expect("room");
        for key in 0..entries {
            // A static value costs nothing itself.
            let set = pond.set(&scope, &key.to_be_bytes(), Write::value("v"));
            assert!(set.is_ok());
        }
    }
    assert!(pond.audit_bytes() >= entries);
    (resident() - before) / SHARES
}

#[test]
fn the_overheads_of_a_share_are_those_measured() {
    let tenants: Vec<TenantId> = (0..2 * SHARES)
        .map(|i| TenantId::parse(&format!("tenant-{i}")).expect("valid"))
        .collect();
    let (capped, common) = tenants.split_at(tenants.len() / 2);
    let allowance = Allowance {
        cap: Some(1 << 30),
        reserve: 0,
    };
    let pond = Pond::new(Config {
        budget: 1 << 32,
        shares: capped.iter().map(|t| (t.clone(), allowance)).collect(),
        max_shares: capped.len(),
        ..Config::default()
    });
    let more = |entries| {
        let common = grown_by(&pond, common, entries);
        grown_by(&pond, capped, entries) - common
    };
    let unused = more(0);
    assert_eq!(pond.gauges().shares, capped.len());
    let few = more(FEW);
    let many = more(MANY);
    let entry = many / (MANY - FEW);
    let share = (unused + few).saturating_sub(FEW * entry);
    let shown = format!("unused {unused} bytes a share, used {share}, {entry} an entry");
    let near = |stated: usize, measured: u64| {
        measured.abs_diff(stated as u64) * 100 <= measured * TOLERANCE_PERCENT
    };
    assert!(near(LENT_OVERHEAD, entry), "{shown}");
    assert!(share <= SHARE_OVERHEAD as u64, "{shown}");
    assert!(unused <= SHARE_OVERHEAD as u64 / 5, "{shown}");
    assert!(share > SHARE_OVERHEAD as u64 / 2, "{shown}");
}
