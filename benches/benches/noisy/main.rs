//! What a tenant that overdoes everything costs another one, through one sidecar: the
//! real one, a process of its own with a configuration file, over a Unix socket.
//!
//! The noisy tenant, a process of its own too, asks for a hundred times its limit and
//! scans ten times what the cache holds each round, every key twice, in an open loop.
//! The quiet one reads a working set that fits, asks at half its own limit, and at a tenth
//! above a limit named `jobs`. Rounds with it alone and beside the noisy one alternate;
//! ratios are taken within a pair and the table gives medians.
//!
//! Two times are told of the quiet one's calls. The *server's* is its own histogram of
//! `Get`, which only the quiet one calls: from the decoded message to the reply, so
//! without waiting for the worker. The *caller's* has all of it: that, the wire, and
//! whoever else wanted the core. Linux only: the kernel's count of CPU time is read.
//!
//! `--quick` runs fewer and shorter rounds: to see that it works, not to quote.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use millpond_benches::load::process::cpu_time;
use millpond_benches::load::sidecar::metrics;
use millpond_benches::stopwatch::Stopwatch;
use millpond_benches::table::{Table, median};
use mimalloc::MiMalloc;

mod neighbour;
mod page;
mod process;
mod quiet;

use neighbour::Told;
use page::Times;
use process::{Role, Server, channels};
use quiet::Quiet;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy)]
struct Effort {
    pairs: usize,
    round: Duration,
}

const FULL: Effort = Effort {
    pairs: 5,
    round: Duration::from_secs(4),
};
const QUICK: Effort = Effort {
    pairs: 1,
    round: Duration::from_secs(1),
};

/// How long the noisy one is at work before it counts, and the quiet one reads before
/// each round.
const WARM: Duration = Duration::from_millis(300);

const CASES: [Case; 3] = [
    Case {
        title: "all share",
        quiet: "",
        noisy: "",
    },
    Case {
        title: "the quiet one reserves 25 %",
        quiet: "cache_reserve: 2MiB, ",
        noisy: "",
    },
    Case {
        title: "the noisy one capped at 25 %",
        quiet: "",
        noisy: "cache_cap: 2MiB, ",
    },
];

/// What the two tenants have of the cache.
struct Case {
    title: &'static str,
    quiet: &'static str,
    noisy: &'static str,
}

fn main() -> Result<(), Failure> {
    match Role::asked_for() {
        Some(Role::Sidecar) => return process::serve(),
        Some(Role::Noisy) => return neighbour::run(),
        None => {}
    }
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    // Without `--bench` cargo is only checking that the target runs.
    let effort = if asked("--quick") || !asked("--bench") {
        QUICK
    } else {
        FULL
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let mut table = Table::new([
        "shares",
        "the quiet one is",
        "hits %",
        "own admitted %",
        "jobs, % of its limit",
        "server Get µs, mean",
        "p99",
        "caller's Get µs, p50",
        "p99",
        "caller's Acquire µs, p50",
        "p99",
        "refused",
        "noisy calls/s",
        "of them admitted",
        "keys scanned",
        "CPU % of the machine",
    ]);
    for case in &CASES {
        let (alone, beside) = runtime.block_on(measure(case, effort))?;
        table.push(row(case.title, "alone", &alone));
        table.push(row("", "beside", &beside));
        table.push(ratios(&alone, &beside));
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} pairs of rounds of {:?} each; medians\n\n{table}",
        effort.pairs, effort.round
    )?;
    Ok(())
}

/// What a round found.
struct Round {
    quiet: Quiet,
    server: Times,
    noisy: Told,
    elapsed: Duration,
    cpu: Duration,
}

async fn measure(case: &Case, effort: Effort) -> Result<(Vec<Round>, Vec<Round>), Failure> {
    let server = Server::start(case.quiet, case.noisy)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for pair in 0..effort.pairs {
        // The one that begins is another each time.
        for noisy in [pair % 2 == 1, pair % 2 == 0] {
            let found = round(&server, pair, noisy, effort.round).await?;
            if noisy { &mut beside } else { &mut alone }.push(found);
        }
    }
    Ok((alone, beside))
}

async fn round(
    server: &Server,
    number: usize,
    noisy: bool,
    time: Duration,
) -> Result<Round, Failure> {
    let channels = channels(server.socket()).await?;
    // What the round before left is no loss of this one.
    quiet::fill(&channels[0]).await?;
    quiet::run(&channels, WARM).await?;
    let child = if noisy {
        let child = neighbour::Child::start(server.socket(), number, WARM + time)?;
        tokio::time::sleep(WARM).await;
        Some(child)
    } else {
        None
    };
    let processes = [
        Some(server.id()),
        Some(std::process::id()),
        child.as_ref().map(neighbour::Child::id),
    ];
    let cpu = || {
        let times = processes.iter().flatten().map(|id| cpu_time(*id));
        let sum = times.sum::<Option<Duration>>();
        sum.ok_or("this system does not tell the CPU time of a thread")
    };
    quiet::spend_burst(&channels[0]).await?;
    let (before, used) = (Times::of(&metrics(server.probe())?)?, cpu()?);
    let watch = Stopwatch::start();
    let quiet = quiet::run(&channels, time).await?;
    let (elapsed, used) = (watch.elapsed(), cpu()?.saturating_sub(used));
    let server = Times::of(&metrics(server.probe())?)?.since(&before);
    Ok(Round {
        quiet,
        server,
        noisy: child.map_or(Ok(Told::default()), neighbour::Child::told)?,
        elapsed,
        cpu: used,
    })
}

impl Round {
    /// The columns, without the names.
    fn figures(&self) -> [f64; 14] {
        let quiet = &self.quiet;
        let seconds = self.elapsed.as_secs_f64();
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let micros = |nanos: u64| nanos as f64 / 1e3;
        [
            100.0 * quiet.hits as f64 / quiet.reads as f64,
            100.0 * quiet.own_admitted as f64 / quiet.own_asked as f64,
            100.0 * quiet.jobs_admitted as f64 / (quiet::JOBS_LIMIT * seconds),
            self.server.mean_micros(),
            self.server.quantile_micros(0.99),
            micros(quiet.get.value_at_quantile(0.5)),
            micros(quiet.get.value_at_quantile(0.99)),
            micros(quiet.acquire.value_at_quantile(0.5)),
            micros(quiet.acquire.value_at_quantile(0.99)),
            quiet.failed as f64,
            self.noisy.asked as f64 / self.noisy.seconds.max(1e-9),
            self.noisy.admitted as f64,
            self.noisy.scanned as f64,
            100.0 * self.cpu.as_secs_f64() / (seconds * cores),
        ]
    }
}

fn row(case: &str, name: &str, rounds: &[Round]) -> Vec<String> {
    let figures: Vec<_> = rounds.iter().map(Round::figures).collect();
    let columns = figures[0].len();
    let middle = (0..columns).map(|column| {
        let middle = median(figures.iter().map(|figures| figures[column]));
        match column {
            0..=4 => format!("{middle:.2}"),
            _ => format!("{middle:.0}"),
        }
    });
    [case.to_owned(), name.to_owned()]
        .into_iter()
        .chain(middle)
        .collect()
}

fn ratios(alone: &[Round], beside: &[Round]) -> Vec<String> {
    /// Columns whose ratio says something.
    const TIMES: std::ops::RangeInclusive<usize> = 3..=8;
    let columns = alone[0].figures().len();
    let ratio = |column: usize| {
        if !TIMES.contains(&column) {
            return String::new();
        }
        let pairs = alone.iter().zip(beside);
        let each = pairs.map(|(alone, beside)| beside.figures()[column] / alone.figures()[column]);
        format!("{:.2}", median(each))
    };
    [String::new(), "beside ÷ alone".to_owned()]
        .into_iter()
        .chain((0..columns).map(ratio))
        .collect()
}
