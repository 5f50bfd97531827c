//! The pages that come from the table are the pages that are there.
//!
//! After a change of the table: `MILLPOND_ACCEPT_REFERENCE=1 cargo test -p
//! millpond-sidecar --test config documents`, and look at what changed.

use std::path::Path;

use millpond_sidecar::config::{reference, schema};

use crate::wrong;

const ACCEPT: &str = "MILLPOND_ACCEPT_REFERENCE";

fn is(file: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(file);
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&path, written).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == written,
        "docs/{file} is not what the table says: {ACCEPT}=1 cargo test -p millpond-sidecar --test config documents"
    );
}

#[test]
fn the_reference_says_what_the_table_says() {
    is("configuration.md", &reference());
}

#[test]
fn the_schema_in_the_documents_is_the_one_that_is_printed() {
    is("millpond.schema.json", &format!("{:#}\n", schema()));
}

#[test]
fn every_example_of_the_reference_and_of_limits_is_good() {
    let page = reference() + include_str!("../../../docs/limits.md");
    let examples: Vec<_> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() > 2, "both have some");
    for example in examples {
        assert_eq!(wrong(example.as_bytes()), [""; 0], "{example}");
    }
}
