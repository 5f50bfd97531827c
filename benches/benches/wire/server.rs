//! The gRPC servers, each this executable again.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use millpond_core::cache::{self, Policy, Write as Entry};
use millpond_proto::v1::cache_service_server::CacheServiceServer;
use millpond_sidecar::{Config, Sidecar, Socket};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::Service;

use crate::VALUE_BYTES;
use crate::callers::{CACHE, KEY, TENANT};
use crate::handler::Constant;

const KIND: &str = "MILLPOND_WIRE_SERVER";
const SOCKET: &str = "MILLPOND_WIRE_SOCKET";

/// What the sidecar's connections are served with.
const CONNECTION_WINDOW: u32 = 4 << 20;
const CALL_WINDOW: u32 = 1 << 20;
const MAX_CALLS: u32 = 16_384;
const MAX_HEADER_BYTES: u32 = 16 << 10;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The sidecar, with one worker.
    Millpond,
    /// A constant reply of a hit's size, served as the sidecar serves: hyper, and the
    /// service without a router.
    Constant,
    /// The same of an empty reply.
    Empty,
    /// A constant reply of a hit's size, served by `tonic::transport::Server`.
    Tonic,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Millpond, Self::Constant, Self::Empty, Self::Tonic];

    /// The server that this process is to be.
    pub(crate) fn asked_for() -> Option<Self> {
        let name = std::env::var(KIND).ok()?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Millpond => "millpond",
            Self::Constant => "constant",
            Self::Empty => "empty",
            Self::Tonic => "tonic",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Millpond => "Millpond, 1 worker",
            Self::Constant => "empty handler, a hit's bytes, served alike",
            Self::Empty => "empty handler, no bytes, served alike",
            Self::Tonic => "empty handler, a hit's bytes, tonic's Server",
        }
    }
}

/// A server as a child process. It ends when its stdin is closed: with its parent too.
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    pub(crate) fn start(kind: Kind) -> io::Result<Self> {
        let name = format!("millpond-wire-{}-{}.sock", std::process::id(), kind.name());
        let socket = std::env::temp_dir().join(name);
        let mut child = Command::new(std::env::current_exe()?)
            .env(KIND, kind.name())
            .env(SOCKET, &socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        if ready.is_empty() {
            return Err(io::Error::other("the server ended before it served"));
        }
        Ok(Self { child, socket })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.socket));
    }
}

/// The child: serves until its stdin is closed.
pub(crate) fn run(kind: Kind) -> Result<(), Box<dyn Error + Send + Sync>> {
    let socket = PathBuf::from(std::env::var_os(SOCKET).ok_or("no socket was named")?);
    std::thread::spawn(|| {
        drop(io::stdin().read(&mut [0]));
        std::process::exit(0);
    });
    let service = match kind {
        Kind::Millpond => return millpond(socket),
        Kind::Constant | Kind::Tonic => Constant::like_a_hit(),
        Kind::Empty => Constant::empty(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(&socket)?;
        ready()?;
        match kind {
            Kind::Tonic => plainly(listener, service).await,
            _ => alike(listener, service).await,
        }
    })
}

fn ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "ready")?;
    stdout.flush()
}

fn millpond(path: PathBuf) -> Result<(), Box<dyn Error + Send + Sync>> {
    let lasting = Policy {
        fresh: Policy::MAX_TIME,
        jitter: 0.0,
        ..Policy::undeclared()
    };
    let running = Sidecar::start(Config {
        listen: None,
        socket: Some(Socket {
            path,
            optional: false,
        }),
        probe: None,
        admin: None,
        workers: 1,
        cache: cache::Config {
            undeclared: lasting,
            ..cache::Config::default()
        },
        ..Config::default()
    })?;
    let pond = Arc::clone(running.pond());
    let scope = pond.scope_named(TENANT, CACHE)?;
    let entry = Entry::value(vec![7; VALUE_BYTES]);
    pond.set(&scope, KEY.as_bytes(), entry)?;
    ready()?;
    running.join();
    Ok(())
}

/// As the sidecar serves: the same settings, and nothing between hyper and the service.
async fn alike(
    listener: UnixListener,
    service: Constant,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service = CacheServiceServer::new(service);
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(CALL_WINDOW)
        .max_concurrent_streams(MAX_CALLS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    loop {
        let (stream, _) = listener.accept().await?;
        let (http2, service) = (http2.clone(), service.clone());
        tokio::spawn(async move {
            let call = service_fn(|request: Request<Incoming>| service.clone().call(request));
            drop(http2.serve_connection(TokioIo::new(stream), call).await);
        });
    }
}

async fn plainly(
    listener: UnixListener,
    service: Constant,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    tonic::transport::Server::builder()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(CALL_WINDOW)
        .add_service(CacheServiceServer::new(service))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}
