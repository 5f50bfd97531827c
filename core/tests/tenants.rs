//! What a tenant costs, measured.
//!
//! Alone in its process: resident memory is the process's.

use millpond_core::cache::TenantId;
use millpond_core::tenant::{Config, Declaration, Directory, Strangers, TierName};

const TENANTS: u64 = 100_000;
/// Beyond its name, which is kept once.
const MOST_A_TENANT: u64 = 200;

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
fn a_tenant_of_a_shipped_tier_costs_two_hundred_bytes_beyond_its_name() {
    let tiers = ["free", "pro", "enterprise"].map(|tier| TierName::parse(tier).expect("valid"));
    // What the caller holds is neither the directory's nor given back to the system.
    let mut tenants = Vec::new();
    for (i, tier) in (0..TENANTS).zip(tiers.iter().cycle()) {
        let name = TenantId::parse(&format!("tenant-{i:08}")).expect("valid");
        tenants.push((name, Declaration::of(tier.clone())));
    }
    let names: Vec<_> = tenants.iter().map(|(name, _)| name.clone()).collect();
    let directory = Directory::new(Config {
        strangers: Strangers::Refuse,
        ..Config::default()
    })
    .expect("valid");
    let before = resident();
    for (name, declaration) in &tenants {
        directory.put(name, declaration).expect("valid");
    }
    let each = (resident() - before) / TENANTS;
    println!("{each} bytes a tenant beyond its name");
    assert_eq!(directory.len() as u64, TENANTS);
    assert!(
        names
            .iter()
            .all(|name| directory.resolve(name.as_str()).is_ok())
    );
    assert!(each <= MOST_A_TENANT, "{each} bytes a tenant");
    assert!(each >= 100, "{each} bytes: nothing was measured");
}
