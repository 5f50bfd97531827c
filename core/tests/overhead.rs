//! What an entry costs beyond its own bytes, measured.
//!
//! Alone in its process: resident memory is the process's.

use millpond_core::cache::{CacheName, Config, ENTRY_OVERHEAD, Pond, TenantId, Write};

const ENTRIES: u64 = 200_000;
const KEY_LEN: u64 = 32;

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
fn the_overhead_counted_is_the_overhead_measured() {
    let pond = Pond::new(Config {
        budget: 1 << 30,
        ..Config::default()
    });
    let tenant = TenantId::parse("acme").expect("valid");
    let cache = CacheName::parse("users").expect("valid");
    let scope = pond.scope(&tenant, &cache).expect("room");
    let before = resident();
    for i in 0..ENTRIES {
        let key = format!("{i:032}");
        // A static value costs nothing itself.
        let set = pond.set(&scope, key.as_bytes(), Write::value("v"));
        assert!(set.is_ok());
    }
    let counted = pond.audit_bytes() / ENTRIES - KEY_LEN - 1;
    let measured = (resident() - before) / ENTRIES - KEY_LEN;
    assert_eq!(counted, ENTRY_OVERHEAD as u64);
    let gap = counted.abs_diff(measured);
    assert!(
        gap * 100 <= measured * TOLERANCE_PERCENT,
        "counted {counted} bytes an entry, measured {measured}"
    );
}
