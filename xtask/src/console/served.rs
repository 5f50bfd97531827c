//! A sidecar on free ports, and load on it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::{failure::Failure, workspace};

/// The sidecar; killed when this is dropped.
pub(super) struct Served {
    child: Child,
    cache: String,
    probe: String,
    admin: String,
}

/// Where cargo puts what it builds.
fn binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace::root().join("target"), PathBuf::from);
    target.join("debug/millpond")
}

impl Served {
    pub(super) fn start() -> Result<Self, Failure> {
        let child = Command::new(binary())
            .args(["serve", "--no-socket", "--memory", "2MiB", "--drain", "5s"])
            .args(["--listen", "127.0.0.1:0", "--probe", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--log", "warn"])
            .stdout(Stdio::piped())
            .spawn()?;
        // From here on it is killed whatever fails.
        let mut served = Self {
            child,
            cache: String::new(),
            probe: String::new(),
            admin: String::new(),
        };
        let said = served.child.stdout.take();
        let said = said.ok_or_else(|| Failure::new("the sidecar has no stdout"))?;
        for line in BufReader::new(said).lines() {
            let line = line?;
            let mut words = line.split_whitespace();
            let (what, address) = (words.next(), words.next().unwrap_or_default());
            match what {
                Some("cache") if address.starts_with("http:") => served.cache = address.to_owned(),
                Some("probe") => served.probe = address.replace("http://", ""),
                Some("admin") => served.admin = address.to_owned(),
                Some("Ctrl-C") => break,
                _ => {}
            }
        }
        if [&served.cache, &served.probe, &served.admin]
            .iter()
            .any(|it| it.is_empty())
        {
            return Err(Failure::new("the sidecar did not say where it listens"));
        }
        Ok(served)
    }

    /// The console's address.
    pub(super) fn console(&self) -> &str {
        &self.admin
    }

    /// What a `GET` of the admin port answers.
    pub(super) fn get(&self, path: &str) -> Result<String, Failure> {
        self.ask(&format!("GET {path}"), "")
    }

    /// Drains it, and waits for its end.
    pub(super) fn drain(mut self) -> Result<(), Failure> {
        self.ask("POST /drain?wait", "X-Millpond: drain\r\n")?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("the sidecar ended with {status}")))
        }
    }

    fn ask(&self, request: &str, headers: &str) -> Result<String, Failure> {
        let address = self.admin.replace("http://", "");
        let mut stream = TcpStream::connect(&address)?;
        let text =
            format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(text.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 2") => Ok(body.to_owned()),
            _ => Err(Failure::new(format!("{request}: {answer}"))),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended by itself when all went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Callers; killed when this is dropped.
pub(super) struct Load(Child);

impl Load {
    /// Reads of more keys than there is room for, refreshed behind stale answers.
    pub(super) fn start(served: &Served) -> Result<Self, Failure> {
        let child = Command::new(binary())
            .args(["bench", "--zipf", "20000", "--accesses", "20000000"])
            .args([
                "--fresh-ms",
                "400",
                "--stale-ms",
                "60000",
                "--loader-ms",
                "2",
            ])
            .args(["--callers", "8", "--quiet", "--addr", &served.cache])
            .args(["--probe", &served.probe])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
