//! Manifests: against the schemas of Kubernetes, and against one another.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value};

use super::{
    Breach,
    chart::{OLDEST, Rendering},
    tools::Tools,
    workshop,
};
use crate::failure::Failure;

/// What the Prometheus operator defines: kind, version, and the fields that must be there, as lists.
const OF_THE_OPERATOR: &[(&str, &str)] = &[
    ("PodMonitor", "/spec/podMetricsEndpoints"),
    ("PrometheusRule", "/spec/groups"),
];
const OPERATOR_VERSION: &str = "monitoring.coreos.com/v1";

/// Every document is judged by somebody: Kubernetes' schemas in two versions, or us. kubernetes-validate only warns
/// of a kind that it does not know, so what it judged is counted.
pub(super) fn validate(tools: &Tools, renderings: &[Rendering]) -> Result<Vec<Breach>, Failure> {
    let newest = tools.newest_kubernetes()?;
    let mut breaches = Vec::new();
    for rendering in renderings {
        let (custom, core): (Vec<_>, Vec<_>) = rendering
            .documents
            .iter()
            .partition(|document| document["apiVersion"] == OPERATOR_VERSION);
        for document in custom {
            breaches.extend(misshapen(document).map(|why| format!("{}: {why}", rendering.name)));
        }
        let file = write(rendering, &core)?;
        for kubernetes in [OLDEST, &newest] {
            let output = tools
                .kubernetes_validate()
                .args(["--strict", "-k", kubernetes])
                .arg(&file)
                .output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            let passed = format!("against version {kubernetes}");
            let judged = said
                .lines()
                .filter(|line| line.starts_with("INFO") && line.ends_with(&passed))
                .count();
            if !output.status.success() || judged != core.len() {
                let wrong: Vec<_> = said
                    .lines()
                    .filter(|line| !line.starts_with("INFO"))
                    .collect();
                breaches.push(format!(
                    "{}: {judged} of {} manifests pass for Kubernetes {kubernetes}: {}{}",
                    rendering.name,
                    core.len(),
                    wrong.join("; "),
                    String::from_utf8_lossy(&output.stderr).trim(),
                ));
            }
        }
    }
    Ok(breaches)
}

/// As JSON, which is YAML, so that no second writer of YAML is needed.
fn write(rendering: &Rendering, documents: &[&Value]) -> Result<PathBuf, Failure> {
    let folder = workshop().join("rendered");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}.yaml", rendering.name.replace(' ', "-")));
    let documents: Vec<_> = documents
        .iter()
        .map(|document| format!("---\n{document:#}\n"))
        .collect();
    fs::write(&file, documents.concat())?;
    Ok(file)
}

fn misshapen(document: &Value) -> Option<String> {
    let name = name(document);
    let kind = document["kind"].as_str().unwrap_or_default();
    let Some((_, list)) = OF_THE_OPERATOR.iter().find(|(known, _)| *known == kind) else {
        return Some(format!("{kind}/{name}: nobody here knows this kind"));
    };
    if document
        .pointer(list)
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        return Some(format!(
            "{kind}/{name}: {list} is not a list with something in it"
        ));
    }
    if kind == "PodMonitor"
        && document["spec"]["selector"]["matchLabels"]
            .as_object()
            .is_none_or(Map::is_empty)
    {
        return Some(format!("{kind}/{name}: it selects every pod"));
    }
    let rules = document["spec"]["groups"].as_array().into_iter().flatten();
    let rules = rules.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let mut wrong = rules.filter(|rule| {
        !rule["expr"].is_string() || (rule["alert"].is_string() == rule["record"].is_string())
    });
    wrong
        .next()
        .map(|rule| format!("{kind}/{name}: not a rule: {rule}"))
}

fn name(document: &Value) -> &str {
    document["metadata"]["name"].as_str().unwrap_or("?")
}

/// A workload's pods: their template, or a pod itself.
fn pod(workload: &Value) -> &Value {
    workload.pointer("/spec/template").unwrap_or(workload)
}

/// The sidecar's container in a workload.
pub(super) fn sidecar(workload: &Value) -> Option<&Value> {
    let containers = pod(workload).pointer("/spec/initContainers")?.as_array()?;
    containers
        .iter()
        .find(|container| container["name"] == "millpond")
}

pub(super) fn names_agree(renderings: &[Rendering]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for rendering in renderings {
        let mut broken = |what: String| breaches.push(format!("{}: {what}", rendering.name));
        let of_kind = |kind: &'static str| {
            rendering
                .documents
                .iter()
                .filter(move |document| document["kind"] == kind)
        };
        let workloads: Vec<_> = rendering
            .documents
            .iter()
            .filter(|document| sidecar(document).is_some())
            .collect();
        for workload in &workloads {
            let pod = pod(workload);
            let container = sidecar(workload).expect("workloads are those that have one");
            for fault in faults_of_sidecar(container, pod) {
                broken(format!("{}: {fault}", name(workload)));
            }
            let configurations = of_kind("ConfigMap");
            let configuration =
                configurations.filter_map(|map| map["data"]["millpond.yaml"].as_str());
            if let Some(fault) = configuration
                .filter_map(|text| fault_of_hook(container, text))
                .next()
            {
                broken(format!("{}: {fault}", name(workload)));
            }
            for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
                let Some(wanted) = volume["configMap"]["name"].as_str() else {
                    continue;
                };
                if !of_kind("ConfigMap").any(|config| name(config) == wanted) {
                    broken(format!(
                        "{}: there is no ConfigMap {wanted}",
                        name(workload)
                    ));
                }
            }
            let labels = &pod["metadata"]["labels"];
            for (kind, selector) in [
                ("PodMonitor", "/spec/selector/matchLabels"),
                ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ] {
                for document in of_kind(kind) {
                    if !document
                        .pointer(selector)
                        .is_some_and(|selector| selects(selector, labels))
                    {
                        broken(format!(
                            "{kind}/{} does not select the pods of {}",
                            name(document),
                            name(workload)
                        ));
                    }
                }
            }
            for endpoint in of_kind("PodMonitor").flat_map(|monitor| {
                monitor["spec"]["podMetricsEndpoints"]
                    .as_array()
                    .into_iter()
                    .flatten()
            }) {
                let ports = container["ports"].as_array().into_iter().flatten();
                if !ports
                    .into_iter()
                    .any(|port| port["name"] == endpoint["port"])
                {
                    broken(format!(
                        "no port of the sidecar is named {}",
                        endpoint["port"]
                    ));
                }
            }
        }
        // Nothing to agree with is no agreement: all but the defaults have a workload.
        if workloads.is_empty() && !rendering.name.starts_with("default") {
            broken("no workload has the sidecar".to_owned());
        }
    }
    breaches
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object();
    wanted.is_some_and(|wanted| {
        wanted
            .iter()
            .all(|(label, value)| labels.get(label) == Some(value))
    })
}

/// What a native sidecar of ours always has, whatever the values are.
fn faults_of_sidecar(container: &Value, pod: &Value) -> Vec<String> {
    let port = &container["ports"][0]["containerPort"];
    let mut wanted = vec![
        ("/restartPolicy", Value::from("Always")),
        ("/securityContext/runAsNonRoot", true.into()),
        ("/securityContext/readOnlyRootFilesystem", true.into()),
        ("/securityContext/allowPrivilegeEscalation", false.into()),
        ("/securityContext/capabilities/drop/0", "ALL".into()),
        (
            "/securityContext/seccompProfile/type",
            "RuntimeDefault".into(),
        ),
    ];
    for (path, place) in [
        ("/startupProbe/httpGet/path", "/startupz"),
        ("/livenessProbe/httpGet/path", "/livez"),
        ("/readinessProbe/httpGet/path", "/readyz"),
    ] {
        wanted.push((path, place.into()));
    }
    for path in [
        "/startupProbe/httpGet/port",
        "/livenessProbe/httpGet/port",
        "/readinessProbe/httpGet/port",
    ] {
        wanted.push((path, port.clone()));
    }
    let mut faults: Vec<_> = wanted
        .into_iter()
        .filter(|(path, value)| container.pointer(path) != Some(value))
        .map(|(path, value)| format!("{path} is not {value}"))
        .collect();
    if !pod["spec"]["securityContext"]["fsGroup"].is_u64() {
        faults.push("without fsGroup the application cannot use the socket".to_owned());
    }
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    if mounts
        .into_iter()
        .any(|mount| mount.get("subPath").is_some())
    {
        faults.push("a file mounted by subPath is never reloaded".to_owned());
    }
    faults
}

/// A hook that drains has to call the port that the configuration names.
fn fault_of_hook(container: &Value, configuration: &str) -> Option<String> {
    let command = container.pointer("/lifecycle/preStop/exec/command")?;
    let words: Vec<&str> = command
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut lines = configuration.lines();
    let admin = lines.find_map(|line| line.strip_prefix("admin: "));
    let called = words.iter().skip_while(|word| **word != "--admin").nth(1);
    (called.copied() != admin)
        .then(|| format!("the preStop hook calls {called:?}, the admin port is {admin:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hook_calls_the_port_that_is_configured() {
        let hook =
            |command: &[&str]| json!({"lifecycle": {"preStop": {"exec": {"command": command}}}});
        let (plain, moved) = ("log:\n  admin: x\n", "admin: 127.0.0.1:7571\n");
        let own = hook(&["/millpond", "drain", "--admin", "127.0.0.1:7571"]);
        assert_eq!(fault_of_hook(&own, moved), None);
        assert_eq!(fault_of_hook(&hook(&["/millpond", "drain"]), plain), None);
        assert_eq!(fault_of_hook(&json!({}), moved), None);
        assert!(fault_of_hook(&hook(&["/millpond", "drain"]), moved).is_some());
        assert!(fault_of_hook(&own, plain).is_some());
    }
}
