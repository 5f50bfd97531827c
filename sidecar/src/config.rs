//! What a sidecar is started with.
//!
//! [`Config`] is a plain struct: tests and embedders fill it in. The binary reads it
//! from a file, the environment and flags ([`Source`]), with every field declared once
//! in a table, and can read the policies in it again while it serves ([`Reloader`]).
//!
//! | file | what it owns |
//! |---|---|
//! | `table` | every field, once |
//! | `form/*` | what values may look like |
//! | `yaml` | from bytes to a tree that knows its places |
//! | `reading`, `across` | from the tree to a configuration, or to all that is wrong with it |
//! | `mistake` | how that is said |
//! | `source` | the layers |
//! | `schema`, `reference`, `effective` | what else comes from the table |
//! | `tenancy` | who the tenants are |
//! | `reload/*` | another file for a process that serves |

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use millpond_core::tenant::Strangers;
use millpond_core::{cache, limit};

use crate::telemetry::log;

mod across;
mod effective;
mod form;
mod mistake;
mod reading;
mod reference;
mod reload;
mod schema;
mod source;
mod table;
mod tenancy;
mod yaml;

pub use form::{rate_as_written, time, time_as_written};
pub use mistake::{Mistake, Place};
pub use reading::Reading;
pub use reference::reference;
pub use reload::{Applied, InForce, Reloader};
pub use schema::schema;
pub use source::{DEFAULT_FILE, FILE_VARIABLE, Setting, Source, Sourced, settings};
pub use tenancy::Tenancy;

pub(crate) use form::whole;
pub(crate) use reload::Watcher;
pub(crate) use tenancy::{settings_as_written, settings_of};

/// Where the cache listens on TCP unless told otherwise: this machine only.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7470);
/// Where operators are answered unless told otherwise: this machine only.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7471);
/// Where probes and metrics are answered: kubelet calls the pod's address.
pub const DEFAULT_PROBE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7472);
/// The Unix socket.
pub const DEFAULT_SOCKET: &str = "/run/millpond/millpond.sock";

/// A Unix socket to listen on.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Where. Its folder is made if possible; the socket's mode is 0660.
    pub path: PathBuf,
    /// Go on without it when it cannot be made, as on a laptop whose `/run` is
    /// root's. A socket that another process answers on is an error all the same.
    pub optional: bool,
}

/// Bytes that an idle connection takes, most of them buffers of HTTP/2.
pub(crate) const CONNECTION: u64 = 34 << 10;
/// Connections unless it is said: enough for any pod's own processes, and no more than
/// one machine's ports come to use.
pub(crate) const LEAST_CONNECTIONS: usize = 128;
pub(crate) const MOST_CONNECTIONS: usize = 12_288;

/// What the process says on stderr.
#[derive(Clone, Debug)]
pub struct Log {
    /// How a line looks.
    pub format: log::Format,
    /// What is logged: a level, or directives by module. Default `info`.
    pub filter: String,
}

/// Where traces go. Nowhere costs nothing; else a thread, and at most 2 048 spans of
/// about 1 KiB that wait.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The collector, such as `http://otel-collector:4317`; OTLP over gRPC, without
    /// TLS.
    pub endpoint: Option<String>,
    /// The share of traces that begin here and are sent, in `[0, 1]`. Default 0.01.
    pub sample: f64,
}

/// What a sidecar is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP address of the cache; port 0 picks a free one. Default
    /// [`DEFAULT_LISTEN`].
    pub listen: Option<SocketAddr>,
    /// Unix socket of the cache. Default [`DEFAULT_SOCKET`], optional.
    pub socket: Option<Socket>,
    /// Address of probes and metrics. Default [`DEFAULT_PROBE`].
    pub probe: Option<SocketAddr>,
    /// Address of the console and `AdminService`. Default [`DEFAULT_ADMIN`]. Whoever
    /// reaches it may switch the cache off: keep it on a loopback interface.
    pub admin: Option<SocketAddr>,
    /// The cache. Its `budget` is most of what the process comes to hold.
    pub cache: cache::Config,
    /// The limits of tenants: how much is told apart and remembered.
    pub limits: limit::Config,
    /// Who the tenants are. By default nobody is named, and nobody is limited.
    pub tenancy: Tenancy,
    /// Tenants that nobody named and that have buckets of their own, where they are of
    /// a tier. Default 65 536, at about 160 bytes each.
    pub max_unknown_tenants: usize,
    /// Which limits the descriptors of proxies come to, by domain.
    pub descriptors: Vec<limit::rules::Domain>,
    /// Threads that serve. Default one a core; at least 1.
    pub workers: usize,
    /// Connections open at once; more are closed as they arrive. Default 12 288; a
    /// process that reads its configuration takes as many as fit a quarter of the
    /// cache's budget, from 128 to 12 288. One takes 34 KiB when idle, 10 000 of them
    /// 331 MiB; one that has said nothing takes far less.
    pub max_connections: usize,
    /// Calls open at once on one connection. Default 16 384; `in_flight` bounds what
    /// all of them hold together.
    pub max_calls: u32,
    /// Bytes that calls may hold at once, over all connections: messages being
    /// received or handled, replies not yet written, and 2 KiB a call for itself.
    /// What is beyond is refused with `RESOURCE_EXHAUSTED` and when to try again.
    /// Default 64 MiB, or half of the cache's budget where that is less: about 30 000 calls that wait, or 16 of the largest messages.
    /// Less than a few MiB refuses large values even when nothing else goes on.
    pub in_flight: u64,
    /// How long a peer may take to begin to speak, to send a message whole, to take
    /// a reply, and to answer a ping. A message that is late is refused; otherwise
    /// the connection is closed. Default 20 s.
    pub patience: Duration,
    /// A peer is asked whether it still lives when it was silent for so long.
    /// Default 30 s.
    pub ping_every: Duration,
    /// How often two tenants of the sidecar's own check that tenants do not see or change
    /// what is another's; zero is never. Default zero. A round is about forty calls.
    pub canary: Duration,
    /// How long calls in flight get once the sidecar was told to end. Default
    /// 25 s, inside the 30 s a pod is given.
    pub drain: Duration,
    /// What the process says. A sidecar starts no log by itself.
    pub log: Log,
    /// Where traces go.
    pub tracing: Tracing,
    /// Where all this was read, so that it can be read again.
    pub source: Option<Sourced>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Some(DEFAULT_LISTEN),
            socket: Some(Socket {
                path: PathBuf::from(DEFAULT_SOCKET),
                optional: true,
            }),
            probe: Some(DEFAULT_PROBE),
            admin: Some(DEFAULT_ADMIN),
            cache: cache::Config::default(),
            limits: limit::Config::default(),
            tenancy: Tenancy::default(),
            max_unknown_tenants: Strangers::MOST,
            descriptors: Vec::new(),
            workers: table::cores(),
            max_connections: MOST_CONNECTIONS,
            max_calls: 16_384,
            in_flight: 64 << 20,
            patience: Duration::from_secs(20),
            ping_every: Duration::from_secs(30),
            canary: Duration::ZERO,
            drain: Duration::from_secs(25),
            log: Log {
                format: log::Format::Text,
                filter: "info".to_owned(),
            },
            tracing: Tracing {
                endpoint: None,
                sample: 0.01,
            },
            source: None,
        }
    }
}

impl Config {
    /// On free ports of the loopback interface, without a socket: for tests and
    /// benchmarks beside others.
    #[must_use]
    pub fn on_free_ports() -> Self {
        let free = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            listen: Some(free),
            socket: None,
            probe: Some(free),
            admin: Some(free),
            ..Self::default()
        }
    }
}
