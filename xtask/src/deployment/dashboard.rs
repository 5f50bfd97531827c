//! The dashboard: its shape, and that its panels ask for what is there.

use std::fs;

use serde_json::Value;

use super::{Breach, alerts::Rules, exposition::Exposition, promql, tools::Tools, workshop};
use crate::{failure::Failure, workspace};

const FILE: &str = "deploy/helm/millpond/files/dashboard.json";
/// Grafana 10.
const OLDEST_SCHEMA: u64 = 36;

fn read() -> Result<Value, Failure> {
    let text = fs::read_to_string(workspace::root().join(FILE))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{FILE}: {error}")))
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    panels.filter(|panel| panel["type"] != "row")
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().unwrap_or("?")
}

pub(super) fn shape() -> Result<Vec<Breach>, Failure> {
    let dashboard = read()?;
    let mut breaches = Vec::new();
    if dashboard["schemaVersion"]
        .as_u64()
        .is_none_or(|version| version < OLDEST_SCHEMA)
    {
        breaches.push(format!(
            "{FILE}: schemaVersion is older than {OLDEST_SCHEMA}"
        ));
    }
    let variables: Vec<_> = dashboard["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if !variables
        .iter()
        .any(|variable| variable["type"] == "datasource")
    {
        breaches.push(format!("{FILE}: no datasource can be chosen"));
    }
    let mut ids = Vec::new();
    let mut places: Vec<(&str, [u64; 4])> = Vec::new();
    for panel in panels(&dashboard) {
        for (what, missing) in [
            ("title", !panel["title"].is_string()),
            (
                "description",
                panel["description"].as_str().is_none_or(str::is_empty),
            ),
            (
                "unit",
                !panel["fieldConfig"]["defaults"]["unit"].is_string(),
            ),
            (
                "query",
                panel["targets"].as_array().is_none_or(Vec::is_empty),
            ),
            ("datasource", panel["datasource"]["uid"] != "${datasource}"),
        ] {
            if missing {
                breaches.push(format!("panel `{}`: no {what}", title(panel)));
            }
        }
        if ids.contains(&&panel["id"]) {
            breaches.push(format!("panel `{}`: its id is another's", title(panel)));
        }
        ids.push(&panel["id"]);
        let [x, y, w, h] = ["x", "y", "w", "h"]
            .map(|side| panel["gridPos"][side].as_u64().unwrap_or(u64::MAX / 4));
        let place = [x, y, x + w, y + h];
        let covered = places.iter().find(|(_, other)| {
            place[0] < other[2] && other[0] < place[2] && place[1] < other[3] && other[1] < place[3]
        });
        if let Some((other, _)) = covered {
            breaches.push(format!("panel `{}` covers `{other}`", title(panel)));
        }
        places.push((title(panel), place));
    }
    if places.is_empty() {
        breaches.push(format!("{FILE}: no panels"));
    }
    Ok(breaches)
}

/// Where an expression stands, and the expression.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap_or_default();
            found.push((format!("panel `{}`", title(panel)), expression.to_owned()));
        }
    }
    for annotation in dashboard["annotations"]["list"]
        .as_array()
        .into_iter()
        .flatten()
    {
        found.push((
            "annotation".to_owned(),
            annotation["expr"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    for variable in dashboard["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let definition = variable["definition"].as_str().unwrap_or_default();
        // label_values(series, label) is Grafana's, not PromQL's.
        let series = definition
            .strip_prefix("label_values(")
            .and_then(|rest| rest.rsplit_once(','));
        if let Some((series, _)) = series {
            found.push((format!("variable {}", variable["name"]), series.to_owned()));
        }
    }
    found
}

/// promtool reads rules only, so each expression becomes one.
pub(super) fn syntax(tools: &Tools) -> Result<Vec<Breach>, Failure> {
    let dashboard = read()?;
    let mut rules = String::from("groups:\n- name: panels\n  rules:\n");
    for (number, (_, expression)) in expressions(&dashboard).iter().enumerate() {
        let expression = Value::from(expression.replace("$__rate_interval", "5m"));
        rules.push_str(&format!(
            "  - record: panel:{number}\n    expr: {expression}\n"
        ));
    }
    let file = workshop().join("panels.yaml");
    fs::write(&file, rules)?;
    tools.check_rules(&file)
}

pub(super) fn uses_what_is_scraped(
    rules: &Rules,
    exposition: &Exposition,
) -> Result<Vec<Breach>, Failure> {
    let dashboard = read()?;
    let mut breaches = Vec::new();
    for (place, expression) in expressions(&dashboard) {
        for selector in promql::selectors(&expression) {
            breaches.extend(
                rules
                    .missing(&selector, exposition)
                    .map(|why| format!("{place}: {why}")),
            );
        }
    }
    Ok(breaches)
}
