//! What the tenant directory takes: loading it, reading it, and changing a tenant
//! while it is read.
//!
//! `--quick` holds fewer tenants: to see that it works, not to quote.

use std::hint::black_box;
use std::io::{self, Write};

use millpond_benches::{stopwatch::Stopwatch, table::Table};
use millpond_core::tenant::{
    Config, Declaration, Directory, Revision, State, Strangers, TenantId, TierName, Tiers,
};

const FULL: usize = 100_000;
const QUICK: usize = 5_000;
/// Look-ups timed, over all tenants in turn.
const READS: usize = 2_000_000;
/// Changes timed.
const CHANGES: usize = 10_000;

fn named(count: usize) -> Vec<(TenantId, Declaration)> {
    let tiers = ["free", "pro", "enterprise"].map(|tier| TierName::parse(tier).expect("valid"));
    let tiers = tiers.iter().cycle();
    let names = (0..count).map(|at| TenantId::parse(&format!("tenant-{at:08}")).expect("valid"));
    names
        .zip(tiers.map(|tier| Declaration::of(tier.clone())))
        .collect()
}

fn main() -> io::Result<()> {
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    // Without `--bench` cargo is only checking that the target runs.
    let quick = asked("--quick") || !asked("--bench");
    let count = if quick { QUICK } else { FULL };
    let tenants = named(count);
    let names: Vec<String> = tenants
        .iter()
        .map(|(id, _)| id.as_str().to_owned())
        .collect();
    let mut table = Table::new(["what", "took"]);

    let watch = Stopwatch::start();
    let directory = Directory::new(Config {
        strangers: Strangers::Refuse,
        tenants: tenants.clone(),
        ..Config::default()
    })
    .expect("valid");
    table.push([
        format!("load {count} tenants"),
        format!("{:?}", watch.elapsed()),
    ]);

    let moved = |tier: &str| {
        let tier = Declaration::of(TierName::parse(tier).expect("valid"));
        let put = tenants.iter().map(|(id, _)| (id.clone(), tier.clone()));
        Revision {
            tiers: Tiers::shipped(),
            strangers: Strangers::Refuse,
            put: put.collect(),
            remove: Vec::new(),
        }
    };
    let revision = moved("pro");
    let watch = Stopwatch::start();
    directory.revise(revision).expect("valid");
    table.push([
        format!("move {count} to another tier"),
        format!("{:?}", watch.elapsed()),
    ]);

    let reads = if quick { READS / 20 } else { READS };
    for (what, by_handle) in [
        ("look a tenant up", false),
        ("with its reference counted", true),
    ] {
        let watch = Stopwatch::start();
        for name in names.iter().cycle().take(reads) {
            if by_handle {
                black_box(directory.resolve(name).expect("known"));
            } else {
                black_box(directory.with(name, |entry| entry.access()).expect("known"));
            }
        }
        table.push([what.to_owned(), each(watch, reads)]);
    }

    let changes = CHANGES.min(count);
    let watch = Stopwatch::start();
    for (id, _) in tenants.iter().take(changes) {
        directory.set_state(id, State::Suspended).expect("known");
    }
    table.push(["suspend a tenant".to_owned(), each(watch, changes)]);
    writeln!(io::stdout().lock(), "{table}")
}

fn each(watch: Stopwatch, count: usize) -> String {
    let nanos = watch.elapsed().as_nanos() / count.max(1) as u128;
    format!("{nanos} ns")
}
