//! One sidecar: its listeners and threads, from start to end.
//!
//! [`Sidecar::start`] returns once everything listens and every worker takes
//! connections, or with the first thing that stands in the way. The control
//! thread then owns the listeners and the workers, and walks the stages of
//! [`drain`](crate::drain) to the end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use millpond_core::cache::lookup::Levels;
use millpond_core::cache::{Pond, ShareError, Sweeper};
use millpond_core::clock::Clock;
use millpond_core::limit::{self, Limiter};
use millpond_core::tenant::{self, Directory};
use tokio::sync::Semaphore;
use tokio::task::unconstrained;

use crate::admin::Admin;
use crate::admin::hot::{HotKeys, Sampler};
use crate::budget::{Budget, Share};
use crate::canary::watch::{Counts, Watch};
use crate::config::{Config, Reloader, Watcher};
use crate::drain::{Drained, Shutdown, Stages};
use crate::listen::accept::{Dispatch, Refusals};
use crate::listen::connection::Serving;
use crate::rpc::{
    Cache, Closings, Common, Descriptors, Desk, Limits, RateLimits, Services, Tenants,
};
use crate::telemetry::calls::Calls;
use crate::telemetry::metrics::{Configured, Observed, Sources};
use crate::telemetry::trace::{self, Spans};
use crate::tenancy::Tenants as Tenancy;
use crate::worker::{Followed, Worker};

mod bound;
mod control;

use bound::Bound;
use control::Control;

/// Whether something listens, and where, or why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening<A> {
    /// There.
    On(A),
    /// Nowhere, for this reason.
    Off(String),
}

impl<A> Listening<A> {
    /// Where it listens, if it does.
    pub fn on(&self) -> Option<&A> {
        match self {
            Self::On(address) => Some(address),
            Self::Off(_) => None,
        }
    }
}

/// Where a sidecar listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The cache, on TCP.
    pub tcp: Listening<SocketAddr>,
    /// The cache, on a Unix socket.
    pub socket: Listening<PathBuf>,
    /// Probes and metrics.
    pub probe: Listening<SocketAddr>,
    /// The console and `AdminService`.
    pub admin: Listening<SocketAddr>,
}

/// Why a sidecar did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The cache would listen nowhere.
    NothingListens,
    /// A TCP address is not to be had.
    Address {
        /// What would listen there.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The flag that moves it.
        flag: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// A living process answers on the Unix socket.
    SocketInUse(PathBuf),
    /// The Unix socket cannot be made.
    Socket(PathBuf, io::Error),
    /// The system gives no thread or no runtime.
    Threads(io::Error),
    /// Traces cannot be sent as configured, for this reason.
    Tracing(String),
    /// What tenants reserve is more than there is.
    Shares(ShareError),
    /// The tenants do not fit their tiers.
    Tenants(Vec<tenant::Refused>),
    /// Rules for descriptors that cannot be, a line each.
    Descriptors(Vec<String>),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingListens => {
                f.write_str("the cache would listen nowhere: leave --listen or --socket on")
            }
            Self::Address {
                what,
                address,
                flag,
                error,
            } if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{what}: {address} is in use by another process; {flag} ADDR moves it (port 0 picks a free one)"
            ),
            Self::Address {
                what,
                address,
                flag,
                error,
            } => write!(f, "{what}: {address}: {error}; {flag} ADDR moves it"),
            Self::SocketInUse(path) => write!(
                f,
                "unix socket: another process answers on {}; --socket PATH moves it, --no-socket goes without",
                path.display()
            ),
            Self::Socket(path, error) => write!(
                f,
                "unix socket: {}: {error}; --socket PATH moves it, --no-socket goes without",
                path.display()
            ),
            Self::Threads(error) => write!(f, "threads: {error}"),
            Self::Tracing(why) => f.write_str(why),
            Self::Shares(error) => error.fmt(f),
            Self::Tenants(refused) => {
                let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
                f.write_str(&refused.join("; "))
            }
            Self::Descriptors(wrong) => write!(f, "descriptors: {}", wrong.join("; ")),
        }
    }
}

impl std::error::Error for StartError {}

/// A cache for the processes of one pod. See [`Sidecar::start`].
#[derive(Debug)]
pub struct Sidecar;

impl Sidecar {
    /// Listens and serves. Blocks for the milliseconds that takes, and may be
    /// called from inside a runtime.
    ///
    /// # Errors
    /// When an address or the socket is taken or cannot be had.
    pub fn start(config: Config) -> Result<Running, StartError> {
        let bound = Bound::new(&config)?;
        let addresses = bound.addresses.clone();

        let tenancy = Tenancy::start(&config)?;
        let (pond, directory) = (Arc::clone(&tenancy.pond), Arc::clone(&tenancy.directory));
        let descriptors = Descriptors::new(&config.descriptors);
        let descriptors = Arc::new(descriptors.map_err(StartError::Descriptors)?);
        let reloader = Reloader::new(&config, &pond, &tenancy, &descriptors);
        let stages = Stages::serving();
        let places = Arc::new(Semaphore::new(config.max_connections));
        let refusals = Arc::new(Refusals::default());
        let spans = Arc::new(Spans::default());
        let (traces, exporting) = match &config.tracing.endpoint {
            None => (None, None),
            Some(endpoint) => {
                let ending = (stages.clone(), config.drain);
                let sample = config.tracing.sample;
                trace::start(endpoint, sample, ending, Arc::clone(&spans))
                    .map(|(traces, exporting)| (Some(traces), Some(exporting)))
                    .map_err(StartError::Tracing)?
            }
        };
        let levels = Levels::new(Arc::clone(&pond), None);
        let limiter = Limiter::new(Arc::clone(&directory), config.limits);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Threads)?;
        // Completes without waiting: nobody else holds its locks yet.
        let common = unconstrained(Common::serving())
            .now_or_never()
            .expect("a lock that nobody else knows is free");

        let hot = Arc::new(HotKeys::default());
        let (ready, readied) = sync_channel(config.workers.max(1));
        let budget = Budget::new(config.in_flight, config.workers);
        let (mut calls, mut shares) = (Vec::new(), Vec::new());
        let mut workers = Vec::new();
        let mut closings = Vec::new();
        for number in 0..config.workers.max(1) {
            let counted = Arc::new(Calls::new(pond.clock().clone(), traces.clone()));
            let share = Share::of(&budget);
            let own = Stages::serving();
            let desk = Desk {
                calls: Arc::clone(&counted),
                share: Arc::clone(&share),
                stages: own.clone(),
                patience: config.patience,
            };
            let told = Closings::default();
            let tenants = Tenants::new(Arc::clone(&directory), told.clone());
            closings.push(told);
            let sampler = Sampler::new(Arc::clone(&hot), Arc::clone(&pond));
            let desk = Arc::new(desk);
            let cache = Cache::new(levels.clone(), tenants, Arc::clone(&desk), sampler);
            let limits = Limits::new(Arc::clone(&limiter), Arc::clone(&desk));
            let rate_limits = RateLimits::new(Arc::clone(&limiter), Arc::clone(&descriptors), desk);
            let services = Services::new(cache, limits, rate_limits, &common);
            let serving = Serving::new(services, &config);
            let all = stages.clone();
            let worker = Worker::start(number, serving, Followed { all, own }, ready.clone())
                .map_err(StartError::Threads)?;
            calls.push(counted);
            shares.push(share);
            workers.push(worker);
        }
        Closings::follow(&directory, closings);
        let sweeper = Sweeper::start(&pond).map_err(StartError::Threads)?;
        let limits = limit::Sweeper::start(&limiter).map_err(StartError::Threads)?;
        let canary = Arc::new(Counts::default());
        let watch = Watch::start(config.canary, &addresses, &stages, &canary)
            .map_err(StartError::Threads)?;
        let watcher = Watcher::start(reloader.clone()).map_err(StartError::Threads)?;
        let observed = Arc::new(Observed {
            started_micros: pond.clock().wall_micros(),
            pond: Arc::clone(&pond),
            limiter,
            stages: stages.clone(),
            calls,
            budget,
            shares,
            places: Arc::clone(&places),
            max_connections: config.max_connections,
            refusals: Arc::clone(&refusals),
            spans,
            canary,
            sources: Sources {
                config: Some(Box::new(configured(reloader.clone()))),
            },
        });
        let hand_to = workers
            .iter()
            .map(|worker| worker.hand_to.clone())
            .collect();
        let admin = Admin::new(
            Arc::clone(&observed),
            levels,
            common.clone(),
            hot,
            reloader.clone(),
            tenancy,
        );
        let control = Control {
            bound,
            admin,
            dispatch: Dispatch::new(hand_to, places, refusals),
            observed: Arc::clone(&observed),
            common,
            drain: config.drain,
        };
        let control = std::thread::Builder::new()
            .name("millpond-control".to_owned())
            .spawn(move || {
                let drained = runtime.block_on(control.run());
                for worker in workers {
                    // A worker that panicked has been told of already.
                    drop(worker.thread.join());
                }
                drop((sweeper, limits, watcher));
                if let Some(watch) = watch {
                    watch.join();
                }
                if let Some(exporting) = exporting {
                    exporting.join();
                }
                drained
            })
            .map_err(StartError::Threads)?;
        drop(ready);
        // One message a worker; the channel closes early only if one died.
        for _ in 0..config.workers.max(1) {
            let _ = readied.recv();
        }
        Ok(Running {
            addresses,
            observed,
            reloader,
            directory,
            shutdown: Shutdown(stages),
            control: Some(control),
        })
    }
}

/// What metrics tell of the configuration.
fn configured(reloader: Reloader) -> impl Fn() -> Configured {
    move || {
        let state = reloader.state();
        let age = u64::try_from(state.age.as_micros()).unwrap_or(u64::MAX);
        Configured {
            applied: state.reloads,
            refused: state.refused,
            successful: state.errors.is_empty(),
            applied_micros: Clock::Kernel.wall_micros().saturating_sub(age),
            hash: state.hash,
        }
    }
}

/// A sidecar that serves. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    observed: Arc<Observed>,
    reloader: Reloader,
    directory: Arc<Directory>,
    shutdown: Shutdown,
    control: Option<JoinHandle<Drained>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The cache's TCP address, if it listens there.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.addresses.tcp.on().copied()
    }

    /// The cache's Unix socket, if it listens there.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.addresses.socket.on().map(PathBuf::as_path)
    }

    /// The address of probes and metrics, if they are answered.
    #[must_use]
    pub fn probe(&self) -> Option<SocketAddr> {
        self.addresses.probe.on().copied()
    }

    /// The address of the console and `AdminService`, if they are served.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.addresses.admin.on().copied()
    }

    /// The cache behind the wire.
    #[must_use]
    pub fn pond(&self) -> &Arc<Pond> {
        &self.observed.pond
    }

    /// The limits behind the wire, and the tenants.
    #[must_use]
    pub fn limiter(&self) -> &Arc<Limiter> {
        &self.observed.limiter
    }

    /// Its tenants.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Bytes of messages that are being received or handled, and of replies that are
    /// not written yet; at most [`Config::in_flight`], but for replies to calls that
    /// had already taken effect.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.observed.in_flight_bytes()
    }

    /// Calls that are not answered, or whose reply is not written yet.
    #[must_use]
    pub fn in_flight_calls(&self) -> usize {
        self.observed.in_flight()
    }

    /// Connections to the cache that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.observed.connections()
    }

    /// Reads the configuration again.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// A handle that ends it from elsewhere.
    #[must_use]
    pub fn shutdown_handle(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Waits until it has ended. Blocks the thread.
    pub fn join(mut self) -> Drained {
        self.ended()
    }

    /// Drains it and waits until it has ended. Blocks the thread.
    pub fn shutdown(self) -> Drained {
        self.shutdown.drain();
        self.join()
    }

    fn ended(&mut self) -> Drained {
        let control = self.control.take().map(JoinHandle::join);
        // A control thread that panicked has been told of already.
        control
            .and_then(Result::ok)
            .unwrap_or(Drained { cut_off: 0 })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.stop();
        self.ended();
    }
}
