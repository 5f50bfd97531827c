//! `millpond bench`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use millpond_benches::load::herd::Herd;
use millpond_benches::load::plan::{Origin, Plan, Room, zipf};
use millpond_benches::load::sidecar::Wire;
use millpond_benches::load::target::{Target, TargetError};
use millpond_benches::load::value::MIN_VALUE_BYTES;
use millpond_benches::load::worker::{Progress, replay};
use millpond_benches::trace::Trace;
use millpond_sidecar::DEFAULT_PROBE;

use super::operator;

/// What a herd's cache may hold: its keys are few.
const HERD_BUDGET: u64 = 64 << 20;

/// Put load on a cache, check every answer, and say what it cost.
///
/// Replays recorded or drawn accesses, or lets a herd loose on cold keys. Without
/// --addr it starts a sidecar of its own for that, and ends it.
///
/// Fails when an answer was not its key's value, when loads and leases do not add up,
/// or when a herd loaded more than once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  millpond bench --zipf 100000 --accesses 1000000
  millpond bench --trace benches/traces/orm-busy.trace.xz --capacity-percent 10
  millpond bench --trace benches/traces/orm-busy.trace.xz --transport embedded
  millpond bench --zipf 10000 --fresh-ms 500 --stale-ms 60000     refreshed behind stale answers
  millpond bench --zipf 10000 --addr http://127.0.0.1:7470 --probe 127.0.0.1:7472
  millpond bench --herd 1000 --connections 20 --loader-ms 50

Loads run by this program's loaders must be as many as the leases that the cache
granted: leads, refreshes and promotions. What a miss waited for the origin is not in
its latency.")]
pub(crate) struct Bench {
    /// Replay this trace: xz, gzip or plain; 4-byte big-endian integers or decimal lines
    #[arg(long, value_name = "FILE", conflicts_with_all = ["zipf", "herd"])]
    #[arg(required_unless_present_any = ["zipf", "herd"])]
    trace: Option<PathBuf>,

    /// Draw from so many keys by popularity (zipf 0.99) instead
    #[arg(long, value_name = "KEYS", conflicts_with = "herd")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    zipf: Option<u32>,

    /// How many accesses to draw
    #[arg(long, value_name = "N", requires = "zipf", default_value_t = 1_000_000)]
    accesses: usize,

    /// Let so many callers loose on one cold key at once instead
    #[arg(long, value_name = "CALLERS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    herd: Option<u32>,

    /// How often, with a new key each time
    #[arg(long, value_name = "N", requires = "herd", default_value_t = 20)]
    rounds: u32,

    /// Replay only so many accesses
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Room for so many of a hundred different keys
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 10.0,
        conflicts_with = "addr"
    )]
    capacity_percent: f64,

    /// Room for so many entries
    #[arg(long, value_name = "N", conflicts_with_all = ["capacity_percent", "addr"])]
    capacity_entries: Option<u64>,

    /// How long the origin takes for a load
    #[arg(long, value_name = "MS", default_value_t = 1)]
    loader_ms: u64,

    /// Callers at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,

    /// Connections that calls are spread over
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,

    /// Where the cache is
    #[arg(
        long,
        value_name = "HOW",
        default_value = "unix",
        conflicts_with = "addr"
    )]
    transport: Transport,

    /// A sidecar that runs already: http://host:port or unix:/path
    #[arg(long)]
    addr: Option<String>,

    /// Where that sidecar's metrics are, to check that loads and leases add up
    #[arg(long, value_name = "HOST:PORT", requires = "addr", value_parser = probe)]
    probe: Option<String>,

    /// Bytes of a value; at least 32
    #[arg(long, value_name = "N", default_value_t = 128)]
    value_bytes: usize,

    /// How long a value is fresh
    #[arg(long, value_name = "MS", default_value_t = 3_600_000)]
    fresh_ms: u64,

    /// How long it is answered after that while one caller refreshes it
    #[arg(long, value_name = "MS", default_value_t = 0)]
    stale_ms: u64,

    /// Threads of the callers [default: 1, or one a core when embedded]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Do not tell how far it is
    #[arg(long)]
    quiet: bool,
}

/// Where a sidecar's metrics are.
fn probe(text: &str) -> Result<String, String> {
    let expected = || {
        format!(
            "expected HOST:PORT, such as 127.0.0.1:{}",
            DEFAULT_PROBE.port()
        )
    };
    operator::is_host_and_port(text)
        .then(|| text.to_owned())
        .ok_or_else(expected)
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Transport {
    /// A sidecar of its own, over a Unix socket
    Unix,
    /// A sidecar of its own, over TCP
    Tcp,
    /// In this process
    Embedded,
}

pub(crate) fn run(bench: Bench) -> Result<(), String> {
    if bench.value_bytes < MIN_VALUE_BYTES {
        return Err(format!(
            "--value-bytes: {}, expected at least {MIN_VALUE_BYTES}",
            bench.value_bytes
        ));
    }
    let runtime = runtime(bench.threads()).map_err(|error| format!("threads: {error}"))?;
    runtime.block_on(async {
        match bench.herd {
            Some(callers) => stampede(&bench, callers).await,
            None => replayed(&bench).await,
        }
    })
}

async fn replayed(bench: &Bench) -> Result<(), String> {
    let trace = match (&bench.trace, bench.zipf) {
        (Some(path), _) => Trace::open(path).map_err(|error| error.to_string())?,
        (None, Some(keys)) => zipf(keys, bench.accesses).map_err(|error| error.to_string())?,
        (None, None) => return Err("nothing to replay: --trace FILE or --zipf KEYS".to_owned()),
    };
    let room = match (&bench.addr, bench.capacity_entries) {
        // Nobody here gave that one its room.
        (Some(_), _) => None,
        (None, Some(entries)) => Some(Room::Entries(entries)),
        (None, None) => Some(Room::Percent(bench.capacity_percent)),
    };
    let callers = bench.callers as usize;
    let plan = Plan::new(trace, bench.limit, room, callers, bench.origin());
    if plan.accesses.is_empty() {
        return Err("nothing to replay: --limit or --accesses is 0".to_owned());
    }
    let target = bench.target(plan.budget()).await?;
    let quiet = bench.quiet;
    let tell = move |progress: Progress| {
        if !quiet {
            tell(progress);
        }
    };
    let found = replay(plan, &target, tell).await;
    if !quiet && io::stderr().is_terminal() {
        drop(write!(io::stderr(), "\r\x1b[K"));
    }
    let found = found.map_err(|error| error.to_string())?;
    print(&if bench.json {
        found.json()
    } else {
        found.to_string()
    })?;
    found.fault().map_or(Ok(()), Err)
}

async fn stampede(bench: &Bench, callers: u32) -> Result<(), String> {
    let target = bench.target(HERD_BUDGET).await?;
    let cache = target.cache().map_err(|error| error.to_string())?;
    let herd = Herd {
        callers: callers as usize,
        rounds: bench.rounds as usize,
        origin: bench.origin(),
    };
    let found = herd.run(&cache).await;
    print(&if bench.json {
        found.json()
    } else {
        found.to_string()
    })?;
    if found.is_tame() {
        Ok(())
    } else {
        Err("a round loaded more than once, or somebody was not answered".to_owned())
    }
}

impl Bench {
    fn embedded(&self) -> bool {
        self.addr.is_none() && self.transport == Transport::Embedded
    }

    /// One thread beside a sidecar, which is then left the other cores.
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        match self.threads {
            Some(threads) => threads.into(),
            None if self.embedded() => cores(),
            None => 1,
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            delay: Duration::from_millis(self.loader_ms),
            value_bytes: self.value_bytes,
            fresh: Duration::from_millis(self.fresh_ms),
            stale: Duration::from_millis(self.stale_ms),
        }
    }

    async fn target(&self, budget: u64) -> Result<Target, String> {
        let connections = self.connections as usize;
        let target = match (&self.addr, self.transport) {
            (Some(addr), _) => Target::told_of(addr, self.probe.clone(), connections).await,
            (None, Transport::Embedded) => Ok(Target::embedded(budget)),
            (None, transport) => {
                let wire = match transport {
                    Transport::Tcp => Wire::Tcp,
                    Transport::Unix | Transport::Embedded => Wire::Unix,
                };
                match std::env::current_exe() {
                    Ok(own) => Target::started(&own, wire, budget, connections).await,
                    Err(error) => Err(TargetError::Start(error)),
                }
            }
        };
        target.map_err(|error| error.to_string())
    }
}

fn runtime(threads: usize) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_io().enable_time().build()
}

/// On one line of a terminal, or on a line of its own in a log.
fn tell(progress: Progress) {
    let Progress {
        done,
        total,
        hits,
        loads,
        rate,
    } = progress;
    let share = 100.0 * hits as f64 / done.max(1) as f64;
    let mut stderr = io::stderr().lock();
    let (before, after) = if stderr.is_terminal() {
        ("\r\x1b[K", "")
    } else {
        ("", "\n")
    };
    // Without a stderr there is nobody to tell.
    drop(write!(
        stderr,
        "{before}{done}/{total}  {share:.1} % hits  {loads} loads  {rate:.0} ops/s{after}"
    ));
}

fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("stdout: {error}"))
}
