//! House rules about pages.

use std::fs;

use super::Breach;
use crate::{failure::Failure, workspace};

const INDEX: &str = "docs/adr/README.md";

/// Every decision is listed where people look for them.
pub(super) fn decisions_are_indexed() -> Result<Vec<Breach>, Failure> {
    let index = workspace::root().join(INDEX);
    let text = fs::read_to_string(&index)?;
    let listed: Vec<&str> = targets(&text).map(|(_, target)| target).collect();
    let mut breaches = Vec::new();
    for path in workspace::files_with_extension("md")? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.parent() == index.parent() && path != index && !listed.contains(&name.as_ref()) {
            breaches.push(format!("{INDEX} does not list {name}"));
        }
    }
    Ok(breaches)
}

/// A link to a place in this tree leads to a file or folder that is there.
pub(super) fn links_resolve() -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for page in workspace::files_with_extension("md")? {
        let text = fs::read_to_string(&page)?;
        let folder = page.parent().unwrap_or(workspace::root());
        for (line, target) in targets(&text) {
            let file = target.split('#').next().unwrap_or(target);
            if is_relative(target) && !file.is_empty() && !folder.join(file).exists() {
                let page = workspace::relative(&page);
                breaches.push(format!("{page}:{line}: {target} leads nowhere"));
            }
        }
    }
    Ok(breaches)
}

fn is_relative(target: &str) -> bool {
    !(target.contains("://") || target.starts_with("mailto:"))
}

/// What `[…](target)` and `[…]: target` point to, with their line numbers, outside of code.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().flat_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let found = if in_code {
            vec![]
        } else {
            targets_of_line(line)
        };
        found.into_iter().map(move |target| (index + 1, target))
    })
}

fn targets_of_line(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    if let Some((_, target)) = line.split_once("]: ").filter(|_| line.starts_with('[')) {
        found.extend(target.split_whitespace().next());
    }
    // Every other part between backticks is code.
    for prose in line.split('`').step_by(2) {
        let links = prose.split("](").skip(1);
        // Without its `)` the link goes on behind code, which no path has.
        found.extend(links.filter_map(|link| {
            let (target, _) = link.split_once(')')?;
            target.split_whitespace().next()
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &str)> {
        targets(text).collect()
    }

    #[test]
    fn links_are_found_inline_and_by_reference() {
        let text = "[a](x.md) and [`b`](y/z.md#part \"title\")\n[c]: w.md\n";
        assert_eq!(found(text), [(1, "x.md"), (1, "y/z.md#part"), (2, "w.md")]);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(
            found("`[a](x.md)`\n```\n[b](y.md)\n```\n[c](z.md)"),
            [(5, "z.md")]
        );
    }

    #[test]
    fn an_address_elsewhere_is_not_looked_up_here() {
        assert!(!is_relative("https://example.com/x"));
        assert!(is_relative("../x.md"));
    }
}
