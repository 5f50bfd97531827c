//! What operators call, as they call it: the real binary against a sidecar of the test's
//! own.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use millpond_core::cache::{CacheName, Mode};
use millpond_sidecar::{Config, Running, Sidecar};

fn sidecar() -> (Running, SocketAddr) {
    let running = Sidecar::start(Config::on_free_ports()).expect("it starts");
    let admin = running.admin().expect("it serves operators");
    (running, admin)
}

fn millpond(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn at(admin: impl ToString, arguments: &[&str]) -> Output {
    let mut command = millpond(arguments);
    command.args(["--admin", &admin.to_string()]);
    command.output().expect("the binary was built for the test")
}

fn said(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

#[test]
fn that_it_has_drained_is_told_however_soon_the_sidecar_closes() {
    // Nothing is in flight, so the answer and the end come in one go; several times,
    // because whether they are read in one go is the machine's choice.
    for _ in 0..8 {
        let (sidecar, admin) = sidecar();
        let drained = at(admin, &["drain", "--wait"]);
        assert_eq!(said(&drained), (Some(0), "drained\n".to_owned()));
        assert_eq!(sidecar.join().cut_off, 0);
    }
}

#[test]
fn a_sidecar_is_reached_under_any_name_that_leads_to_it() {
    let (sidecar, admin) = sidecar();
    // A name to whoever looks it up, and no address to a browser's victim.
    let named = format!("127.1:{}", admin.port());
    let told = at(&named, &["mode"]);
    let expected = "no cache is declared or in use\n".to_owned();
    assert_eq!(said(&told), (Some(0), expected));
    let drained = at(&named, &["drain"]);
    assert_eq!(said(&drained), (Some(0), "draining\n".to_owned()));
    sidecar.join();
}

#[test]
fn a_cache_is_not_switched_for_no_time_and_so_for_ever() {
    let (sidecar, admin) = sidecar();
    for none in ["0", "0s"] {
        let (status, why) = said(&at(admin, &["mode", "users", "bypass", "--for", none]));
        assert_eq!(status, Some(2), "{why}");
    }
    let users = CacheName::parse("users").expect("a name");
    assert_eq!(sidecar.pond().cache(&users), None);

    let switched = at(admin, &["mode", "users", "bypass", "--for", "1h"]);
    assert_eq!(switched.status.code(), Some(0));
    let users = sidecar.pond().cache(&users).expect("it is switched");
    assert_eq!((users.mode, users.switched), (Mode::Bypass, true));
}

#[test]
fn a_variable_that_is_empty_names_no_file() {
    let mut check = millpond(&["check", "--effective"]);
    let checked = check.env("MILLPOND_CONFIG", "").output();
    let (status, said) = said(&checked.expect("the binary was built for the test"));
    assert_eq!(status, Some(0), "{said}");
}
