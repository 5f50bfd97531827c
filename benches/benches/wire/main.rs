//! What a `Get` costs the server that answers it: Millpond beside handlers that answer
//! the same bytes and do nothing for it, and beside Redis if it is installed. Linux
//! only: the kernel's count of CPU time is read.
//!
//! Every server is a process of its own with one serving thread, and all are called by
//! the same client, in alternating rounds; ratios are taken within a round and the
//! table gives their medians. Wall time says little on a busy machine; CPU time holds.
//!
//! The process re-executes itself for each gRPC server, with its name in a variable.
//! `--quick` runs fewer and shorter rounds: to see that it works, not to quote.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use millpond_benches::load::process::cpu_time;
use millpond_benches::stopwatch::Stopwatch;
use millpond_benches::table::{Table, median};
use mimalloc::MiMalloc;

mod callers;
mod handler;
mod redis;
mod server;

use callers::Callers;
use redis::Redis;
use server::{Kind, Server};

/// As in the binary, for all servers alike.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Bytes of the value that is asked for.
const VALUE_BYTES: usize = 128;
/// Calls in flight.
const IN_FLIGHT: [usize; 2] = [64, 1];

#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// Calls of a round with many in flight; with one, a quarter of them.
    calls: usize,
}

const FULL: Effort = Effort {
    rounds: 9,
    calls: 60_000,
};
const QUICK: Effort = Effort {
    rounds: 3,
    calls: 4_000,
};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    if let Some(kind) = Kind::asked_for() {
        return server::run(kind);
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
    runtime.block_on(measure(effort))
}

async fn measure(effort: Effort) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut contenders = Vec::new();
    for kind in Kind::ALL {
        let server = Server::start(kind)?;
        contenders.push(Contender {
            name: kind.title().to_owned(),
            process: server.id(),
            callers: Callers::grpc(server.socket()).await?,
            _server: Box::new(server),
        });
    }
    match Redis::start(VALUE_BYTES).await? {
        Some(redis) => contenders.push(Contender {
            name: redis.title().to_owned(),
            process: redis.id(),
            callers: Callers::redis(redis.address()),
            _server: Box::new(redis),
        }),
        None => writeln!(io::stderr(), "redis-server is not installed: left out")?,
    }

    let mut table = Table::new([
        "in flight",
        "server",
        "server CPU µs/call, median",
        "min",
        "max",
        "Millpond ÷ this",
        "client CPU µs/call",
        "calls/s",
    ]);
    for in_flight in IN_FLIGHT {
        let calls = if in_flight == 1 {
            effort.calls / 4
        } else {
            effort.calls
        };
        for contender in &contenders {
            contender.round(calls / 4, in_flight).await?; // warm
        }
        let rounds = alternate(&contenders, effort.rounds, calls, in_flight).await?;
        for (place, contender) in contenders.iter().enumerate() {
            table.push(row(in_flight, place, contender, &rounds));
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "Get of {VALUE_BYTES} B held in L1, over a Unix socket and one connection; {} rounds of {} calls, a quarter with one in flight\n\n{table}",
        effort.rounds, effort.calls
    )?;
    Ok(())
}

/// A server that is measured, and how it is called.
struct Contender {
    name: String,
    process: u32,
    callers: Callers,
    _server: Box<dyn std::any::Any>,
}

/// What one round cost.
#[derive(Clone, Copy)]
struct Round {
    server_micros: f64,
    client_micros: f64,
    per_second: f64,
}

impl Contender {
    async fn round(
        &self,
        calls: usize,
        in_flight: usize,
    ) -> Result<Round, Box<dyn Error + Send + Sync>> {
        let own = std::process::id();
        let read = || {
            let times = cpu_time(self.process).zip(cpu_time(own));
            times.ok_or("this system does not tell the CPU time of a thread")
        };
        let (server, client) = read()?;
        let watch = Stopwatch::start();
        self.callers.call(calls, in_flight).await?;
        let elapsed = watch.elapsed();
        let (server_after, client_after) = read()?;
        let each = |used: Duration| used.as_secs_f64() * 1e6 / calls as f64;
        Ok(Round {
            server_micros: each(server_after.saturating_sub(server)),
            client_micros: each(client_after.saturating_sub(client)),
            per_second: calls as f64 / elapsed.as_secs_f64(),
        })
    }
}

/// Rounds × contenders, each round beginning with another one.
async fn alternate(
    contenders: &[Contender],
    rounds: usize,
    calls: usize,
    in_flight: usize,
) -> Result<Vec<Vec<Round>>, Box<dyn Error + Send + Sync>> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut found = Vec::new();
        for step in 0..contenders.len() {
            let place = (round + step) % contenders.len();
            found.push((place, contenders[place].round(calls, in_flight).await?));
        }
        found.sort_by_key(|&(place, _)| place);
        all.push(found.into_iter().map(|(_, round)| round).collect());
    }
    Ok(all)
}

fn row(
    in_flight: usize,
    place: usize,
    contender: &Contender,
    rounds: &[Vec<Round>],
) -> Vec<String> {
    // Millpond is the first of `Kind::ALL`.
    const MILLPOND: usize = 0;
    let of = |what: fn(&Round) -> f64| rounds.iter().map(move |round| what(&round[place]));
    let server = |round: &Round| round.server_micros;
    let ratios = rounds
        .iter()
        .map(|round| round[MILLPOND].server_micros / round[place].server_micros);
    vec![
        in_flight.to_string(),
        contender.name.clone(),
        format!("{:.2}", median(of(server))),
        format!("{:.2}", of(server).fold(f64::INFINITY, f64::min)),
        format!("{:.2}", of(server).fold(0.0, f64::max)),
        format!("{:.2}", median(ratios)),
        format!("{:.2}", median(of(|round| round.client_micros))),
        format!("{:.0}", median(of(|round| round.per_second))),
    ]
}
