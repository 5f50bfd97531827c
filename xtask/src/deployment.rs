//! `deployment`: everything that is deployed, checked by the programs that will read it.
//!
//! The chart goes through Helm, kustomize's output through kustomize, every manifest through the schemas of the oldest
//! and the newest Kubernetes, the alerts through promtool with their unit tests, the Dockerfile through hadolint. What
//! no such program knows is checked here: that names agree between files, that each alert has its runbook, and that
//! every metric, label, command and configuration that is written down is one that the real binary has.
//!
//! All of it runs, and what is wrong is listed at the end, because a rename breaks several files at once.

mod alerts;
mod binary;
mod chart;
mod copies;
mod dashboard;
mod exposition;
mod kustomize;
mod manifests;
mod promql;
mod release;
mod tools;
mod words;

use std::path::PathBuf;

use crate::{failure::Failure, machine, workspace};

/// What is wrong, and where.
type Breach = String;

pub(crate) fn run() -> Result<(), Failure> {
    let tools = match tools::Tools::ready() {
        Ok(tools) => tools,
        Err(failure) if machine::is_ci() => return Err(failure),
        Err(failure) => {
            println!("NOT RUN, and CI would fail: {failure}");
            return Ok(());
        }
    };
    let mut breaches = Vec::new();
    let mut step = |heading: &str, found: Vec<Breach>| {
        println!(
            "{} {heading}",
            if found.is_empty() { "ok  " } else { "FAIL" }
        );
        breaches.extend(found);
    };

    step("hadolint on the Dockerfile", tools.lint_dockerfile()?);
    step("helm lint --strict", chart::lints(&tools)?);
    step(
        "bad values are refused by name",
        chart::refuses_bad_values(&tools)?,
    );
    let mut renderings = chart::renderings(&tools)?;
    renderings.push(kustomize::rendering(&tools)?);
    renderings.push(words::plain_manifests(&tools)?);
    step(
        "every manifest, by Kubernetes' schemas",
        manifests::validate(&tools, &renderings)?,
    );
    step(
        "names agree within each rendering",
        manifests::names_agree(&renderings),
    );
    step(
        "the chart and kustomize say the same",
        kustomize::agrees_with(&renderings),
    );
    step("copies are up to date", copies::are_current()?);

    let rules = alerts::Rules::read(&tools)?;
    step("promtool on rules, alerts' tests and panels", {
        let mut found = tools.check_rules(&alerts::rules_file())?;
        found.extend(tools.test_rules(&alerts::tests_file())?);
        found.extend(dashboard::syntax(&tools)?);
        found
    });
    step(
        "rules fit the release they are rendered for",
        release::rules_fit(&tools, &renderings)?,
    );
    step("each alert is tested and has a runbook", {
        let mut found = rules.are_tested(&tools)?;
        found.extend(rules.have_runbooks()?);
        found
    });
    step("each panel says what it shows", dashboard::shape()?);

    let millpond = binary::Millpond::built()?;
    let exposition = millpond.scrape()?;
    step("every metric and label is one that is scraped", {
        let mut found = rules.use_what_is_scraped(&exposition);
        found.extend(words::filters_find(&exposition)?);
        found.extend(dashboard::uses_what_is_scraped(&rules, &exposition)?);
        found
    });
    step(
        "every command in the documents exists",
        words::commands_exist(&millpond)?,
    );
    step(
        "every rendered configuration is accepted",
        millpond.accepts_configurations(&renderings)?,
    );
    step(
        "the chart's schema has the configuration's",
        copies::schema_is_current(&millpond)?,
    );

    if breaches.is_empty() {
        return Ok(());
    }
    for breach in &breaches {
        println!("  {breach}");
    }
    Err(Failure::new(format!(
        "{} things are wrong, listed above",
        breaches.len()
    )))
}

/// Renews what is copied from one file into another.
pub(crate) fn write() -> Result<(), Failure> {
    copies::write()?;
    copies::write_schema(&binary::Millpond::built()?)
}

/// The folder of this task's tools and renderings.
fn workshop() -> PathBuf {
    workspace::target().join("deployment")
}
