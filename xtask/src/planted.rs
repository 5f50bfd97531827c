//! Planted bugs: a test that cannot fail proves nothing, so each one is seen to fail once.
//!
//! A place that keeps a rule can be told, by `MILLPOND_PLANTED=<bug>` and only in builds made for it, to
//! break the rule. Here the rule's test is run first as it is, and must pass; then with the bug, and must
//! fail. A test that hangs has noticed the bug too, but is reported, since a quick failure is better.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::{
    binaries::{self, TestBinary},
    command,
    failure::Failure,
    libtest::{self, Totals},
    promises::{Kind, Promise},
    workspace,
};

/// How long one run may take. A test that waits for what a bug took away never ends by itself.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs at once.
const AT_ONCE: usize = 2;

/// Names the bug to the code under test.
const VARIABLE: &str = "MILLPOND_PLANTED";

/// What the code under test says of a name it does not know.
const UNKNOWN: &str = "names no planted bug";

/// What one run of one test showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Hung,
    /// No test of that name.
    Missing,
    /// The code under test does not know the bug.
    UnknownBug,
}

/// One run: a promise's test, with its bug or without.
struct Trial<'a> {
    promise: &'a Promise,
    bug: Option<&'a str>,
    binary: &'a TestBinary,
}

/// Each test passes as it is.
pub(crate) fn pass_without_bug(
    promises: &[&Promise],
    binaries: &[TestBinary],
    logs: &Path,
) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    let once = promises
        .iter()
        .filter(|row| seen.insert((row.package, row.test_target, row.test)));
    let trials = trials(once.map(|row| (*row, None)), binaries)?;
    println!("without a bug, {} must pass", trials.len());
    judge(&trials, logs)
}

/// Each test fails with its bug.
pub(crate) fn fail_with_bug(
    promises: &[&Promise],
    binaries: &[TestBinary],
    logs: &Path,
) -> Result<(), Failure> {
    let planted = promises.iter().map(|row| (*row, Some(row.bug)));
    let trials = trials(planted, binaries)?;
    println!("with its bug, each of {} must fail", trials.len());
    judge(&trials, logs)
}

/// Every bug that the sources can plant, read from each crate's `planted.rs`.
pub(crate) fn named_in_sources() -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for file in workspace::files_with_extension("rs")? {
        let own = file.starts_with(workspace::root().join("xtask"));
        if !own && file.file_name().is_some_and(|name| name == "planted.rs") {
            names.extend(names_in(&fs::read_to_string(file)?));
        }
    }
    Ok(names)
}

fn trials<'a>(
    runs: impl Iterator<Item = (&'a Promise, Option<&'a str>)>,
    binaries: &'a [TestBinary],
) -> Result<Vec<Trial<'a>>, Failure> {
    runs.map(|(promise, bug)| {
        let binary = binaries::find(binaries, promise.package, promise.test_target)?;
        Ok(Trial {
            promise,
            bug,
            binary,
        })
    })
    .collect()
}

fn judge(trials: &[Trial<'_>], logs: &Path) -> Result<(), Failure> {
    fs::create_dir_all(logs)?;
    let mut wrong = 0_usize;
    for (trial, verdict) in run_all(trials, logs)? {
        let right = trial.is_right(verdict);
        wrong += usize::from(!right);
        if !right || verdict == Verdict::Hung {
            let log = workspace::relative(&trial.log(logs));
            println!(
                "{:5} {} [{log}]",
                if right { "hung" } else { "WRONG" },
                trial.say(verdict)
            );
        }
    }
    if wrong == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{wrong} of {} went wrong, see above",
            trials.len()
        )))
    }
}

/// Runs all, [`AT_ONCE`] at a time; the verdicts come in the order of the trials.
fn run_all<'a>(
    trials: &'a [Trial<'a>],
    logs: &Path,
) -> Result<Vec<(&'a Trial<'a>, Verdict)>, Failure> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let send = send.clone();
            let next = &next;
            scope.spawn(move || {
                // Relaxed: the counter hands out each index once and publishes nothing else.
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(trial) = trials.get(index) else {
                        break;
                    };
                    // The receiver outlives the scope.
                    let _ = send.send((index, trial.run(logs)));
                }
            });
        }
    });
    drop(send);
    let mut verdicts = Vec::new();
    for (index, verdict) in receive {
        verdicts.push((index, verdict?));
    }
    verdicts.sort_unstable_by_key(|(index, _)| *index);
    Ok(verdicts
        .into_iter()
        .map(|(index, verdict)| (&trials[index], verdict))
        .collect())
}

impl Trial<'_> {
    fn run(&self, logs: &Path) -> Result<Verdict, Failure> {
        let mut command = self.binary.one_test(self.promise.test);
        // A failure on purpose is no regression to remember.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
        match self.bug {
            None => command.env_remove(VARIABLE),
            Some(bug) => command.env(VARIABLE, bug),
        };
        let log = self.log(logs);
        let status = command::run_within(&mut command, &log, LIMIT)?;
        // A test prints what it likes: not all of it need be UTF-8.
        let printed = fs::read(&log)?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(verdict(status.map(|status| status.success()), &printed))
    }

    fn is_right(&self, verdict: Verdict) -> bool {
        match (self.bug, verdict) {
            (None, verdict) => verdict == Verdict::Passed,
            (Some(_), Verdict::Failed) => true,
            // A model reports a deadlock. One that does not end has more to explore, and may yet pass.
            (Some(_), Verdict::Hung) => self.promise.kind == Kind::Unit,
            (Some(_), _) => false,
        }
    }

    fn log(&self, logs: &Path) -> PathBuf {
        let test = self.promise.test.replace("::", ".");
        logs.join(format!("{}.{test}.log", self.bug.unwrap_or("clean")))
    }

    fn say(&self, verdict: Verdict) -> String {
        let Promise { rule, test, .. } = self.promise;
        let with = self
            .bug
            .map_or(String::new(), |bug| format!(" with `{bug}`"));
        let what = match verdict {
            Verdict::Passed => "passes",
            Verdict::Failed => "fails",
            Verdict::Hung => "does not end",
            Verdict::Missing => "is no test",
            Verdict::UnknownBug => "is not run: the code knows no such bug",
        };
        format!("{rule}: {test}{with} {what}")
    }
}

/// `success` is `None` when the run was killed at the limit.
fn verdict(success: Option<bool>, printed: &str) -> Verdict {
    if printed.contains(UNKNOWN) {
        return Verdict::UnknownBug;
    }
    if !libtest::one_test_began(printed) {
        return Verdict::Missing;
    }
    match success {
        None => Verdict::Hung,
        Some(false) => Verdict::Failed,
        // An ignored test is a success that ran nothing.
        Some(true) if Totals::of(printed).passed == 1 => Verdict::Passed,
        Some(true) => Verdict::Missing,
    }
}

/// The names in lines of the form `Variant = "name",`.
fn names_in(source: &str) -> impl Iterator<Item = String> {
    source.lines().filter_map(|line| {
        let (variant, name) = line.trim().split_once(" = ")?;
        let name = name.strip_prefix('"')?.strip_suffix("\",")?;
        let is_name = variant.chars().all(char::is_alphanumeric);
        is_name.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: &str = "\nrunning 1 test\n";

    #[test]
    fn a_bug_is_noticed_only_by_a_test_that_began() {
        assert_eq!(verdict(Some(false), BEGAN), Verdict::Failed);
        assert_eq!(verdict(None, BEGAN), Verdict::Hung);
        assert_eq!(
            verdict(Some(false), "error while loading"),
            Verdict::Missing
        );
        assert_eq!(verdict(Some(true), "\nrunning 0 tests\n"), Verdict::Missing);
    }

    #[test]
    fn an_ignored_test_proves_nothing() {
        let summary = "test result: ok. 0 passed; 0 failed; 1 ignored;";
        assert_eq!(
            verdict(Some(true), &format!("{BEGAN}{summary}")),
            Verdict::Missing
        );
    }

    #[test]
    fn a_misspelt_bug_is_not_taken_for_a_failing_test() {
        let printed = format!("{BEGAN}MILLPOND_PLANTED=oops {UNKNOWN}");
        assert_eq!(verdict(Some(false), &printed), Verdict::UnknownBug);
    }

    #[test]
    fn bugs_are_read_from_the_list_in_the_sources() {
        let source = "bugs! {\n    TwoLeaders = \"two-leaders\",\n    let x = \"no\";\n}";
        let names: Vec<_> = names_in(source).collect();
        assert_eq!(names, ["two-leaders"]);
    }
}
