//! A sidecar as a child process: started, waited for, asked for its counters, ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::stopwatch::Stopwatch;

/// How long a sidecar that was told to end may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a page of metrics may take.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
/// Variables that would take away what is asked for on the command line.
const CONTRARY: [&str; 4] = [
    "MILLPOND_NO_LISTEN",
    "MILLPOND_NO_SOCKET",
    "MILLPOND_NO_PROBE",
    "MILLPOND_SOCKET",
];

/// Over what a sidecar is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A Unix socket.
    Unix,
    /// TCP over the loopback interface.
    Tcp,
}

/// A sidecar that runs as a child. Dropping it ends it.
#[derive(Debug)]
pub struct SidecarProcess {
    child: Child,
    /// Kept open: a sidecar that writes to nobody would be told so.
    _stdout: BufReader<ChildStdout>,
    address: String,
    probe: String,
    socket: Option<PathBuf>,
}

impl SidecarProcess {
    /// Starts `executable serve` on addresses of its own and waits until it serves.
    /// Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be started or ends before it serves; what it says is on stderr.
    pub fn start(executable: &Path, wire: Wire, budget: u64) -> io::Result<Self> {
        let mut command = Command::new(executable);
        for variable in CONTRARY {
            command.env_remove(variable);
        }
        command.args([
            "serve",
            "--no-admin",
            "--probe",
            "127.0.0.1:0",
            "--drain",
            "0",
        ]);
        command.args(["--log", "warn", "--memory", &budget.to_string()]);
        let socket = match wire {
            Wire::Unix => {
                let name = format!("millpond-bench-{:016x}.sock", fastrand::u64(..));
                let path = std::env::temp_dir().join(name);
                command.arg("--no-listen").arg("--socket").arg(&path);
                Some(path)
            }
            Wire::Tcp => {
                command.args(["--listen", "127.0.0.1:0", "--no-socket"]);
                None
            }
        };
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().map(BufReader::new);
        let mut stdout = stdout.ok_or_else(|| io::Error::other("the sidecar has no stdout"))?;
        match greeting(&mut stdout) {
            Ok((address, probe)) => Ok(Self {
                child,
                _stdout: stdout,
                address,
                probe,
                socket,
            }),
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                Err(error)
            }
        }
    }

    /// Where the cache listens, as a client takes it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where metrics are, as `host:port`.
    #[must_use]
    pub fn probe(&self) -> &str {
        &self.probe
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for SidecarProcess {
    fn drop(&mut self) {
        // What cannot be ended here has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let told = Stopwatch::start();
        while matches!(self.child.try_wait(), Ok(None)) {
            if told.elapsed() > PATIENCE {
                drop(self.child.kill());
                drop(self.child.wait());
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(socket) = &self.socket {
            drop(std::fs::remove_file(socket));
        }
    }
}

/// Reads what a sidecar says once it serves: its cache's and its probe's address.
fn greeting(stdout: &mut impl BufRead) -> io::Result<(String, String)> {
    let mut address = None;
    for line in stdout.lines() {
        let line = line?;
        let word = |label: &str| line.strip_prefix(label)?.split_whitespace().next();
        if let Some(at) = word("  cache   ").filter(|at| *at != "not") {
            address = Some(at.to_owned());
        }
        if let (Some(probe), Some(address)) = (word("  probe   http://"), &address) {
            return Ok((address.clone(), probe.to_owned()));
        }
    }
    Err(io::Error::other("the sidecar ended before it served"))
}

/// A sidecar's page of metrics. Blocks the thread, for milliseconds at most.
///
/// # Errors
/// When nothing answers there, or something else than metrics.
pub fn metrics(probe: &str) -> io::Result<String> {
    let address = probe.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("{probe}: no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, SCRAPE_TIMEOUT)?;
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {probe}\r\nConnection: close\r\n\r\n"
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.split_once("\r\n\r\n") {
        Some((head, page)) if head.starts_with("HTTP/1.1 200 ") => Ok(page.to_owned()),
        _ => Err(io::Error::other(format!("{probe}/metrics: not answered"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_read_from_what_a_sidecar_says() {
        let mut said = "\
millpond 0.1.0: ready after 3 ms, 64 MiB of cache, 2 workers
  cache   not on TCP: switched off
  cache   unix:/tmp/m.sock
  probe   http://127.0.0.1:4711 (/livez /readyz /startupz /metrics)
Try:
"
        .as_bytes();
        let (address, probe) = greeting(&mut said).unwrap();
        assert_eq!((&*address, &*probe), ("unix:/tmp/m.sock", "127.0.0.1:4711"));
        let mut silent = "millpond: unix socket: in use\n".as_bytes();
        assert!(greeting(&mut silent).is_err());
    }
}
