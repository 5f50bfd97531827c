//! The table as a page for readers.

use std::fmt::Write;

use super::{Kind, Promise};

const HEAD: &str = "\
# Promises

Generated from `xtask/src/promises/table.rs` by `cargo xtask promises --write`.

Each rule has a test, and each test has been seen to fail: `cargo xtask promises` and `cargo xtask loom`
plant the bug of the row, run its test, and fail if the test still passes.
";

const COLUMNS: &str = "
| rule | promise | test | a bug it notices |
|---|---|---|---|
";

pub(super) fn render(promises: &[&Promise]) -> String {
    let mut page = HEAD.to_owned();
    if promises.is_empty() {
        page.push_str("\nNothing is promised yet.\n");
        return page;
    }
    page.push_str(COLUMNS);
    for row in promises {
        let place = row.test_target.unwrap_or("unit tests");
        let how = match row.kind {
            Kind::Unit => "",
            Kind::Loom => ", model",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | `{}` ({}, {place}{how}) | `{}` |",
            row.rule, row.promise, row.test, row.package, row.bug
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_its_rule_its_test_and_its_bug() {
        let page = render(&[&Promise {
            rule: "C3",
            promise: "One lease per key.",
            kind: Kind::Loom,
            package: "millpond-loom-tests",
            test_target: Some("lead"),
            test: "one_leader",
            bug: "two-leaders",
        }]);
        let row = "| C3 | One lease per key. | `one_leader` (millpond-loom-tests, lead, model) | `two-leaders` |\n";
        assert!(page.ends_with(row), "{page}");
    }
}
