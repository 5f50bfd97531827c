//! `millpond serve`.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use millpond_core::clock::Clock;
use millpond_sidecar::config::{FILE_VARIABLE, Reading, Reloader, Source};
use millpond_sidecar::descriptors;
use millpond_sidecar::memory::ByteSize;
use millpond_sidecar::telemetry::log;
use millpond_sidecar::{Addresses, Drained, Listening, Running, Sidecar};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use super::overrides::{Overrides, file_name, file_or_usual};

/// Serve the cache to the processes of this pod, or of this machine.
///
/// Needs no configuration: the cache listens on the loopback interface and, where
/// the folder can be made, on a Unix socket; probes and metrics on every interface,
/// because the kubelet calls the pod's address. What is cached is lost when it ends.
///
/// A file, the environment and flags change that, each over the one before. The
/// file's policies are read again when it changes, and on SIGHUP.
///
/// Ctrl-C or SIGTERM drains: no new connections, calls in flight finish. A second
/// one ends it at once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  millpond serve
  millpond serve --config millpond.yaml --memory 512MiB
  millpond serve --listen 127.0.0.1:7570 --probe 127.0.0.1:7572 --admin 127.0.0.1:7571 --no-socket
                                                 a second one on this machine
  millpond serve --socket /tmp/millpond.sock --no-listen            Unix socket only
  MILLPOND_LOG_FORMAT=json millpond serve
  millpond check --effective                     what would be in force, and why

Clients read MILLPOND_ADDR: http://127.0.0.1:7470 or unix:/run/millpond/millpond.sock.")]
pub(crate) struct Serve {
    /// The configuration file [default: /etc/millpond/millpond.yaml, if it is there]
    #[arg(long, value_name = "PATH", env = FILE_VARIABLE, value_parser = file_name())]
    config: Option<PathBuf>,

    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(serve: Serve) -> Result<(), String> {
    let ended = serve_to_the_end(serve);
    log::flush();
    ended
}

fn serve_to_the_end(serve: Serve) -> Result<(), String> {
    let clock = Clock::Kernel;
    let began = clock.precise();
    // Signals first: one that comes while we start must drain, not kill.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let (mut signals, mut hangup) = {
        let _inside = runtime.enter();
        let signals = Signals::new().map_err(|error| format!("signals: {error}"))?;
        let hangup = signal(SignalKind::hangup());
        (
            signals,
            hangup.map_err(|error| format!("signals: {error}"))?,
        )
    };

    let file = file_or_usual(serve.config);
    let reading = read(&serve.overrides.over(file))?;
    let Reading {
        config,
        unknown,
        warnings,
        ..
    } = reading;
    let logging = log::start(config.log.format, &config.log.filter)
        .map_err(|error| format!("log: {error}"))?;
    log::panics();
    for odd in unknown.iter().chain(&warnings) {
        warn!("configuration: {odd}");
    }
    descriptors::raise_for(config.max_connections);
    let (budget, workers, drain) = (config.cache.budget, config.workers, config.drain);
    let running = Sidecar::start(config).map_err(|error| error.to_string())?;
    running.reloader().steer_log(logging);
    let greeting = Greeting {
        addresses: running.addresses(),
        file: running.reloader().state().file,
        budget: ByteSize(budget),
        workers,
        drain,
        took: clock.precise().since(began),
    };
    // A closed stdout is no reason not to serve.
    drop(write!(io::stdout(), "{greeting}"));
    drop(io::stdout().flush());
    runtime.block_on(until_ended(running, &mut signals, &mut hangup));
    Ok(())
}

/// The configuration, if nothing is wrong with it beyond keys that mean nothing:
/// a rollback to a version that does not know a field yet must start.
fn read(source: &Source) -> Result<Reading, String> {
    let reading = source.read().map_err(|error| {
        let file = source.file().unwrap_or(Path::new("")).display();
        format!("{file}: cannot be read: {error}")
    })?;
    if reading.mistakes.is_empty() {
        return Ok(reading);
    }
    let all = reading.mistakes.iter().chain(&reading.unknown);
    let all: Vec<_> = all.map(|mistake| format!("\n  {mistake}")).collect();
    Err(format!("the configuration is wrong:{}", all.concat()))
}

async fn until_ended(running: Running, signals: &mut Signals, hangup: &mut Signal) -> Drained {
    let (shutdown, reloader) = (running.shutdown_handle(), running.reloader().clone());
    // It may be told to drain over its admin port, too.
    let mut ended = tokio::task::spawn_blocking(move || running.join());
    loop {
        tokio::select! {
            drained = &mut ended => return drained.unwrap_or(Drained { cut_off: 0 }),
            _ = signals.next() => break,
            _ = hangup.recv() => reload(reloader.clone()),
        }
    }
    shutdown.drain();
    tokio::select! {
        drained = &mut ended => drained.unwrap_or(Drained { cut_off: 0 }),
        code = signals.next() => {
            log::flush();
            std::process::exit(code)
        }
    }
}

/// Reads the configuration again, off the thread that waits for signals. What comes
/// of it is logged where it is done.
fn reload(reloader: Reloader) {
    drop(tokio::task::spawn_blocking(move || {
        if reloader.state().file.is_none() {
            warn!("SIGHUP: there is no configuration file to read again");
        } else {
            drop(reloader.reload());
        }
    }));
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
    file: Option<PathBuf>,
    budget: ByteSize,
    workers: usize,
    drain: Duration,
    took: Duration,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Addresses {
            tcp,
            socket,
            probe,
            admin,
        } = self.addresses;
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
        match admin {
            Listening::On(address) => writeln!(f, "  admin   http://{address} (console)")?,
            Listening::Off(why) => writeln!(f, "  admin   not served: {why}")?,
        }
        if let Some(file) = &self.file {
            writeln!(f, "  config  {}", file.display())?;
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
