//! Commands that documents tell people to type.

use std::{collections::BTreeSet, fs};

use super::{Breach, binary::Millpond, chart::Rendering, exposition::Exposition, tools::Tools};
use crate::{failure::Failure, workspace};

/// Where commands for the sidecar in a pod are written down.
const DOCUMENTS: &[&str] = &["docs/runbooks", "docs/kubernetes.md", "deploy"];

/// The lines of a page's shell blocks, comments aside; a line that ends in a backslash goes on.
pub(super) fn commands(page: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut inside = false;
    let mut goes_on = false;
    for line in page.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            inside = language == "sh";
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let text = line.trim_end_matches('\\').trim_end();
            match commands.last_mut().filter(|_| goes_on) {
                Some(last) => *last = format!("{last} {text}"),
                None => commands.push(text.to_owned()),
            }
            goes_on = line.ends_with('\\');
        }
    }
    commands
}

/// The manifests that the guide has for people without Helm and kustomize.
pub(super) fn plain_manifests(tools: &Tools) -> Result<Rendering, Failure> {
    let guide = fs::read_to_string(workspace::root().join("docs/kubernetes.md"))?;
    let block = guide
        .split("```yaml\n")
        .filter_map(|rest| rest.split("```").next());
    let manifests = block
        .filter(|block| block.starts_with("apiVersion: v1\n"))
        .collect::<String>();
    Ok(Rendering {
        name: "plain".to_owned(),
        documents: tools.documents(&manifests)?,
    })
}

/// What runbooks filter a scrape by has to find something in it.
pub(super) fn filters_find(exposition: &Exposition) -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for file in workspace::files_under(&workspace::root().join("docs/runbooks"))? {
        for command in commands(&fs::read_to_string(&file)?) {
            let filter = command.split_once("/proxy/metrics | grep -E \"");
            let Some(filter) = filter.and_then(|(_, rest)| rest.split('"').next()) else {
                continue;
            };
            for filter in alternatives(filter) {
                let prefix = filter.trim_start_matches('^');
                if !exposition.has_prefix(prefix) {
                    breaches.push(format!(
                        "{}: no series begins with {prefix}",
                        workspace::relative(&file)
                    ));
                }
            }
        }
    }
    Ok(breaches)
}

/// What a filter of the form `a(b|c(d|e))` stands for, one by one.
fn alternatives(filter: &str) -> Vec<String> {
    let Some(open) = filter.find('(') else {
        return vec![filter.to_owned()];
    };
    let mut depth = 0_usize;
    let mut parts = vec![String::new()];
    let mut rest = "";
    for (at, letter) in filter.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            rest = &filter[at + 1..];
            break;
        } else if letter == '|' && depth == 1 {
            parts.push(String::new());
        } else if at > open {
            parts.last_mut().expect("it begins with one").push(letter);
        }
    }
    let whole = |part: String| alternatives(&format!("{}{part}{rest}", &filter[..open]));
    parts.into_iter().flat_map(whole).collect()
}

/// The binary in the image is `/millpond`: each word behind it must be a command of it.
pub(super) fn commands_exist(millpond: &Millpond) -> Result<Vec<Breach>, Failure> {
    let known = millpond.commands()?;
    let mut missing = BTreeSet::new();
    for place in DOCUMENTS {
        for file in workspace::files_under(&workspace::root().join(place))? {
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            for command in called(&text) {
                if !known.contains(&command) {
                    missing.insert(format!(
                        "{}: `millpond {command}` does not exist",
                        workspace::relative(&file)
                    ));
                }
            }
        }
    }
    Ok(missing.into_iter().collect())
}

/// Words behind `/millpond`, in a shell's or a manifest's way of writing.
fn called(text: &str) -> BTreeSet<String> {
    let behind = text.match_indices("/millpond").filter_map(|(at, name)| {
        let rest = &text[at + name.len()..];
        let word = rest.strip_prefix(", ").or_else(|| rest.strip_prefix(' '))?;
        let starts_path = !text[..at]
            .ends_with(|before: char| before.is_alphanumeric() || "/.-_".contains(before));
        let word: String = word
            .chars()
            .take_while(|letter| letter.is_ascii_lowercase() || *letter == '-')
            .collect();
        (starts_path && !word.is_empty() && !word.starts_with('-')).then_some(word)
    });
    behind.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_the_lines_of_shell_blocks() {
        let page = "x\n```sh\n# why\nkubectl get \\\n  pods\ncurl a\n```\n```yaml\na: b\n```\n";
        assert_eq!(commands(page), ["kubectl get pods", "curl a"]);
    }

    #[test]
    fn a_filter_stands_for_each_of_its_alternatives() {
        assert_eq!(alternatives("^a_b"), ["^a_b"]);
        assert_eq!(
            alternatives("^a(b|c(d|e))_f"),
            ["^ab_f", "^acd_f", "^ace_f"]
        );
    }

    #[test]
    fn the_word_behind_the_binary_is_a_command() {
        let text = "exec p -- /millpond explain a\ncommand: [/millpond, drain]\nmountPath: /run/millpond yes /millpond --help";
        assert_eq!(
            called(text).into_iter().collect::<Vec<_>>(),
            ["drain", "explain"]
        );
    }
}
