//! The real binary: what it exposes, which commands it has, which configurations it takes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::{Breach, chart::Rendering, exposition::Exposition, workshop};
use crate::{command, failure::Failure};

/// Of a scrape, and of the binary's start.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines that a start prints, and more.
const MAX_GREETING: usize = 40;

pub(super) struct Millpond(PathBuf);

impl Millpond {
    /// As `cargo build` makes it.
    pub(super) fn built() -> Result<Self, Failure> {
        let printed = command::output_of(&mut command::cargo(&[
            "build",
            "--package",
            "millpond-sidecar",
            "--bin",
            "millpond",
            "--message-format=json-render-diagnostics",
        ]))?;
        let messages = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let built = messages
            .filter(|message| message["target"]["name"] == "millpond")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        built
            .map(Self)
            .ok_or_else(|| Failure::new("cargo built no `millpond`"))
    }

    /// The binary, without what the environment of whoever runs this would tell it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MILLPOND_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    fn said(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.command().args(arguments).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(Failure::new(
            String::from_utf8_lossy(&said).trim().to_owned(),
        ))
    }

    /// Its commands, as its help lists them.
    pub(super) fn commands(&self) -> Result<Vec<String>, Failure> {
        let help = self.said(&["--help"])?;
        let list = help.split("Commands:\n").nth(1).unwrap_or_default();
        let lines = list.lines().take_while(|line| line.starts_with("  "));
        let words = lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
        Ok(words.map(str::to_owned).collect())
    }

    /// The JSON Schema of its configuration.
    pub(super) fn schema(&self) -> Result<String, Failure> {
        self.said(&["check", "--schema"])
    }

    /// Every configuration that the chart and kustomize put into a ConfigMap, to its strict reader.
    pub(super) fn accepts_configurations(
        &self,
        renderings: &[Rendering],
    ) -> Result<Vec<Breach>, Failure> {
        let mut breaches = Vec::new();
        let mut seen = 0;
        for rendering in renderings {
            let configurations = rendering
                .documents
                .iter()
                .filter_map(|document| document["data"]["millpond.yaml"].as_str());
            for configuration in configurations {
                seen += 1;
                let file = workshop().join("millpond.yaml");
                fs::write(&file, configuration)?;
                if let Err(failure) = self.said(&["check", &file.display().to_string()]) {
                    breaches.push(format!("{}: {failure}", rendering.name));
                }
            }
        }
        if seen < renderings.len() {
            breaches.push(format!(
                "{seen} configurations in {} renderings",
                renderings.len()
            ));
        }
        Ok(breaches)
    }

    /// Starts it on free ports and reads its metrics.
    pub(super) fn scrape(&self) -> Result<Exposition, Failure> {
        let mut command = self.command();
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--probe",
            "127.0.0.1:0",
            "--no-socket",
            "--no-admin",
        ]);
        let mut running = Running(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let stdout = running.0.stdout.take().expect("it was asked for");
        let address = BufReader::new(stdout)
            .lines()
            .take(MAX_GREETING)
            .map_while(Result::ok)
            .find_map(|line| {
                let rest = line
                    .trim()
                    .strip_prefix("probe")?
                    .trim_start()
                    .strip_prefix("http://")?
                    .to_owned();
                rest.split_whitespace().next().map(str::to_owned)
            })
            .ok_or_else(|| Failure::new("millpond did not say where its probes are"))?;
        let page = get(&address, "/metrics")?;
        Ok(Exposition::read(&page))
    }
}

/// Ends with whoever holds it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn get(address: &str, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let accept = "application/openmetrics-text";
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Failure::new("not an answer of HTTP"))?;
    if !head.contains(" 200 ") || !body.ends_with("# EOF\n") {
        return Err(Failure::new(format!(
            "{path}: {}",
            head.lines().next().unwrap_or_default()
        )));
    }
    Ok(body.to_owned())
}
