//! The real binary: `serve` with a file, `check` and its exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::Folder;

/// Longer than anything here takes; a wait that ends by it failed.
const LONG: Duration = Duration::from_secs(30);

fn millpond() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    // What whoever runs the tests has set is not what is tested.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLPOND_") {
            command.env_remove(name);
        }
    }
    command
}

/// A sidecar that serves; killed if the test fails.
struct Serving {
    child: Child,
    log: Receiver<String>,
}

impl Serving {
    fn start(folder: &Folder) -> Self {
        let free = "127.0.0.1:0";
        let mut child = millpond()
            .args([
                "serve",
                "--listen",
                free,
                "--probe",
                free,
                "--admin",
                free,
                "--no-socket",
            ])
            .arg("--config")
            .arg(folder.file())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stderr = child.stderr.take().expect("it is piped");
        let (said, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, log }
    }

    /// Waits for a line of the log that has this in it.
    fn says(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(LONG) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("{part:?} was not logged, but {seen:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits until it looks at its file.
    fn until_it_watches(&self) {
        const STEP: Duration = Duration::from_millis(5);
        let threads = format!("/proc/{}/task", self.child.id());
        let watches = || {
            let tasks = std::fs::read_dir(&threads).into_iter().flatten().flatten();
            tasks
                .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
                .any(|name| name.trim() == "millpond-config")
        };
        let mut left = LONG;
        while !watches() {
            left = left.checked_sub(STEP).expect("it watches its file");
            std::thread::sleep(STEP);
        }
    }

    fn ends_well(mut self) {
        self.signal("TERM");
        self.says("stopped");
        assert!(self.child.wait().expect("it is our child").success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const GOOD: &str = "apiVersion: millpond/v1\ncaches: {users: {fresh: 1s}}\n";

#[test]
fn a_rollback_that_leaves_unknown_keys_behind_starts_and_warns() {
    let folder = Folder::new("rollback");
    folder.write(&format!(
        "{GOOD}breakers: {{orders: {{}}}}\nlimits: {{origins: 5}}\n"
    ));
    let serving = Serving::start(&folder);
    serving.says("breakers: unknown key");
    serving.says("limits.origins: unknown key");
    serving.ends_well();
}

#[test]
fn sighup_reads_the_file_again_and_a_bad_one_is_told_of_and_not_obeyed() {
    let folder = Folder::new("sighup");
    folder.write(&format!("{GOOD}odd: 1\n"));
    let serving = Serving::start(&folder);
    serving.says("odd: unknown key");
    serving.until_it_watches(); // which begins after signals are handled
    folder.write("apiVersion: millpond/v1\ncaches: {users: {fresh: 1}}\ndrain: 5\n");
    serving.signal("HUP");
    serving.says("caches.users.fresh: found \"1\"");
    serving.says("drain: found \"5\"");
    serving.says("the last good one stays in force");
    // The watcher finds files too, and never the same one again.
    serving.signal("HUP");
    serving.says("refused again, as it was");
    folder.write(&format!("{GOOD}drain: 5s\n"));
    serving.signal("HUP");
    serving.says("configuration: in force");
    serving.says("after a restart: drain: 5s is said, 25s is in force");
    serving.ends_well();
}

#[test]
fn the_filter_of_the_log_changes_without_a_restart() {
    let folder = Folder::new("filter");
    folder.write(&format!("{GOOD}log: {{filter: error}}\n"));
    let serving = Serving::start(&folder);
    serving.until_it_watches();
    folder.write(&format!("{GOOD}log: {{filter: info}}\nworkers: 7\n"));
    serving.signal("HUP");
    // What the filter that it was started with would not let through.
    serving.says("configuration: in force");
    serving.signal("TERM");
    let mut waits = Vec::new();
    loop {
        let line = serving
            .log
            .recv_timeout(LONG)
            .expect("it says that it stops");
        if line.contains("after a restart: ") {
            waits.push(line);
        } else if line.contains("stopped") {
            break;
        }
    }
    assert!(
        waits.len() == 1 && waits[0].contains("workers: 7 is said"),
        "{waits:#?}"
    );
}

#[test]
fn the_swap_of_a_config_map_comes_into_force_by_itself() {
    let folder = Folder::new("config-map");
    let inside = |name: &str| folder.0.join(name);
    for (name, text) in [("..1", GOOD.to_owned()), ("..2", GOOD.replace("1s", "2s"))] {
        std::fs::create_dir(inside(name)).expect("a folder");
        std::fs::write(inside(name).join("millpond.yaml"), text).expect("a file");
    }
    symlink("..1", inside("..data")).expect("a link");
    symlink("..data/millpond.yaml", folder.file()).expect("a link");
    let serving = Serving::start(&folder);
    serving.until_it_watches();
    symlink("..2", inside("..data_tmp")).expect("a link");
    std::fs::rename(inside("..data_tmp"), inside("..data")).expect("kubelet's step");
    serving.says("configuration: in force");
    serving.ends_well();
}

#[test]
fn serve_lists_every_mistake_and_does_not_start() {
    let folder = Folder::new("refused");
    folder.write("apiVersion: millpond/v1\nmemory: lots\ndrain: 5\nmemmory: 1\n");
    let ended = millpond()
        .args(["serve", "--no-socket", "--workers", "none"])
        .arg("--config")
        .arg(folder.file())
        .output()
        .expect("the binary was built");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for part in [
        "memory: found \"lots\"",
        "drain: found \"5\"",
        "--workers: workers: found \"none\"",
        "memmory: unknown key",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(ended.stdout.is_empty());
}

fn check(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = millpond()
        .arg("check")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may have ended without reading any.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned())
}

#[test]
fn check_ends_with_0_for_good_1_for_mistakes_and_2_for_what_cannot_be_read() {
    let (code, said) = check(&["-"], GOOD);
    assert_eq!((code, said.as_str()), (Some(0), "-: good\n"));
    let (code, said) = check(&["-"], &format!("{GOOD}memmory: 1\n"));
    assert_eq!(code, Some(1), "strict: an unknown key is a mistake");
    assert!(said.ends_with("-: 1 mistake\n"), "{said}");
    assert_eq!(check(&["/nowhere/millpond.yaml"], "").0, Some(2));
    assert_eq!(check(&["/"], "").0, Some(2));
    assert_eq!(check(&["--no-such-flag"], "").0, Some(2));
    let (code, said) = check(&["-", "--drain", "5"], GOOD);
    assert_eq!(code, Some(1));
    assert!(said.contains("--drain: drain: found \"5\""), "{said}");
}

#[test]
fn check_reports_as_json_with_places_in_the_order_of_the_file() {
    let (code, said) = check(
        &["--json", "-"],
        "apiVersion: millpond/v1\nmemmory: 1\ndrain: 5\n",
    );
    let report: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!((code, &report["good"]), (Some(1), &false.into()));
    let mistakes = report["mistakes"].as_array().expect("a list");
    let places: Vec<_> = mistakes
        .iter()
        .map(|mistake| (mistake["path"].as_str(), mistake["line"].as_u64()))
        .collect();
    assert_eq!(
        places,
        [(Some("memmory"), Some(2)), (Some("drain"), Some(3))]
    );
    let (code, said) = check(&["--json", "/nowhere"], "");
    let report: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!((code, &report["good"]), (Some(2), &false.into()));
}

#[test]
fn check_prints_the_schema_and_what_would_be_in_force() {
    let (code, said) = check(&["--schema"], "");
    let schema: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!((code, &schema["title"]), (Some(0), &"millpond.yaml".into()));
    let (code, said) = check(&["--effective", "-", "--no-socket"], GOOD);
    assert_eq!(code, Some(0));
    for part in ["socket: off", "# --no-socket", "fresh: 1s", "# -:2:25"] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}

#[test]
fn a_file_that_is_never_ending_is_not_read_for_ever() {
    let mut child = millpond()
        .args(["check", "-"])
        .stdin(std::fs::File::open("/dev/zero").expect("there are zeros"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut said = String::new();
    let mut stdout = child.stdout.take().expect("it is piped");
    stdout.read_to_string(&mut said).expect("it ends");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert!(said.contains("expected at most 1MiB"), "{said}");
}

#[test]
fn a_page_that_cannot_be_written_is_a_failure_and_half_a_schema_is_none() {
    let full = std::fs::File::create("/dev/full").expect("Linux has one");
    let ended = millpond()
        .args(["check", "--schema"])
        .stdout(full)
        .output()
        .expect("the binary was built");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("stdout: "), "{said}");
}
