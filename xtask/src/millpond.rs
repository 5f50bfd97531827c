//! The real binary: built, and served on free ports.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{command, failure::Failure};

/// What a start takes, many times over.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Builds the binary, and says where it is.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let printed = command::output_of(&mut command::cargo(&[
        "build",
        "--package",
        "millpond-sidecar",
        "--bin",
        "millpond",
        "--message-format=json-render-diagnostics",
    ]))?;
    let executable = printed.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.ok_or_else(|| Failure::new("cargo built no `millpond`"))
}

/// The binary, without what the environment of whoever runs this would tell it.
pub(crate) fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLPOND_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A sidecar that serves; killed when this is dropped.
pub(crate) struct Serving {
    child: Child,
    /// Where it listens, as it said; empty where it does not.
    pub(crate) http: String,
    pub(crate) unix: String,
    pub(crate) probe: String,
    pub(crate) admin: String,
}

impl Serving {
    /// `serve` on free ports of the loopback interface, but for what the arguments say.
    pub(crate) fn start<S: AsRef<OsStr>>(
        binary: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self, Failure> {
        let mut child = command(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        // From here on it is killed whatever fails.
        let mut serving = Self {
            child,
            http: String::new(),
            unix: String::new(),
            probe: String::new(),
            admin: String::new(),
        };
        let (said, heard) = mpsc::channel();
        thread::spawn(move || {
            // To the end, or the sidecar could not say any more.
            for line in stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines())
            {
                drop(said.send(line));
            }
        });
        loop {
            let line = heard
                .recv_timeout(START_LIMIT)
                .map_err(|_| Failure::new("the sidecar did not say where it listens"))??;
            let mut words = line.split_whitespace();
            let (what, address) = (words.next(), words.next().unwrap_or_default());
            let kept = match what {
                Some("cache") if address.starts_with("http:") => &mut serving.http,
                Some("cache") if address.starts_with("unix:") => &mut serving.unix,
                Some("probe") if address.starts_with("http:") => &mut serving.probe,
                Some("admin") if address.starts_with("http:") => &mut serving.admin,
                Some("Ctrl-C") => return Ok(serving),
                _ => continue,
            };
            address.clone_into(kept);
        }
    }

    /// Waits for its end, which somebody has told it.
    pub(crate) fn ended(mut self) -> Result<(), Failure> {
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("the sidecar ended with {status}")))
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
