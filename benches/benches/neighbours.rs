//! What a tenant's scan costs another tenant's hit ratio, and what a cap or a reserve
//! makes of it.
//!
//! The quiet tenant reads by popularity twice as many keys as a quarter of the cache
//! holds; the noisy one meanwhile reads ten times what the whole cache holds, each key
//! twice, so that no frequency tells it from reads in earnest. Deterministic but for
//! the hash's seeds: the median of a few runs is shown.
//!
//! `--quick` runs once and a tenth as long.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};

use millpond_benches::{table::Table, workload::ZIPF_EXPONENT, zipf::Zipf};
use millpond_core::cache::{
    Allowance, CacheName, Config, ENTRY_OVERHEAD, Fill, Lookup, Policy, Pond, Scope, TenantId, Want,
};
use millpond_core::clock::Time;

const VALUE: &[u8] = &[7; 128];
const KEY_BYTES: usize = size_of::<u64>();
const RUNS: usize = 5;
/// Entries that the cache holds, and reads of the quiet tenant that are counted.
const FULL: (u64, u64) = (100_000, 1_000_000);
const QUICK: (u64, u64) = (10_000, 100_000);

fn main() -> io::Result<()> {
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    // Without `--bench` cargo is only checking that the target runs.
    let quick = asked("--quick") || !asked("--bench");
    let ((room, reads), runs) = if quick { (QUICK, 1) } else { (FULL, RUNS) };
    let entry = (ENTRY_OVERHEAD + KEY_BYTES + VALUE.len()) as u64;
    let part = room / 4 * entry;
    let cap = |tenant, cap, reserve| Some((tenant, Allowance { cap, reserve }));
    let cases = [
        ("all share", None),
        (
            "the noisy one capped at 5 %",
            cap("noisy", Some(room / 20 * entry), 0),
        ),
        ("the noisy one capped at 25 %", cap("noisy", Some(part), 0)),
        ("the quiet one reserves 25 %", cap("quiet", None, part)),
        ("the quiet one reserves 50 %", cap("quiet", None, 2 * part)),
    ];
    let mut table = Table::new(["shares", "alone %", "beside the scan %", "points lost"]);
    for (name, allowance) in cases {
        let ratio = |scanned| {
            let run = |_| hit_ratio(allowance, room, entry, reads, scanned);
            let mut ratios: Vec<f64> = (0..runs).map(run).collect();
            ratios.sort_by(f64::total_cmp);
            ratios[runs / 2]
        };
        let (alone, beside) = (ratio(0), ratio(10 * room));
        table.push([
            name.to_owned(),
            format!("{alone:.2}"),
            format!("{beside:.2}"),
            format!("{:.2}", alone - beside),
        ]);
    }
    writeln!(
        io::stdout().lock(),
        "hit ratio of the quiet tenant, a cache of {room} entries, median of {runs} runs\n\n{table}"
    )
}

fn hit_ratio(
    allowance: Option<(&str, Allowance)>,
    room: u64,
    entry: u64,
    reads: u64,
    scanned: u64,
) -> f64 {
    let tenant = |name: &str| TenantId::parse(name).expect("a valid tenant");
    let pond = Pond::new(Config {
        budget: room * entry,
        shares: HashMap::from_iter(allowance.map(|(name, allowed)| (tenant(name), allowed))),
        undeclared: Policy {
            fresh: Policy::MAX_TIME,
            ..Policy::declared()
        },
        ..Config::default()
    });
    let cache = CacheName::parse("bench").expect("a valid cache");
    let scope = |name| pond.scope(&tenant(name), &cache).expect("room");
    let (quiet, noisy) = (scope("quiet"), scope("noisy"));
    let keys = u32::try_from(room / 2).expect("keys are few");
    let zipf = Zipf::new(keys, ZIPF_EXPONENT).expect("there are keys");
    let mut keys = zipf.ranks(1).map(u64::from);
    // Warm first.
    for key in keys.by_ref().take(usize::try_from(reads).expect("few")) {
        touch(&pond, &quiet, key);
    }
    let (mut hits, mut next) = (0_u64, 0);
    for (read, key) in (1..=reads).zip(keys) {
        hits += u64::from(touch(&pond, &quiet, key));
        while next < scanned * read / reads {
            touch(&pond, &noisy, next);
            touch(&pond, &noisy, next);
            next += 1;
        }
    }
    100.0 * hits as f64 / reads as f64
}

/// Reads a key and loads it if it is missing; whether it was there.
fn touch(pond: &Arc<Pond>, scope: &Arc<Scope>, key: u64) -> bool {
    let lookup = pond.get(scope, &key.to_be_bytes(), Want::load_until(Time::FAR));
    let Lookup::Answer(answer) = lookup else {
        return false; // one caller: nobody else leads
    };
    if let Some(lease) = answer.lease {
        drop(lease.settle(Fill::value(VALUE)));
    }
    answer.found.is_some()
}
