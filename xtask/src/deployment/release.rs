//! The rules as the chart puts them into a release: its own series, its own limit, links that lead somewhere.

use std::fs;

use serde_json::Value;

use super::{Breach, chart::Rendering, manifests::sidecar, promql, tools::Tools, workshop};
use crate::failure::Failure;

const NEAR_LIMIT: &str = "MillpondMemoryNearLimit";

pub(super) fn rules_fit(tools: &Tools, renderings: &[Rendering]) -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    let mut seen = 0;
    for rendering in renderings {
        let rules = rendering
            .documents
            .iter()
            .filter(|document| document["kind"] == "PrometheusRule");
        // kustomize's watch every release of their namespace.
        for object in
            rules.filter(|object| object["metadata"]["labels"]["helm.sh/chart"].is_string())
        {
            seen += 1;
            let limit = rendering.documents.iter().find_map(sidecar);
            let limit = limit
                .and_then(|container| container["resources"]["limits"]["memory"].as_str())
                .map(bytes);
            let faults = faults(object, limit);
            breaches.extend(
                faults
                    .into_iter()
                    .map(|fault| format!("{}: {fault}", rendering.name)),
            );
            let file = workshop().join("release.yaml");
            fs::write(&file, object["spec"].to_string())?;
            breaches.extend(tools.check_rules(&file)?);
        }
    }
    if seen == 0 {
        breaches.push("no rendering of the chart has rules".to_owned());
    }
    Ok(breaches)
}

fn faults(object: &Value, limit: Option<u64>) -> Vec<String> {
    let scope = [
        ("namespace", &object["metadata"]["namespace"]),
        ("job", &object["metadata"]["name"]),
    ];
    let groups = object["spec"]["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let mut faults = Vec::new();
    let mut watches_memory = false;
    for rule in rules {
        let expression = rule["expr"].as_str().unwrap_or_default();
        for selector in promql::selectors(expression) {
            let scoped = scope.iter().all(|(label, value)| {
                let mut matchers = selector.matchers.iter();
                matchers.any(|matcher| {
                    matcher.label == *label && matcher.operator == "=" && **value == matcher.value
                })
            });
            if !scoped {
                faults.push(format!(
                    "{} is not of this release alone: {expression}",
                    selector.name
                ));
            }
        }
        let Some(alert) = rule["alert"].as_str() else {
            continue;
        };
        let link = rule["annotations"]["runbook_url"]
            .as_str()
            .unwrap_or_default();
        if !link.ends_with(&format!("docs/runbooks/{alert}.md")) {
            faults.push(format!("{alert}: its link is {link}"));
        }
        if alert == NEAR_LIMIT {
            watches_memory = true;
            if limit.is_none_or(|limit| !expression.ends_with(&format!("* {limit}"))) {
                faults.push(format!(
                    "{alert}: the limit is {limit:?}, and it asks for {expression}"
                ));
            }
        }
    }
    if limit.is_some() != watches_memory {
        faults.push(format!(
            "with the limit {limit:?}, {NEAR_LIMIT} is there: {watches_memory}"
        ));
    }
    faults
}

/// Of a quantity with a binary unit, as the values have it.
fn bytes(quantity: &str) -> u64 {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((quantity.strip_suffix(unit)?, *shift)))
        .unwrap_or((quantity, 0));
    number.parse::<u64>().unwrap_or_default() << shift
}
