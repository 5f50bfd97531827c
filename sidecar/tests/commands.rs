//! `millpond get`, `set`, `invalidate` and `completions`, run as a person runs them,
//! against a sidecar of the test's own.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::limit::Quota;
use millpond_core::tenant::{
    Declaration, LimitName, NamedQuota, Overrides, Pace, Strangers, TenantId, TierName,
};
use millpond_sidecar::{Config, Running, Sidecar};
use serde_json::Value;

/// Larger than a cache keeps by default.
const TOO_LARGE: usize = (1 << 20) + 1;

fn sidecar() -> Running {
    Sidecar::start(Config::on_free_ports()).expect("it starts")
}

fn address(sidecar: &Running) -> String {
    format!("http://{}", sidecar.tcp().expect("it listens"))
}

fn millpond(address: &str, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(arguments).env("MILLPOND_ADDR", address);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built for the test");
    let mut to = child.stdin.take().expect("it is piped");
    // One that reads nothing may have ended.
    drop(to.write_all(stdin));
    drop(to);
    child.wait_with_output().expect("it ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs it and expects success.
fn done(address: &str, arguments: &[&str]) -> Vec<u8> {
    let output = millpond(address, arguments, b"");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        stderr(&output)
    );
    output.stdout
}

fn status(address: &str, arguments: &[&str]) -> Option<i32> {
    millpond(address, arguments, b"").status.code()
}

#[test]
fn a_value_of_any_bytes_under_a_key_of_any_bytes_comes_back_as_it_was() {
    let sidecar = sidecar();
    let address = address(&sidecar);
    let value: Vec<u8> = (0..=255).collect();
    let set = ["set", "acme", "blobs", "00ff0a", "-", "--hex"];
    let output = millpond(&address, &set, &value);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let got = done(&address, &["get", "acme", "blobs", "00ff0a", "--hex"]);
    assert_eq!(got, value, "and not a byte more");

    let json = done(
        &address,
        &["get", "acme", "blobs", "00ff0a", "--hex", "--json"],
    );
    let json: Value = serde_json::from_slice(&json).expect("one JSON value");
    assert_eq!(json["held"], "value");
    assert_eq!(json["value"], Value::Null, "it is not text");
    assert!(
        json["value_hex"]
            .as_str()
            .expect("it is text")
            .starts_with("000102")
    );
}

#[test]
fn a_file_is_set_with_its_times_tags_and_validator() {
    let sidecar = sidecar();
    let address = address(&sidecar);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let set = done(
        &address,
        &[
            "set",
            "acme",
            "pages",
            "logo",
            "--file",
            manifest,
            "--fresh-ms",
            "0",
            "--stale-ms",
            "60000",
            "--tag",
            "team:7",
            "--etag",
            "v7",
            "--json",
        ],
    );
    let set: Value = serde_json::from_slice(&set).expect("one JSON value");
    let got = done(&address, &["get", "acme", "pages", "logo", "--json"]);
    let got: Value = serde_json::from_slice(&got).expect("one JSON value");
    let file = std::fs::read_to_string(manifest).expect("it is there");
    assert_eq!(got["value"], file);
    assert_eq!(got["stale"], "revalidating", "its fresh time is 0: {got}");
    assert_eq!(got["etag_hex"], "7637");
    assert_eq!(got["version"], set["version"]);
}

#[test]
fn a_get_of_what_is_not_held_says_so_and_takes_no_lease() {
    let sidecar = sidecar();
    let address = address(&sidecar);
    let output = millpond(&address, &["get", "acme", "users", "42"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(stderr(&output), "not held\n");
    let json = millpond(&address, &["get", "acme", "users", "42", "--json"], b"");
    assert_eq!(json.status.code(), Some(1));
    assert_eq!(json.stdout, b"{\"held\":\"nothing\"}\n");

    let totals = sidecar.pond().totals();
    assert_eq!((totals.misses, totals.leads, totals.refreshes), (2, 0, 0));
}

#[test]
fn what_is_invalidated_by_key_by_tag_or_in_whole_is_gone_and_nothing_else() {
    let sidecar = sidecar();
    let address = address(&sidecar);
    for target in [&["1", "2"][..], &["--tag", "odd"], &["--all"]] {
        for key in ["1", "2", "3"] {
            let mut set = vec!["set", "acme", "users", key, "Ada"];
            if key != "2" {
                set.extend(["--tag", "odd"]);
            }
            done(&address, &set);
        }
        done(&address, &["set", "acme", "others", "1", "Ada"]);

        let mut invalidate = vec!["invalidate", "acme", "users", "--json"];
        invalidate.extend(target);
        let json: Value =
            serde_json::from_slice(&done(&address, &invalidate)).expect("one JSON value");
        assert_eq!(json["durability"], "local", "there is no second level");

        let gone = match target {
            ["1", "2"] => [Some(1), Some(1), Some(0)],
            ["--tag", _] => [Some(1), Some(0), Some(1)],
            _ => [Some(1); 3],
        };
        let held = ["1", "2", "3"].map(|key| status(&address, &["get", "acme", "users", key]));
        assert_eq!(held, gone, "{target:?}");
        assert_eq!(status(&address, &["get", "acme", "others", "1"]), Some(0));
    }
}

#[test]
fn each_way_to_fail_has_a_status_and_a_sentence() {
    let sidecar = sidecar();
    let here = address(&sidecar);
    let long = "k".repeat(1_025);
    for (address, arguments, code, says) in [
        (
            &here[..],
            &["get", "acme", "users", "0g", "--hex"][..],
            2,
            "hexadecimal",
        ),
        (
            &here,
            &["get", "acme", "users", &long],
            2,
            "key: 1025 bytes, limit 1024",
        ),
        (&here, &["get", "a b", "users", "42"], 2, "tenant"),
        (&here, &["set", "acme", "users", "42"], 2, "VALUE"),
        (
            &here,
            &["set", "acme", "users", "42", "--file", "/no/such"],
            2,
            "/no/such",
        ),
        (&here, &["invalidate", "acme", "users"], 2, "KEYS"),
        (
            &here,
            &["invalidate", "acme", "users", "42", "--all"],
            2,
            "--all",
        ),
        (
            ":7470",
            &["get", "acme", "users", "42"],
            2,
            "has no host; expected unix:/path/to.sock or http://host:port",
        ),
        (
            &here,
            &["bench", "--zipf", "1", "--addr", &here, "--probe", ":7472"],
            2,
            "expected HOST:PORT",
        ),
        (
            "nowhere",
            &["get", "acme", "users", "42"],
            2,
            "expected unix:/path",
        ),
        (
            "http://127.0.0.1:1",
            &["get", "acme", "users", "42"],
            3,
            "http://127.0.0.1:1",
        ),
        (
            "unix:/no/such.sock",
            &["set", "acme", "users", "42", "Ada"],
            3,
            "/no/such.sock",
        ),
    ] {
        let output = millpond(address, arguments, b"");
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(
            told.contains(says),
            "{arguments:?}: {says} is not in {told}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let set = ["set", "acme", "users", "42", "-"];
    let output = millpond(&here, &set, &vec![0; TOO_LARGE]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("1048577 bytes, limit 1048576"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_statuses_are_in_the_help_of_each_command() {
    for command in [
        &["get"][..],
        &["set"],
        &["invalidate"],
        &["mode"],
        &["explain", "key"],
        &["top"],
        &["reload"],
        &["drain"],
    ] {
        let help = done("", &[command, &["--help"]].concat());
        let help = String::from_utf8(help).expect("help is text");
        for words in ["Examples:", "Exit status:", "  4  the sidecar refused"] {
            assert!(
                help.contains(words),
                "{command:?}: {words} is not in\n{help}"
            );
        }
    }
}

#[test]
fn every_shell_is_told_of_every_command() {
    let help = String::from_utf8(done("", &["--help"])).expect("help is text");
    let (_, list) = help.split_once("Commands:\n").expect("they are listed");
    let commands = list.lines().map_while(|line| line.strip_prefix("  "));
    // What they are for goes on below the first of them.
    let commands = commands.filter(|line| !line.starts_with(' '));
    let commands: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"explain"), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = done("", &["completions", shell]);
        let script = String::from_utf8(script).expect("it is text");
        for word in commands.iter().chain(&["settle-ms"]) {
            assert!(script.contains(word), "{shell}: {word} is not in it");
        }
    }
}

#[test]
fn whoever_closes_the_pipe_has_read_enough() {
    /// More than a pipe holds.
    const VALUE: usize = 512 << 10;
    let sidecar = sidecar();
    let address = address(&sidecar);
    let set = ["set", "acme", "users", "42", "-"];
    let output = millpond(&address, &set, &vec![b'a'; VALUE]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut get = Command::new(env!("CARGO_BIN_EXE_millpond"));
    get.args(["get", "acme", "users", "42"]);
    get.env("MILLPOND_ADDR", &address).stdin(Stdio::null());
    let mut get = get
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for the test");
    drop(get.stdout.take());
    let output = get.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).starts_with("524288 bytes"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_room_of_a_cache_that_runs_already_is_not_made_up() {
    let sidecar = sidecar();
    let address = address(&sidecar);
    let bench = ["bench", "--zipf", "20", "--accesses", "100", "--quiet"];
    let told = done(&address, &[&bench[..], &["--addr", &address]].concat());
    let told = String::from_utf8(told).expect("it is text");
    assert!(told.starts_with("zipf-20: 100 accesses of "), "{told}");
    assert!(!told.contains("room for"), "{told}");
    let sized = ["--addr", &address, "--capacity-entries", "5"];
    let output = millpond(&address, &[&bench[..], &sized].concat(), b"");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn tokens_are_acquired_and_a_denial_has_a_status_of_its_own() {
    let mut config = Config::on_free_ports();
    let clock = ManualClock::starting_at(Time::ZERO.after(Duration::from_secs(1_000)));
    config.cache.clock = Clock::Manual(clock);
    let sidecar = Sidecar::start(config).expect("it starts");
    let sms = NamedQuota {
        per_key: Quota::per_second(1, 2).ok(),
        ..NamedQuota::new(LimitName::parse("sms").expect("valid"))
    };
    let declaration = Declaration {
        overrides: Overrides {
            request: Pace::of(1, Duration::from_secs(1), 3),
            limits: vec![sms],
            ..Overrides::default()
        },
        ..Declaration::of(TierName::parse("free").expect("valid"))
    };
    let tenant = TenantId::parse("acme").expect("valid");
    let put = sidecar.limiter().directory().put(&tenant, &declaration);
    put.expect("it is valid");
    let (at, admin) = (address(&sidecar), sidecar.admin().expect("it listens"));

    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    let first = text(done(&at, &["acquire", "acme"]));
    assert_eq!(
        first,
        "allowed\nbucket   the tenant's own: 2 of 3 left, 1/s, full in 1s\n"
    );
    let keyed = ["acquire", "acme", "sms", "--key", "u", "--json"];
    let reply: Value = serde_json::from_slice(&done(&at, &keyed)).expect("it is JSON");
    assert_eq!(reply["allowed"], true);
    assert_eq!(reply["decided_by"]["limit"], "sms");
    let peek = ["acquire", "acme", "--cost", "2", "--peek"];
    let output = millpond(&at, &peek, b"");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(text(output.stdout).starts_with("denied: try again in 1s\n"));
    assert_eq!(status(&at, &["acquire", "acme", "--cost", "4"]), Some(5));
    assert_eq!(status(&at, &["acquire", "acme", "fax"]), Some(4));
    assert_eq!(status(&at, &["acquire", "acme", "Fax"]), Some(2));
    let nobody = ["acquire", "acme", "--addr", "http://127.0.0.1:1"];
    assert_eq!(status(&at, &nobody), Some(3));
    let held = text(done(&at, &["acquire", "acme", "--hold", "5s"]));
    assert!(held.contains("\nheld     "), "{held}");

    let admin = admin.to_string();
    let explain = [
        "explain", "limit", "acme", "sms", "--key", "u", "--admin", &admin,
    ];
    let told = text(done(&at, &explain));
    assert_eq!(
        told,
        "denied: the tenant's own bucket has no token for another 1s\n\n\
         tenant   active, of tier free\n\
         bucket   sms, this key: 1 of 2 left, 1/s, full in 1s\n\
         bucket   own: 0 of 3 left, 1/s, full in 3s\n\
         last 10 s    0 allowed, 0 denied; 0 tokens\n\
         last minute  1 allowed, 0 denied; 1 tokens\n\
         last hour    1 allowed, 0 denied; 1 tokens\n"
    );
    let keyless = text(done(
        &at,
        &["explain", "limit", "acme", "sms", "--admin", &admin],
    ));
    assert!(
        keyless.contains("1s; without a key, no key's bucket is charged\n"),
        "{keyless}"
    );
    let as_json = [&explain[..], &["--json"]].concat();
    let told: Value = serde_json::from_slice(&done(&at, &as_json)).expect("it is JSON");
    assert_eq!(told["buckets"][1]["remaining"], 0);
    assert_eq!(told["recent"]["hour"]["allowed"], 1);
    assert_eq!(told["observed"], Value::Null, "it is not in shadow");
    let unknown = ["explain", "limit", "acme", "fax", "--admin", &admin];
    assert_eq!(status(&at, &unknown), Some(4));
}

#[test]
fn a_canary_says_a_line_a_check_and_ends_with_a_leak() {
    let sidecar = sidecar();
    let at = address(&sidecar);
    let told = done(&at, &["canary", "--once"]);
    let told = String::from_utf8(told).expect("text");
    assert_eq!(told.lines().count(), 7, "{told}");
    assert!(told.starts_with("keys         passed\n"), "{told}");
    assert!(
        told.ends_with("buckets      skipped: nothing limits the tenants\n"),
        "{told}"
    );
    // It is unavailable, and not a leak.
    let nobody = ["canary", "--addr", "http://127.0.0.1:1"];
    assert_eq!(status(&at, &nobody), Some(3));
    let one = ["canary", "--a", "same", "--b", "same"];
    assert_eq!(status(&at, &one), Some(2));
    let wrong = ["canary", "--a", "no/name"];
    assert_eq!(status(&at, &wrong), Some(2));
}

#[test]
fn a_canary_that_checks_nothing_does_not_end_well() {
    let mut config = Config::on_free_ports();
    config.tenancy.strangers = Strangers::Refuse;
    let sidecar = Sidecar::start(config).expect("it starts");
    let output = millpond(&address(&sidecar), &["canary"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("nothing was checked"),
        "{}",
        stderr(&output)
    );
}
