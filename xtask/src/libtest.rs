//! Reading what a Rust test binary prints.

/// What the summary lines of one or more test binaries add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Totals {
    pub(crate) fn of(printed: &str) -> Self {
        let mut totals = Self::default();
        for line in printed.lines() {
            if let Some(summary) = line.strip_prefix("test result: ") {
                totals.passed += number_before(summary, " passed");
                totals.failed += number_before(summary, " failed");
            }
        }
        totals
    }
}

/// Whether the binary found a test by the name it was given. A test that aborts the process leaves no summary.
pub(crate) fn one_test_began(printed: &str) -> bool {
    printed.lines().any(|line| line == "running 1 test")
}

fn number_before(summary: &str, word: &str) -> usize {
    summary
        .split(word)
        .next()
        .and_then(|head| head.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_up_over_binaries() {
        let printed = "running 2 tests\ntest a ... ok\n\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
            test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        let totals = Totals::of(printed);
        assert_eq!((totals.passed, totals.failed), (15, 4));
    }

    #[test]
    fn a_filter_that_matches_nothing_is_not_a_test_that_began() {
        assert!(!one_test_began("\nrunning 0 tests\n"));
        assert!(one_test_began("\nrunning 1 test\n"));
    }
}
