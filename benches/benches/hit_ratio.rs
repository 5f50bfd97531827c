//! Hit ratios over recorded traces: each cache bounded by the same weight an entry,
//! one caller, `get` and after a miss `insert`. Nothing else is called: what a
//! cache puts off runs when the cache itself decides to. moka has a second column,
//! bounded by a count of entries without a weigher: its sketch of popularity is then
//! sized otherwise, and decides otherwise.
//!
//! LRU and the optimum are computed exactly. Arguments name traces to run
//! (`-- multi3 sprite`); `--quick` leaves out those of millions of accesses.

use std::{error::Error, io, io::Write, path::Path};

use millpond_benches::{
    reference::{lru_hits, optimum_hits},
    subject::{Capacity, Key, Subject, Value, Visitor},
    table::Table,
    trace::Trace,
};

mod peers;

const TRACES: [&str; 4] = [
    "multi3.trace.gz",
    "sprite.trace.gz",
    "orm-busy.trace.xz",
    "w106.trace.xz",
];
/// A number as the key, eight bytes as the value.
const TRACED_ENTRY_BYTES: u16 = 16;
/// Hashes are seeded at random, which moves small caches by half a point: the median
/// of so many runs is shown.
const RUNS: usize = 3;
const PER_CENT: [usize; 2] = [10, 1];
const QUICK_LIMIT: usize = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // Without `--bench` cargo is only checking that the target runs.
    let quick = asked("--quick") || !asked("--bench");
    let named: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();

    let mut titles = Titles(Vec::new());
    visit_all(&mut titles);
    let mut header = vec![
        "trace".to_owned(),
        "size".into(),
        "entries".into(),
        "LRU".into(),
    ];
    header.extend(titles.0);
    header.push("optimum".into());
    let mut table = Table::new(header);

    for file in TRACES {
        if !named.is_empty() && !named.iter().any(|name| file.starts_with(name.as_str())) {
            continue;
        }
        let trace = Trace::open(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("traces")
                .join(file),
        )?;
        if quick && trace.accesses.len() > QUICK_LIMIT {
            continue;
        }
        let distinct = trace.distinct();
        for per_cent in PER_CENT {
            let entries = (distinct * per_cent / 100).max(1);
            table.push(row(&trace, per_cent, entries));
        }
    }
    writeln!(io::stdout().lock(), "hit ratio in %\n\n{table}")?;
    Ok(())
}

fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<MokaByCount>();
    peers::visit_all(visitor);
}

struct MokaByCount(moka::sync::Cache<Key, Value, ahash::RandomState>);

impl Subject for MokaByCount {
    const NAME: &'static str = "moka by count";
    const PACKAGE: &'static str = "moka";

    fn build(capacity: Capacity) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(capacity.entries as u64)
            .build_with_hasher(ahash::RandomState::new());
        Self(cache)
    }

    fn get(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }
}

fn row(trace: &Trace, per_cent: usize, entries: usize) -> Vec<String> {
    let accesses = &trace.accesses;
    let percent = |hits: u64| format!("{:.2}", 100.0 * hits as f64 / accesses.len() as f64);
    let mut hits = Hits {
        accesses,
        entries,
        found: Vec::new(),
    };
    visit_all(&mut hits);

    let mut row = vec![
        trace.name.clone(),
        format!("{per_cent} %"),
        entries.to_string(),
    ];
    row.push(percent(lru_hits(accesses, entries)));
    row.extend(hits.found.into_iter().map(percent));
    row.push(percent(optimum_hits(accesses, entries)));
    row
}

struct Titles(Vec<String>);

impl Visitor for Titles {
    fn visit<S: Subject + 'static>(&mut self) {
        self.0.push(peers::title::<S>());
    }
}

struct Hits<'a> {
    accesses: &'a [u64],
    entries: usize,
    found: Vec<u64>,
}

impl Visitor for Hits<'_> {
    fn visit<S: Subject + 'static>(&mut self) {
        let mut runs: Vec<u64> = (0..RUNS).map(|_| self.run::<S>()).collect();
        runs.sort_unstable();
        self.found.push(runs[RUNS / 2]);
    }
}

impl Hits<'_> {
    fn run<S: Subject>(&self) -> u64 {
        let subject = S::build(Capacity {
            entries: self.entries,
            entry_bytes: TRACED_ENTRY_BYTES,
        });
        let value = Value::from_static(&[7; 8]);
        let mut hits = 0;
        for access in self.accesses {
            let key: Key = Box::new(access.to_be_bytes());
            if subject.get(&key) {
                hits += 1;
            } else {
                subject.insert(key, value.clone());
            }
        }
        hits
    }
}
