//! The kustomize example, and that its parts say what the chart says.

use serde_json::Value;

use super::{Breach, chart::Rendering, manifests::sidecar, tools::Tools};
use crate::{failure::Failure, workspace};

const NAME: &str = "kustomize";

pub(super) fn rendering(tools: &Tools) -> Result<Rendering, Failure> {
    let yaml = tools.kustomized(&workspace::root().join("deploy/kustomize/example"))?;
    Ok(Rendering {
        name: NAME.to_owned(),
        documents: tools.documents(&yaml)?,
    })
}

/// One container, one monitor, whichever way they came into the cluster.
pub(super) fn agrees_with(renderings: &[Rendering]) -> Vec<Breach> {
    let container = |rendering: &Rendering| rendering.documents.iter().find_map(sidecar).cloned();
    let monitor = |rendering: &Rendering| {
        let monitors = rendering
            .documents
            .iter()
            .find(|document| document["kind"] == "PodMonitor");
        monitors.map(|monitor| monitor["spec"]["podMetricsEndpoints"].clone())
    };
    let find = |name: &str| {
        renderings
            .iter()
            .find(|rendering| rendering.name.starts_with(name))
    };
    let (Some(ours), Some(theirs)) = (find(NAME), find("dependency")) else {
        return vec!["there is nothing to compare".to_owned()];
    };
    let pairs: [(&str, Option<Value>, Option<Value>); 2] = [
        ("sidecar", container(ours), container(theirs)),
        ("PodMonitor", monitor(ours), monitor(theirs)),
    ];
    let mut breaches = Vec::new();
    for (what, ours, theirs) in pairs {
        if ours.is_none() || ours != theirs {
            breaches.push(format!(
                "the {what} of kustomize differs from the chart's:\n    {}\n    {}",
                ours.unwrap_or_default(),
                theirs.unwrap_or_default()
            ));
        }
    }
    breaches
}
