//! What depends on what.

use std::collections::BTreeSet;

use super::Breach;
use crate::{command, failure::Failure};

/// Families of crates that `core` may not reach, by whatever way and feature. `tokio` is also `tokio-util`.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "hyper",
    "h2",
    "h3",
    "quinn",
    "tonic",
    "axum",
    "tower",
    "reqwest",
    "redis",
    "fred",
    "prost",
    "protox",
];

pub(super) fn core_stays_pure() -> Result<Vec<Breach>, Failure> {
    // Development dependencies are left out: what tests use is not shipped.
    let tree = command::output_of(&mut command::cargo(&[
        "tree",
        "-p",
        "millpond-core",
        "--edges",
        "normal,build",
        "--all-features",
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    Ok(forbidden_in(&tree)
        .into_iter()
        .map(|name| {
            format!("millpond-core reaches {name}: see `cargo tree -p millpond-core -i {name}`")
        })
        .collect())
}

fn forbidden_in(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| {
            FORBIDDEN.iter().any(|family| {
                name.strip_prefix(family)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_its_name_and_its_members_but_not_its_namesakes() {
        let tree = "millpond-core v0.1.0\nbytes v1.0.0\ntokio v1.0.0\nquinn-proto v0.11.0\nsmallvec v1.0.0\n";
        let found: Vec<_> = forbidden_in(tree).into_iter().collect();
        assert_eq!(found, ["quinn-proto", "tokio"]);
    }
}
