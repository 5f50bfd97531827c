//! The sidecar beside Envoy: the real binary, with the rules of the example.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use super::http;
use crate::{command, failure::Failure, workspace};

/// Killed when this is dropped, as by a node that fails.
pub(super) struct Sidecar {
    child: Child,
    port: u16,
    probe: String,
}

impl Sidecar {
    pub(super) fn start(listen: &str) -> Result<Self, Failure> {
        command::run(&mut command::cargo(&[
            "build",
            "-q",
            "-p",
            "millpond-sidecar",
            "--bin",
            "millpond",
        ]))?;
        let child = Command::new(workspace::target().join("debug/millpond"))
            .args([
                "serve",
                "--no-socket",
                "--no-admin",
                "--log",
                "warn",
                "--listen",
                listen,
            ])
            .args(["--probe", "127.0.0.1:0", "--config"])
            .arg(workspace::root().join("deploy/envoy/millpond.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        // From here on it is killed whatever fails.
        let mut sidecar = Self {
            child,
            port: 0,
            probe: String::new(),
        };
        let said = sidecar.child.stdout.take();
        let said = said.ok_or_else(|| Failure::new("the sidecar has no stdout"))?;
        for line in BufReader::new(said).lines() {
            let line = line?;
            let mut words = line.split_whitespace();
            let (what, address) = (words.next(), words.next().unwrap_or_default());
            match what {
                Some("cache") if address.starts_with("http:") => {
                    let port = address.rsplit(':').next();
                    sidecar.port = port.and_then(|port| port.parse().ok()).unwrap_or_default();
                }
                Some("probe") => sidecar.probe = address.replace("http://", ""),
                Some("Ctrl-C") => break,
                _ => {}
            }
        }
        if sidecar.port == 0 || sidecar.probe.is_empty() {
            return Err(Failure::new("the sidecar did not say where it listens"));
        }
        Ok(sidecar)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the calls of the proxies are counted.
    pub(super) fn counts(&self) -> Result<(), Failure> {
        let page = http::get(&self.probe, "/metrics", &[])?.body;
        let begins = "millpond_rpc_requests_total{method=\"ShouldRateLimit\",code=\"OK\"} ";
        let count = page.lines().find_map(|line| line.strip_prefix(begins));
        match count.and_then(|count| count.parse::<u64>().ok()) {
            Some(count) if count > 0 => Ok(()),
            _ => Err(Failure::new(format!("no line {begins}… with a count"))),
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
