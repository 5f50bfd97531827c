//! `millpond bench`, run as a person runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.arg("bench").args(arguments);
    command.output().expect("the binary was built for the test")
}

fn json(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.is_empty(), "{told}");
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON value")
}

#[test]
fn the_help_names_every_workload_and_says_what_is_checked() {
    let output = bench(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("help is text");
    assert!(output.status.success());
    for word in [
        "--trace <FILE>",
        "--zipf <KEYS>",
        "--herd <CALLERS>",
        "--capacity-percent <PERCENT>",
        "--transport <HOW>",
        "--json",
        "millpond bench --trace benches/traces/orm-busy.trace.xz",
        "leads, refreshes and promotions",
    ] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
}

#[test]
fn a_replay_adds_up_over_each_transport() {
    for transport in ["unix", "tcp", "embedded"] {
        let found = json(&bench(&[
            "--zipf",
            "200",
            "--accesses",
            "2000",
            "--callers",
            "8",
            "--loader-ms",
            "0",
            "--transport",
            transport,
            "--json",
            "--quiet",
        ]));
        assert_eq!(found["accesses"], 2_000, "{found}");
        assert_eq!(found["equation_holds"], true, "{found}");
        assert_eq!(found["wrong_values"], 0, "{found}");
        assert_eq!(found["errors"], 0, "{found}");
        assert_eq!(found["counted"]["leads"], found["loads"], "{found}");
    }
}

#[test]
fn a_herd_over_many_connections_loads_once_a_round() {
    let found = json(&bench(&[
        "--herd",
        "100",
        "--connections",
        "5",
        "--rounds",
        "2",
        "--loader-ms",
        "50",
        "--json",
    ]));
    assert_eq!(found["loads"], serde_json::json!([1, 1]), "{found}");
}

#[test]
fn what_cannot_be_measured_is_said_in_a_sentence() {
    for (arguments, expected) in [
        (&["--json"][..], "--trace <FILE>"),
        (
            &["--zipf", "10", "--value-bytes", "8"],
            "expected at least 32",
        ),
        (&["--trace", "/no/such.trace"], "/no/such.trace"),
        (
            &["--zipf", "10", "--addr", "http://127.0.0.1:1"],
            "http://127.0.0.1:1",
        ),
    ] {
        let output = bench(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}
