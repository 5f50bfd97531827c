//! `millpond demo`, run as a person runs it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const ACTS: [&str; 5] = ["herd", "expiry", "invalidation", "leader", "outage"];

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("the binary was built for the test")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is text")
}

/// A folder for temporary files that is nobody else's, and gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("millpond-demo-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("it can be made");
        Self(path)
    }

    fn is_empty(&self) -> bool {
        let mut files = fs::read_dir(&self.0).expect("it is there");
        files.next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn all_five_promises_hold_and_nothing_is_left_behind() {
    let folder = Folder::new("held");
    let mut command = demo(&["--seconds", "3", "--plain"]);
    command.env("TMPDIR", &folder.0);
    let output = output(command);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.lines().last(), Some("5 promises held"), "{stdout}");
    assert_eq!(stderr, "");
    assert!(!stdout.contains('\x1b'), "plain is plain: {stdout:?}");
    assert!(
        stdout.lines().all(|line| line.chars().count() < 80),
        "{stdout}"
    );
    assert!(folder.is_empty());
}

#[test]
fn a_naive_cache_in_our_place_is_noticed_in_every_act_and_only_there() {
    let broken = |act| {
        let mut command = demo(&["--seconds", "1", "--json", "--break", act]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary was built for the test")
    };
    for (act, child) in ACTS.map(|act| (act, broken(act))) {
        let output = Child::wait_with_output(child).expect("it ends");
        let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
        assert_eq!(output.status.code(), Some(1), "{act}: {found}");
        assert_eq!(found["held"], 4, "{act}: {found}");
        for (at, of) in ACTS.iter().enumerate() {
            let scene = &found["acts"][at];
            assert_eq!(scene["act"], *of, "{found}");
            assert_eq!(scene["held"], *of != act, "{act}: {scene}");
            assert_eq!(scene["why_not"].is_string(), *of == act, "{act}: {scene}");
        }
    }
}

#[test]
fn a_promise_that_is_not_held_is_named_and_counted_in_the_last_line() {
    let output = output(demo(&[
        "--seconds",
        "1",
        "--plain",
        "--break",
        "invalidation",
    ]));
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    let mut from_the_end = stdout.lines().rev();
    assert_eq!(
        from_the_end.next(),
        Some("4 of 5 promises held"),
        "{stdout}"
    );
    let named = from_the_end.next().unwrap_or_default();
    assert!(named.starts_with("not held: 3 "), "{stdout}");
    assert!(named.contains("got the old value"), "{stdout}");
}

#[test]
fn the_figures_of_both_sides_are_in_the_json() {
    let output = output(demo(&["--seconds", "1", "--seed", "7", "--json"]));
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    assert_eq!(output.status.code(), Some(0), "{found}");
    assert_eq!(found["seed"], 7);
    let act = |name: &str| {
        let acts = found["acts"].as_array().expect("a list").iter();
        acts.clone()
            .find(|act| act["act"] == name)
            .expect("it is there")
    };
    assert_eq!(act("herd")["millpond"]["most_loads"], 1, "{found}");
    assert_eq!(act("expiry")["millpond"]["waited"], 0, "{found}");
    assert_eq!(act("invalidation")["millpond"]["old"], 0, "{found}");
    assert_eq!(act("leader")["millpond"]["stranded"], 0, "{found}");
    assert_eq!(act("outage")["millpond"]["errors"], 0, "{found}");
    for scene in found["acts"].as_array().expect("a list") {
        let headline = scene["headline"].as_str().expect("each act has one");
        let naive = scene["naive"][headline].as_u64().expect("a count");
        let ours = scene["millpond"][headline].as_u64().expect("a count");
        assert!(
            naive > ours,
            "the naive cache shows what is promised: {scene}"
        );
    }
}

#[test]
fn interrupted_it_removes_its_socket_and_says_so_in_its_status() {
    let folder = Folder::new("interrupted");
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let mut command = demo(&["--seconds", "60", "--plain"]);
        command.env("TMPDIR", &folder.0).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built for the test");
        let stdout = child.stdout.take().expect("it is piped");
        let first = BufReader::new(stdout).lines().next();
        assert!(first.is_some(), "it tells of the first act");
        assert!(!folder.is_empty(), "the socket is there while it plays");

        let kill = format!("kill -{signal} {}", child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("there is a shell").success());

        let ended = child.wait().expect("it ends");
        assert_eq!(ended.code(), Some(status), "{signal}");
        assert!(folder.is_empty(), "{signal}");
    }
}

#[test]
fn without_a_socket_it_is_played_over_the_loopback_interface() {
    let mut command = demo(&["--seconds", "1", "--json"]);
    command.env("TMPDIR", "/proc/no/such/folder");
    let output = output(command);
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    assert_eq!(output.status.code(), Some(0), "{found}");
    let address = found["address"].as_str().expect("it is text");
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
}

#[test]
fn the_help_tells_each_act_and_what_success_means() {
    let output = output(demo(&["--help"]));
    // As it reads, wherever its lines break.
    let help: Vec<_> = text(&output.stdout).split_whitespace().collect();
    let help = help.join(" ");
    assert!(output.status.success());
    for words in [
        "a herd of 100 callers",
        "--seconds <N>",
        "--seed <N>",
        "--plain",
        "--json",
        "5 promises held",
        "leaves nothing behind",
    ] {
        assert!(help.contains(words), "{words} is not in\n{help}");
    }
    assert!(!help.contains("--break"), "{help}");
}
