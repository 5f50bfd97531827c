//! `millpond serve`.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use millpond_core::cache;
use millpond_core::clock::Clock;
use millpond_sidecar::descriptors;
use millpond_sidecar::memory::{ByteSize, default_budget};
use millpond_sidecar::telemetry::log;
use millpond_sidecar::{
    Addresses, Config, DEFAULT_LISTEN, DEFAULT_PROBE, DEFAULT_SOCKET, Drained, Listening, Running,
    Sidecar, Socket,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Serve the cache to the processes of this pod, or of this machine.
///
/// Needs no configuration: the cache listens on the loopback interface and, where
/// the folder can be made, on a Unix socket; probes and metrics on every interface,
/// because the kubelet calls the pod's address. What is cached is lost when it ends.
///
/// Ctrl-C or SIGTERM drains: no new connections, calls in flight finish. A second
/// one ends it at once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  millpond serve
  millpond serve --memory 512MiB
  millpond serve --listen 127.0.0.1:7570 --probe 127.0.0.1:7572 --no-socket
                                                 a second one on this machine
  millpond serve --socket /tmp/millpond.sock --no-listen            Unix socket only
  MILLPOND_LOG_FORMAT=json millpond serve

Clients read MILLPOND_ADDR: http://127.0.0.1:7470 or unix:/run/millpond/millpond.sock.
gRPC in Python, Ruby, PHP and C++ needs the channel option
grpc.default_authority=localhost on a Unix socket.")]
pub(crate) struct Serve {
    /// TCP address of the cache; port 0 picks a free one
    #[arg(long, value_name = "ADDR", env = "MILLPOND_LISTEN", default_value_t = DEFAULT_LISTEN)]
    listen: SocketAddr,

    /// Do not listen on TCP
    #[arg(long, env = "MILLPOND_NO_LISTEN", value_parser = BoolishValueParser::new())]
    no_listen: bool,

    /// Unix socket of the cache, mode 0660 [default: /run/millpond/millpond.sock, if it can be made]
    #[arg(long, value_name = "PATH", env = "MILLPOND_SOCKET")]
    socket: Option<PathBuf>,

    /// Do not listen on a Unix socket
    #[arg(long, env = "MILLPOND_NO_SOCKET", value_parser = BoolishValueParser::new())]
    no_socket: bool,

    /// Address of /livez, /readyz, /startupz and /metrics
    #[arg(long, value_name = "ADDR", env = "MILLPOND_PROBE", default_value_t = DEFAULT_PROBE)]
    probe: SocketAddr,

    /// Do not answer probes or metrics
    #[arg(long, env = "MILLPOND_NO_PROBE", value_parser = BoolishValueParser::new())]
    no_probe: bool,

    /// What the cache may hold, as 512MiB or 1GiB [default: half of the container's limit, or 256MiB]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_MEMORY")]
    memory: Option<ByteSize>,

    /// Threads that serve [default: one a core]
    #[arg(long, value_name = "N", env = "MILLPOND_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Seconds that calls in flight get once told to end
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MILLPOND_DRAIN",
        default_value_t = 25
    )]
    drain: u32,

    /// How a log line looks; logs go to stderr
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MILLPOND_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,

    /// What is logged: error, warn, info, or directives by module
    #[arg(
        long,
        value_name = "FILTER",
        env = "MILLPOND_LOG",
        default_value = "info"
    )]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub(crate) fn run(serve: Serve) -> Result<(), String> {
    let clock = Clock::Kernel;
    let began = clock.precise();
    let format = match serve.log_format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    log::start(format, &serve.log).map_err(|error| format!("--log: {error}"))?;
    // Signals first: one that comes while we start must drain, not kill.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(|error| format!("signals: {error}"))?
    };

    let config = config(serve);
    descriptors::raise_for(config.max_connections);
    let (budget, workers, drain) = (config.cache.budget, config.workers, config.drain);
    let running = Sidecar::start(config).map_err(|error| error.to_string())?;
    let greeting = Greeting {
        addresses: running.addresses(),
        budget: ByteSize(budget),
        workers,
        drain,
        took: clock.precise().since(began),
    };
    // A closed stdout is no reason not to serve.
    drop(write!(io::stdout(), "{greeting}"));
    drop(io::stdout().flush());
    runtime.block_on(until_ended(running, &mut signals));
    Ok(())
}

fn config(serve: Serve) -> Config {
    let defaults = Config::default();
    let socket = match serve.socket {
        Some(path) => Socket {
            path,
            optional: false,
        },
        None => Socket {
            path: PathBuf::from(DEFAULT_SOCKET),
            optional: true,
        },
    };
    Config {
        listen: (!serve.no_listen).then_some(serve.listen),
        socket: (!serve.no_socket).then_some(socket),
        probe: (!serve.no_probe).then_some(serve.probe),
        cache: cache::Config {
            budget: serve.memory.unwrap_or_else(default_budget).0,
            ..cache::Config::default()
        },
        workers: serve.workers.map_or(defaults.workers, usize::from),
        drain: Duration::from_secs(serve.drain.into()),
        ..defaults
    }
}

async fn until_ended(running: Running, signals: &mut Signals) -> Drained {
    signals.next().await;
    running.shutdown_handle().drain();
    let ended = tokio::task::spawn_blocking(move || running.join());
    tokio::select! {
        drained = ended => drained.unwrap_or(Drained { cut_off: 0 }),
        code = signals.next() => std::process::exit(code),
    }
}

/// What ends a process politely.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one; returns what a shell calls a process that it killed.
    async fn next(&mut self) -> i32 {
        let number = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        128 + number.as_raw_value()
    }
}

/// What is said once it serves.
struct Greeting<'a> {
    addresses: &'a Addresses,
    budget: ByteSize,
    workers: usize,
    drain: Duration,
    took: Duration,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Addresses { tcp, socket, probe } = self.addresses;
        writeln!(
            f,
            "millpond {}: ready after {} ms, {} of cache, {} workers",
            env!("CARGO_PKG_VERSION"),
            self.took.as_millis(),
            self.budget,
            self.workers
        )?;
        match tcp {
            Listening::On(address) => writeln!(f, "  cache   http://{address}")?,
            Listening::Off(why) => writeln!(f, "  cache   not on TCP: {why}")?,
        }
        match socket {
            Listening::On(path) => writeln!(f, "  cache   unix:{}", path.display())?,
            Listening::Off(why) => writeln!(f, "  cache   not on a Unix socket: {why}")?,
        }
        match probe {
            Listening::On(address) => writeln!(
                f,
                "  probe   http://{address} (/livez /readyz /startupz /metrics)"
            )?,
            Listening::Off(why) => writeln!(f, "  probe   not answered: {why}")?,
        }
        writeln!(f, "Try:")?;
        let client = "cargo run --release --example read_through -p millpond-client";
        match (tcp, socket) {
            (Listening::On(address), _) => {
                writeln!(f, "  MILLPOND_ADDR=http://{address} {client}")?;
            }
            (_, Listening::On(path)) => {
                writeln!(f, "  MILLPOND_ADDR=unix:{} {client}", path.display())?;
            }
            _ => {}
        }
        if let Listening::On(address) = probe {
            writeln!(f, "  curl {}/metrics", reachable(*address))?;
        }
        writeln!(
            f,
            "Ctrl-C drains, for at most {} s; again ends it at once.",
            self.drain.as_secs()
        )
    }
}

/// An address that listens everywhere, as one calls it from here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
