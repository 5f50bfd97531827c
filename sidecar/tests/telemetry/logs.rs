//! Log lines of the real binary.

use std::io::Read;
use std::process::Command;

use millpond_sidecar::telemetry::log;

use crate::process::Process;

impl Process {
    /// Names of its threads, as the kernel keeps them: 15 bytes.
    fn threads(&self) -> Vec<String> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).expect("it runs");
        tasks
            .map(|task| {
                let name = task.expect("it runs").path().join("comm");
                std::fs::read_to_string(name)
                    .expect("it runs")
                    .trim()
                    .to_owned()
            })
            .collect()
    }

    /// What it logged from its start to its end by SIGTERM.
    fn log(mut self) -> Vec<String> {
        self.signal("TERM");
        let mut log = String::new();
        let mut lines = self.child.stderr.take().expect("it is piped");
        lines.read_to_string(&mut log).expect("it is text");
        assert!(self.child.wait().expect("it is our child").success());
        log.lines().map(str::to_owned).collect()
    }
}

#[test]
fn each_line_is_an_object_with_the_same_five_names() {
    let log = Process::start(&["--log-format", "json"]).log();
    let mut messages = Vec::new();
    for line in &log {
        let line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        let line = line.as_object().expect("an object");
        let names: Vec<&str> = line.keys().map(String::as_str).collect();
        assert_eq!(names, ["fields", "level", "msg", "target", "ts"]);
        assert_eq!(line["level"], "info");
        assert!(line["fields"].is_object());
        let target = line["target"].as_str().expect("a text");
        assert!(target.starts_with("millpond"), "{target}");
        messages.push(line["msg"].as_str().expect("a text").to_owned());
    }
    assert_eq!(
        messages,
        [
            "draining: not ready, accepting no more connections",
            "stopped"
        ]
    );
}

#[test]
fn text_lines_say_when_how_bad_and_what() {
    let log = Process::start(&["--log-format", "text"]).log();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[1].ends_with("Z  INFO stopped"), "{}", log[1]);
}

#[test]
fn the_filter_is_obeyed() {
    assert_eq!(Process::start(&["--log", "warn"]).log(), [""; 0]);
}

#[test]
fn without_tracing_there_is_no_thread_for_it() {
    let process = Process::start(&[]);
    let threads = process.threads();
    assert!(
        threads
            .iter()
            .any(|name| name.starts_with("millpond-worker"))
    );
    assert!(
        !threads
            .iter()
            .any(|name| name.starts_with("millpond-traces")),
        "{threads:?}"
    );
}

/// Set in a process of its own that logs and panics as `serve` does.
const PANICS: &str = "MILLPOND_TEST_PANICS";

#[test]
fn a_panic_is_one_line_with_its_thread_and_place() {
    const NAME: &str = "logs::a_panic_is_one_line_with_its_thread_and_place";
    if std::env::var_os(PANICS).is_some() {
        let _handle = log::start(log::Format::Json, "info").expect("a filter");
        log::panics();
        let doomed = std::thread::Builder::new().name("doomed".to_owned());
        let doomed = doomed.spawn(|| panic!("broken\n{{\"forged\":1}}"));
        assert!(doomed.expect("a thread").join().is_err());
        return;
    }
    let own = std::env::current_exe().expect("it has a path");
    let ran = Command::new(own)
        .args(["--exact", NAME, "--nocapture"])
        .env(PANICS, "1")
        .output()
        .expect("it runs");
    assert!(ran.status.success());
    let said = String::from_utf8(ran.stderr).expect("it is text");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 1, "{said}");
    let line: serde_json::Value = serde_json::from_str(lines[0]).expect("it is JSON");
    assert_eq!(
        (&line["level"], &line["target"]),
        (&"error".into(), &"panic".into())
    );
    assert_eq!(line["msg"], "broken\n{\"forged\":1}");
    assert_eq!(line["fields"]["thread"], "doomed");
    let place = line["fields"]["place"].as_str().expect("a text");
    assert!(place.contains("logs.rs:"), "{place}");
}

#[test]
fn the_filter_changes_while_the_process_runs_and_a_wrong_one_changes_nothing() {
    let handle = log::start(log::Format::Text, "error").expect("a filter");
    let warns = || tracing::enabled!(target: "filtered", tracing::Level::WARN);
    assert!(!warns());
    handle.set_filter("warn").expect("a filter");
    assert!(warns());
    assert!(handle.set_filter("filtered=loud").is_err());
    assert!(warns());
    handle.set_filter("warn,filtered=off").expect("a filter");
    assert!(!warns());
}
