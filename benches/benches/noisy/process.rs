//! The children, each this executable again, and connections to the sidecar.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hyper_util::rt::TokioIo;
use millpond_sidecar::Sidecar;
use millpond_sidecar::config::Source;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::Failure;

const ROLE: &str = "MILLPOND_NOISY_ROLE";
const FILE: &str = "MILLPOND_NOISY_FILE";

/// Connections of each tenant: dealt to the sidecar's workers in turn, so that both
/// tenants are on all of them.
const CONNECTIONS: usize = 2;

/// What a child is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Sidecar,
    Noisy,
}

impl Role {
    pub(crate) fn asked_for() -> Option<Self> {
        match std::env::var(ROLE).ok()?.as_str() {
            "sidecar" => Some(Self::Sidecar),
            _ => Some(Self::Noisy),
        }
    }

    /// This executable as this child. The sidecar ends when its stdin is closed, with its
    /// parent too; the noisy one when its time is over.
    pub(crate) fn command(self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        let name = match self {
            Self::Sidecar => "sidecar",
            Self::Noisy => "noisy",
        };
        command
            .env(ROLE, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Ok(command)
    }
}

/// The sidecar.
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
    file: PathBuf,
    probe: String,
}

impl Server {
    pub(crate) fn start(quiet: &str, noisy: &str) -> Result<Self, Failure> {
        let name = format!("millpond-noisy-{}", std::process::id());
        let socket = std::env::temp_dir().join(format!("{name}.sock"));
        let file = std::env::temp_dir().join(format!("{name}.yaml"));
        let text = format!(
            "apiVersion: millpond/v1
listen: off
admin: off
probe: 127.0.0.1:0
socket: {}
memory: 8MiB
in_flight: 64MiB
caches:
  work: {{fresh: 1h}}
  scan: {{fresh: 1h}}
tiers:
  bench: {{rate: 1000/s, burst: 100}}
tenants:
  quiet: {{tier: bench, {quiet}limits: {{jobs: {{rate: {}/s, burst: {}, apart: true}}}}}}
  noisy: {{tier: bench, {noisy}rate: {}/s}}
unknown_tenants: refuse
",
            socket.display(),
            crate::quiet::JOBS_LIMIT,
            crate::quiet::JOBS_BURST,
            crate::neighbour::LIMIT,
        );
        std::fs::write(&file, text)?;
        let mut child = Role::Sidecar.command()?.env(FILE, &file).spawn()?;
        let mut probe = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut probe)?;
        }
        let probe = probe.trim().to_owned();
        if probe.is_empty() {
            return Err("the sidecar ended before it served".into());
        }
        Ok(Self {
            child,
            socket,
            file,
            probe,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn probe(&self) -> &str {
        &self.probe
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.socket));
        drop(std::fs::remove_file(&self.file));
    }
}

/// The sidecar's process: serves until its stdin is closed.
pub(crate) fn serve() -> Result<(), Failure> {
    let file = PathBuf::from(std::env::var_os(FILE).ok_or("no file was named")?);
    let reading = Source::new(Some(file), |_| None).read()?;
    if let Some(mistake) = reading.mistakes.first() {
        return Err(mistake.to_string().into());
    }
    let running = Sidecar::start(reading.config)?;
    let probe = running.probe().ok_or("it answers no probes")?;
    say(&probe.to_string())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    running.shutdown();
    Ok(())
}

/// Tells the parent.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// One tenant's connections.
pub(crate) async fn channels(socket: &Path) -> Result<Vec<Channel>, Failure> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        let path = socket.to_owned();
        let channel = Endpoint::from_static("http://localhost")
            .connect_with_connector(service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            }))
            .await?;
        channels.push(channel);
    }
    Ok(channels)
}
