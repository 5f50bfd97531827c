//! The chart, through Helm.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::{
    Breach,
    tools::{Tools, verdict},
    workshop,
};
use crate::{command, failure::Failure, workspace};

/// The oldest Kubernetes with native sidecars switched on.
pub(super) const OLDEST: &str = "1.29";

/// Manifests that are applied together, and how they came about.
pub(super) struct Rendering {
    pub(super) name: String,
    pub(super) documents: Vec<Value>,
}

/// Values that are refused, and the word of the refusal that names them.
const REFUSED: &[(&str, &str)] = &[
    ("replicas=3", "replicas"),
    ("image.tag=a b", "image.tag"),
    ("image.digest=sha256:abc", "image.digest"),
    ("image.pullPolicy=Sometimes", "image.pullPolicy"),
    ("image.repository=", "image.repository"),
    ("config.apiVersion=millpond/v2", "config.apiVersion"),
    ("config=null", "config"),
    ("configMap.update=later", "configMap.update"),
    ("sidecar.preStop=sleep", "sidecar.preStop"),
    (
        "sidecar.resources.limits.memory=lots",
        "sidecar.resources.limits.memory",
    ),
    ("sidecar.resources.limits.disk=1Gi", "disk"),
    (
        "sidecar.livenessProbe.periodSeconds=0",
        "sidecar.livenessProbe.periodSeconds",
    ),
    ("sidecar.startupProbe.failureTreshold=3", "failureTreshold"),
    ("sidecar.env[0].value=x", "sidecar.env.0"),
    ("socket.group=root", "socket.group"),
    ("socket.group=0", "socket.group"),
    ("podMonitor.interval=often", "podMonitor.interval"),
    ("networkPolicy.enabled=true", "applicationIngress"),
    ("alerts.runbookBase=wiki", "alerts.runbookBase"),
    ("fullnameOverride=Orders", "fullnameOverride"),
    ("config.probe=127.0.0.1:7472", "config.probe"),
    ("config.probe=0.0.0.0:0", "config.probe"),
    ("config.probe=off,example.enabled=true", "config.probe"),
    ("config.socket=/tmp/millpond.sock", "config.socket"),
    ("config.admin=off,sidecar.preStop=drain", "sidecar.preStop"),
    (
        "configText=admin: off,sidecar.preStop=drain",
        "sidecar.preStop",
    ),
];

fn charts() -> PathBuf {
    workspace::root().join("deploy/helm")
}

/// Files of values, each a case; sorted.
fn cases() -> Result<Vec<PathBuf>, Failure> {
    let mut files = workspace::files_under(&charts().join("millpond/ci"))?;
    files.sort();
    if files.is_empty() {
        return Err(Failure::new("the chart has no values to be tried with"));
    }
    Ok(files)
}

pub(super) fn lints(tools: &Tools) -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for case in cases()? {
        let mut lint = tools.helm();
        lint.args(["lint", "--strict"])
            .arg(charts().join("millpond"))
            .arg("-f")
            .arg(case);
        breaches.extend(verdict(&mut lint)?);
    }
    breaches.extend(verdict(
        tools
            .helm()
            .args(["lint", "--strict"])
            .arg(with_dependency(tools)?),
    )?);
    Ok(breaches)
}

/// The example of a chart that depends on this one, with the dependency in its place; in a copy, for the tree to stay.
fn with_dependency(tools: &Tools) -> Result<PathBuf, Failure> {
    let copy = workshop().join("charts");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    command::output_of(Command::new("cp").arg("-r").arg(charts()).arg(&copy))?;
    let orders = copy.join("orders");
    command::output_of(tools.helm().args(["dependency", "build"]).arg(&orders))?;
    Ok(orders)
}

pub(super) fn renderings(tools: &Tools) -> Result<Vec<Rendering>, Failure> {
    let newest = tools.newest_kubernetes()?;
    let orders = with_dependency(tools)?;
    let mut renderings = Vec::new();
    for kubernetes in [OLDEST, &newest] {
        for case in cases()? {
            let name = case
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned());
            let name = format!("{} {kubernetes}", name.unwrap_or_default());
            let mut template = template(tools, &charts().join("millpond"), kubernetes);
            let yaml = command::output_of(template.arg("-f").arg(case))?;
            renderings.push(Rendering {
                name,
                documents: tools.documents(&yaml)?,
            });
        }
        let yaml = command::output_of(&mut template(tools, &orders, kubernetes))?;
        let name = format!("dependency {kubernetes}");
        renderings.push(Rendering {
            name,
            documents: tools.documents(&yaml)?,
        });
    }
    Ok(renderings)
}

fn template(tools: &Tools, chart: &std::path::Path, kubernetes: &str) -> Command {
    let mut helm = tools.helm();
    helm.args(["template", "orders"]).arg(chart).args([
        "--namespace",
        "shop",
        "--kube-version",
        kubernetes,
    ]);
    helm
}

pub(super) fn refuses_bad_values(tools: &Tools) -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for (values, named) in REFUSED {
        let mut template = template(tools, &charts().join("millpond"), OLDEST);
        let output = template
            .args(["--set", values, "--set", "example.enabled=true"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            breaches.push(format!("the chart takes {values}"));
        } else if !said.contains(named) {
            breaches.push(format!(
                "the refusal of {values} does not name {named}: {}",
                said.trim()
            ));
        }
    }
    Ok(breaches)
}
