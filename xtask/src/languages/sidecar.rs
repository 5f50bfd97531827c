//! The sidecar that the programs talk to: the real binary, on a free port and on a socket of its own.

use std::{
    fs,
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
pub(super) fn build() -> Result<PathBuf, Failure> {
    let printed = command::output_of(&mut command::cargo(&[
        "build",
        "-p",
        "millpond-sidecar",
        "--bin",
        "millpond",
        "--message-format=json-render-diagnostics",
    ]))?;
    let executable = printed.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.ok_or_else(|| Failure::new("cargo built no millpond"))
}

/// A running sidecar; it ends when this is dropped.
pub(super) struct Sidecar {
    child: Child,
    folder: PathBuf,
    pub(super) http: String,
    pub(super) unix: String,
}

impl Sidecar {
    pub(super) fn start(binary: &Path) -> Result<Self, Failure> {
        // Not under target: a socket's path has at most 107 bytes.
        let folder =
            std::env::temp_dir().join(format!("millpond-languages-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--no-probe",
                "--no-admin",
                "--socket",
            ])
            .arg(folder.join("pond.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let mut sidecar = Self {
            child,
            folder,
            http: String::new(),
            unix: String::new(),
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
        while sidecar.http.is_empty() || sidecar.unix.is_empty() {
            let line = heard
                .recv_timeout(START_LIMIT)
                .map_err(|_| Failure::new("the sidecar did not say where it listens"))??;
            match line.trim().strip_prefix("cache").map(str::trim) {
                Some(address) if address.starts_with("http:") => {
                    address.clone_into(&mut sidecar.http)
                }
                Some(address) if address.starts_with("unix:") => {
                    address.clone_into(&mut sidecar.unix)
                }
                _ => {}
            }
        }
        Ok(sidecar)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}
