//! A sidecar on free ports, and load on it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
};

use crate::{
    failure::Failure,
    millpond::{self, Serving},
};

/// The sidecar; killed when this is dropped.
pub(super) struct Served(Serving);

impl Served {
    pub(super) fn start(binary: &Path) -> Result<Self, Failure> {
        let small = ["--no-socket", "--memory", "2MiB", "--drain", "5s"];
        let ports = ["--probe", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        Serving::start(binary, small.iter().chain(&ports)).map(Self)
    }

    /// The console's address.
    pub(super) fn console(&self) -> &str {
        &self.0.admin
    }

    /// What a `GET` of the admin port answers.
    pub(super) fn get(&self, path: &str) -> Result<String, Failure> {
        self.ask(&format!("GET {path}"), "")
    }

    /// Drains it, and waits for its end.
    pub(super) fn drain(self) -> Result<(), Failure> {
        self.ask("POST /drain?wait", "X-Millpond: drain\r\n")?;
        self.0.ended()
    }

    fn ask(&self, request: &str, headers: &str) -> Result<String, Failure> {
        let address = self.0.admin.replace("http://", "");
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

/// Callers; killed when this is dropped.
pub(super) struct Load(Child);

impl Load {
    /// Reads of more keys than there is room for, refreshed behind stale answers.
    pub(super) fn start(binary: &Path, served: &Served) -> Result<Self, Failure> {
        let probe = served.0.probe.replace("http://", "");
        let child = millpond::command(binary)
            .args(["bench", "--zipf", "20000", "--accesses", "20000000"])
            .args([
                "--fresh-ms",
                "400",
                "--stale-ms",
                "60000",
                "--loader-ms",
                "2",
            ])
            .args(["--callers", "8", "--quiet", "--addr", &served.0.http])
            .args(["--probe", &probe])
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
