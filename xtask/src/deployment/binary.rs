//! The real binary: what it exposes, which commands it has, which configurations it takes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use super::{Breach, chart::Rendering, exposition::Exposition, workshop};
use crate::{
    failure::Failure,
    millpond::{self, Serving},
};

/// Of a scrape.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Millpond(PathBuf);

impl Millpond {
    /// As `cargo build` makes it.
    pub(super) fn built() -> Result<Self, Failure> {
        millpond::build().map(Self)
    }

    fn said(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = millpond::command(&self.0).args(arguments).output()?;
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
        let flags = ["--probe", "127.0.0.1:0", "--no-socket", "--no-admin"];
        let serving = Serving::start(&self.0, flags)?;
        let address = serving.probe.replace("http://", "");
        let page = get(&address, "/metrics")?;
        Ok(Exposition::read(&page))
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
