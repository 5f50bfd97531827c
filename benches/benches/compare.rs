//! Every cache in alternating rounds of one process, so that what the machine does
//! meanwhile befalls all of them. Ratios are taken within a round; the table gives
//! their medians.
//!
//! `--quick` runs fewer and shorter rounds: to see that it works, not to quote.

use std::io::{self, Write};

use millpond_benches::{
    race::Run,
    subject::{Subject, Visitor},
    table::{Table, median},
    workload::{Plan, Workload},
};

mod peers;

const THREADS: [usize; 2] = [1, 2];
const FULL: Effort = Effort {
    rounds: 7,
    operations: 1_000_000,
};
const QUICK: Effort = Effort {
    rounds: 3,
    operations: 100_000,
};

#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    operations: u64,
}

fn main() -> io::Result<()> {
    // Under `cargo test --benches` the flag is absent too; only `--bench` is a real run.
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    let effort = if asked("--quick") || !asked("--bench") {
        QUICK
    } else {
        FULL
    };

    let mut table = Table::new([
        "workload",
        "threads",
        "cache",
        "ns/op, median",
        "min",
        "max",
        "of moka",
        "of quick_cache",
        "hits %",
        "overlap %",
    ]);
    for workload in Workload::ALL {
        let most = THREADS.into_iter().max().unwrap_or(1);
        let plan = Plan::new(workload, most);
        let mut runners = Runners {
            plan: &plan,
            list: Vec::new(),
        };
        peers::visit_all(&mut runners);
        for threads in THREADS {
            let effort = Effort {
                operations: effort.operations * workload.operations_per_slow_one(),
                ..effort
            };
            let rounds = alternate(&runners.list, threads, effort);
            for (place, runner) in runners.list.iter().enumerate() {
                table.push(row(
                    workload,
                    threads,
                    place,
                    runner,
                    &runners.list,
                    &rounds,
                ));
            }
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} rounds of {} operations a thread, five times as many where only hits are timed",
        effort.rounds, effort.operations
    )?;
    writeln!(out, "\n{table}")
}

/// A filled cache and how to time it.
struct Runner<'a> {
    name: &'static str,
    title: String,
    run: Box<dyn Fn(usize, u64, u64) -> Run + 'a>,
}

struct Runners<'a> {
    plan: &'a Plan,
    list: Vec<Runner<'a>>,
}

impl Visitor for Runners<'_> {
    fn visit<S: Subject + 'static>(&mut self) {
        let plan = self.plan;
        let subject: S = plan.filled();
        self.list.push(Runner {
            name: S::NAME,
            title: peers::title::<S>(),
            run: Box::new(move |threads, offset, operations| {
                plan.run(&subject, threads, offset, operations)
            }),
        });
    }
}

/// Rounds × caches. Every round starts with another cache, so that none always runs
/// behind the same neighbour.
fn alternate(runners: &[Runner<'_>], threads: usize, effort: Effort) -> Vec<Vec<Run>> {
    (0..effort.rounds)
        .map(|round| {
            let offset = round as u64 * effort.operations;
            let mut runs: Vec<(usize, Run)> = (0..runners.len())
                .map(|step| {
                    let place = (round + step) % runners.len();
                    (
                        place,
                        (runners[place].run)(threads, offset, effort.operations),
                    )
                })
                .collect();
            runs.sort_by_key(|&(place, _)| place);
            runs.into_iter().map(|(_, run)| run).collect()
        })
        .collect()
}

fn row(
    workload: Workload,
    threads: usize,
    place: usize,
    runner: &Runner<'_>,
    runners: &[Runner<'_>],
    rounds: &[Vec<Run>],
) -> Vec<String> {
    let nanos = |place: usize| {
        rounds
            .iter()
            .map(move |round| round[place].nanos_per_operation())
    };
    let of = |peer: &str| {
        let peer = runners.iter().position(|runner| runner.name == peer);
        peer.map_or_else(String::new, |peer| {
            let ratios = nanos(place).zip(nanos(peer)).map(|(own, peer)| own / peer);
            format!("{:.2}", median(ratios))
        })
    };
    let operations: u64 = rounds
        .iter()
        .map(|round| round[place].operations * threads as u64)
        .sum();
    let hits: u64 = rounds.iter().map(|round| round[place].hits).sum();
    vec![
        workload.name().into(),
        threads.to_string(),
        runner.title.clone(),
        format!("{:.1}", median(nanos(place))),
        format!("{:.1}", nanos(place).fold(f64::INFINITY, f64::min)),
        format!("{:.1}", nanos(place).fold(0.0, f64::max)),
        of("moka"),
        of("quick_cache"),
        format!("{:.1}", 100.0 * hits as f64 / operations as f64),
        format!(
            "{:.0}",
            100.0 * median(rounds.iter().map(|round| round[place].overlap))
        ),
    ]
}
