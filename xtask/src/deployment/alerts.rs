//! The rule file: that each alert is tested both ways, is explained, and asks for what is there.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

use super::{Breach, exposition::Exposition, promql, tools::Tools};
use crate::{failure::Failure, workspace};

/// What each selector carries, so that the chart can put its release there.
const SCOPE: (&str, &str) = ("job", ".+");
/// Headings of a runbook, in this order.
const RUNBOOK: &[&str] = &[
    "## What users notice",
    "## How bad",
    "## First commands",
    "## Likely causes",
    "## Remedies",
    "## When to escalate",
];
const FIRST_COMMANDS: usize = 3;

pub(super) fn rules_file() -> PathBuf {
    workspace::root().join("deploy/helm/millpond/files/rules.yaml")
}

pub(super) fn tests_file() -> PathBuf {
    workspace::root().join("deploy/alerts/tests.yaml")
}

fn runbooks() -> PathBuf {
    workspace::root().join("docs/runbooks")
}

/// A rule that records or alerts.
struct Rule {
    name: String,
    expression: String,
    /// Of an alert.
    alert: Option<Value>,
}

pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn read(tools: &Tools) -> Result<Self, Failure> {
        let document = tools.document(&rules_file())?;
        let groups = document["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rules: Vec<_> = rules
            .map(|rule| Rule {
                name: text(&rule["alert"]) + &text(&rule["record"]),
                expression: text(&rule["expr"]),
                alert: rule["alert"].is_string().then(|| rule.clone()),
            })
            .collect();
        if rules.is_empty() {
            return Err(Failure::new("the rule file has no rules"));
        }
        Ok(Self(rules))
    }

    fn alerts(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0
            .iter()
            .filter_map(|rule| Some((rule.name.as_str(), rule.alert.as_ref()?)))
    }

    /// Names that rules record series by.
    pub(super) fn recorded(&self) -> BTreeSet<&str> {
        let records = self.0.iter().filter(|rule| rule.alert.is_none());
        records.map(|rule| rule.name.as_str()).collect()
    }

    /// An alert that was never seen to fire, or never seen not to, is a guess.
    pub(super) fn are_tested(&self, tools: &Tools) -> Result<Vec<Breach>, Failure> {
        let document = tools.document(&tests_file())?;
        let cases: Vec<(&str, bool)> = document["tests"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten())
            .filter_map(|case| {
                let fires = !case["exp_alerts"].as_array()?.is_empty();
                Some((case["alertname"].as_str()?, fires))
            })
            .collect();
        let mut breaches = Vec::new();
        for (name, _) in self.alerts() {
            for (fires, case) in [
                (true, "in which it fires"),
                (false, "in which it must not fire"),
            ] {
                if !cases.contains(&(name, fires)) {
                    breaches.push(format!(
                        "{name}: deploy/alerts/tests.yaml has no case {case}"
                    ));
                }
            }
        }
        Ok(breaches)
    }

    pub(super) fn have_runbooks(&self) -> Result<Vec<Breach>, Failure> {
        let mut breaches = Vec::new();
        let mut written = BTreeSet::new();
        for entry in fs::read_dir(runbooks())? {
            let path = entry?.path();
            let name = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned());
            written.extend(name.filter(|name| name != "README"));
        }
        for (name, alert) in self.alerts() {
            let place = format!("docs/runbooks/{name}.md");
            if alert["annotations"]["runbook_url"] != place.as_str() {
                breaches.push(format!("{name}: runbook_url is not {place}"));
            }
            for annotation in ["summary", "description"] {
                if !alert["annotations"][annotation].is_string() {
                    breaches.push(format!("{name}: no {annotation}"));
                }
            }
            if !["page", "ticket"]
                .map(Value::from)
                .contains(&alert["labels"]["severity"])
            {
                breaches.push(format!("{name}: severity is neither page nor ticket"));
            }
            if !written.remove(name) {
                breaches.push(format!("{name}: {place} is not there"));
                continue;
            }
            let text = fs::read_to_string(workspace::root().join(&place))?;
            let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
            if !text.contains(&format!("Severity: {severity}.")) {
                breaches.push(format!("{place}: it does not say `Severity: {severity}.`"));
            }
            breaches.extend(
                faults_of_runbook(&text)
                    .into_iter()
                    .map(|fault| format!("{place}: {fault}")),
            );
        }
        breaches.extend(
            written
                .into_iter()
                .map(|name| format!("docs/runbooks/{name}.md: no such alert")),
        );
        Ok(breaches)
    }

    pub(super) fn use_what_is_scraped(&self, exposition: &Exposition) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for rule in &self.0 {
            for selector in promql::selectors(&rule.expression) {
                let scoped = selector
                    .matchers
                    .iter()
                    .any(|matcher| (matcher.label.as_str(), matcher.value.as_str()) == SCOPE);
                if !scoped {
                    breaches.push(format!(
                        "{}: {} lacks job=~\".+\"",
                        rule.name, selector.name
                    ));
                }
                breaches.extend(
                    self.missing(&selector, exposition)
                        .map(|why| format!("{}: {why}", rule.name)),
                );
            }
        }
        breaches
    }

    /// Why neither the scrape nor a rule has what the selector asks for.
    pub(super) fn missing(
        &self,
        selector: &promql::Selector,
        exposition: &Exposition,
    ) -> Option<String> {
        if selector.name.contains(':') {
            let recorded = self.recorded().contains(selector.name.as_str());
            return (!recorded).then(|| format!("no rule records {}", selector.name));
        }
        exposition.misses(selector)
    }
}

fn faults_of_runbook(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut from = 0;
    for heading in RUNBOOK {
        match text[from..].find(heading) {
            Some(at) => from += at + heading.len(),
            None => faults.push(format!("`{heading}` is missing or out of order")),
        }
    }
    let commands = text
        .split("## First commands")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .map_or(0, |section| {
            let commands = super::words::commands(section);
            let run =
                |command: &&String| command.starts_with("kubectl ") || command.starts_with("curl ");
            commands.iter().filter(run).count()
        });
    if commands < FIRST_COMMANDS {
        faults.push(format!(
            "{commands} first commands; {FIRST_COMMANDS} are wanted"
        ));
    }
    faults
}
