//! What operators call, as they call it: the real binary against a sidecar of the test's
//! own.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use millpond_core::cache::{CacheName, Mode};
use millpond_sidecar::config::{settings, time};
use millpond_sidecar::{Config, Running, Sidecar};
use serde_json::Value;

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
fn explaining_tells_no_hash_of_a_key_in_a_cache_that_nobody_uses() {
    let (sidecar, admin) = sidecar();
    let explain = ["explain", "key", "acme", "users", "42", "--json"];
    let told = |words: &[&str]| -> Value {
        let output = at(admin, words);
        assert_eq!(output.status.code(), Some(0));
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    };
    let unused = told(&explain);
    assert_eq!(unused["key_hash"], Value::Null);
    let (_, words) = said(&at(admin, &explain[..5]));
    assert!(!words.contains("hash"), "{words}");

    let scope = sidecar.pond().scope_named("acme", "users").expect("names");
    let used = told(&explain);
    let hash = format!("{:016x}", sidecar.pond().pseudonym(&scope, b"42"));
    assert_eq!(used["key_hash"], hash);
}

#[test]
fn a_variable_that_is_empty_names_no_file() {
    let mut check = millpond(&["check", "--effective"]);
    let checked = check.env("MILLPOND_CONFIG", "").output();
    let (status, said) = said(&checked.expect("the binary was built for the test"));
    assert_eq!(status, Some(0), "{said}");
}

/// A command that speaks to the cache, and to whom its operators speak.
fn cache(sidecar: &Running, admin: impl ToString, arguments: &[&str]) -> Output {
    let address = sidecar.tcp().expect("it listens on TCP");
    let mut command = millpond(arguments);
    command.env("MILLPOND_ADDR", format!("http://{address}"));
    command.env("MILLPOND_ADMIN", admin.to_string());
    command.output().expect("the binary was built for the test")
}

fn warned(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_tenant_is_invalidated_in_all_its_caches_and_no_other() {
    let (sidecar, admin) = sidecar();
    let all = [("acme", "users"), ("acme", "carts"), ("other", "users")];
    for (tenant, name) in all {
        let set = cache(&sidecar, admin, &["set", tenant, name, "42", "Ada"]);
        assert_eq!(set.status.code(), Some(0), "{}", warned(&set));
    }
    let whole = [
        "invalidate",
        "acme",
        "--whole-tenant",
        "--why",
        "left",
        "--json",
    ];
    let (status, told) = said(&cache(&sidecar, admin, &whole));
    let told: Value = serde_json::from_str(&told).expect("one JSON value, and nothing else");
    assert_eq!((status, &told["durability"]), (Some(0), &"local".into()));
    for (tenant, name) in all {
        let got = cache(&sidecar, admin, &["get", tenant, name, "42"]);
        let held = i32::from(tenant == "acme");
        assert_eq!(got.status.code(), Some(held), "{tenant} {name}");
    }
    for more in [&["users"][..], &["--soft"], &["--tag", "a"], &["--all"]] {
        let mixed = [&["invalidate", "acme", "--whole-tenant"][..], more].concat();
        let (status, why) = said(&cache(&sidecar, admin, &mixed));
        assert_eq!(status, Some(2), "{more:?}: {why}");
    }
}

#[test]
fn a_cache_that_nobody_knows_is_warned_of_and_one_in_use_is_not() {
    let (sidecar, admin) = sidecar();
    let mode = at(admin, &["mode", "usres", "bypass", "--for", "1h", "--json"]);
    assert!(warned(&mode).contains("usres: neither declared nor in use"));
    let told: Value = serde_json::from_slice(&mode.stdout).expect("one JSON value");
    assert_eq!(
        (mode.status.code(), &told["known"]),
        (Some(0), &false.into())
    );
    assert_eq!(told["ends_in_ms"], 3_600_000);
    let gone = cache(&sidecar, admin, &["invalidate", "acme", "uesrs", "--all"]);
    assert_eq!(gone.status.code(), Some(0));
    assert!(warned(&gone).contains("uesrs: neither declared nor in use"));

    let set = cache(&sidecar, admin, &["set", "acme", "users", "42", "Ada"]);
    assert_eq!(set.status.code(), Some(0), "{}", warned(&set));
    let gone = cache(&sidecar, admin, &["invalidate", "acme", "users", "--all"]);
    assert_eq!(
        (gone.status.code(), warned(&gone)),
        (Some(0), String::new())
    );
    let mode = at(admin, &["mode", "users", "on"]);
    assert_eq!(
        (mode.status.code(), warned(&mode)),
        (Some(0), String::new())
    );
    // Of another sidecar's caches nothing follows for this one's, nor of nobody's.
    let (_other, others) = self::sidecar();
    for admin in [others.to_string(), "127.0.0.1:1".to_owned()] {
        let gone = cache(&sidecar, &admin, &["invalidate", "acme", "unknown", "1"]);
        assert_eq!(
            (gone.status.code(), warned(&gone)),
            (Some(0), String::new())
        );
    }
}

#[test]
fn an_address_without_a_host_is_told_what_is_expected() {
    for command in [&["mode"][..], &["drain"], &["reload"]] {
        let (status, why) = said(&at(":7471", command));
        assert_eq!(status, Some(2), "{command:?}: {why}");
        assert!(
            why.contains("expected HOST:PORT, such as 127.0.0.1:7471"),
            "{why}"
        );
    }
}

#[test]
fn that_it_drains_is_not_said_of_a_sidecar_that_never_answered() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let admin = silent.local_addr().expect("it is bound");
    let (status, why) = said(&at(admin, &["drain", "--wait", "200ms"]));
    assert_eq!(status, Some(3), "{why}");
    assert!(
        why.contains("has not said that it has drained, after 200ms"),
        "{why}"
    );
}

#[test]
fn what_is_explained_in_words_is_in_the_json_too() {
    let (sidecar, admin) = sidecar();
    let set = cache(&sidecar, admin, &["set", "acme", "users", "42", "Ada"]);
    assert_eq!(set.status.code(), Some(0), "{}", warned(&set));
    let explained = at(admin, &["explain", "key", "acme", "users", "42", "--json"]);
    let told: Value = serde_json::from_slice(&explained.stdout).expect("one JSON value");
    assert_eq!(told["entry"]["state"], "fresh");
    let in_force = &told["cache"];
    assert_eq!(
        (&in_force["mode"], &in_force["declared"]),
        (&"on".into(), &false.into())
    );
    assert_eq!(
        (&in_force["fresh_ms"], &in_force["stale_ms"]),
        (&30_000.into(), &0.into())
    );
}

#[test]
fn the_schema_is_printed_whichever_file_the_environment_names() {
    let mut check = millpond(&["check", "--schema"]);
    let printed = check.env("MILLPOND_CONFIG", "/no/such/file").output();
    let printed = printed.expect("the binary was built for the test");
    assert_eq!(printed.status.code(), Some(0), "{}", warned(&printed));
    assert!(printed.stdout.starts_with(b"{"));
}

#[test]
fn a_flag_that_takes_a_time_says_so() {
    let help = millpond(&["serve", "--help"]).output();
    let help = help.expect("the binary was built for the test").stdout;
    let help = String::from_utf8(help).expect("help is text");
    let mut times = 0;
    for setting in settings() {
        let is_time = time(&setting.default).is_some() && setting.default.parse::<u64>().is_err();
        times += u32::from(is_time);
        let told = help.contains(&format!("--{} <TIME>", setting.flag));
        assert_eq!(told, is_time, "{}", setting.flag);
    }
    assert!(times >= 3, "{times}");
}

#[test]
fn a_tenant_is_put_suspended_resumed_and_purged() {
    let (sidecar, admin) = sidecar();
    let run = |arguments: &[&str]| {
        let line = [&["tenant"], arguments].concat();
        said(&cache(&sidecar, admin, &line))
    };
    assert_eq!(
        run(&["list"]),
        (Some(0), "no tenant is known here\n".to_owned())
    );
    let put = ["put", "acme", "--tier", "pro", "--set", "rate=500/s"];
    let told = "acme: pro, active, rate=500/s, in this sidecar (was not known)\n".to_owned();
    assert_eq!(run(&put), (Some(0), told));
    let (status, told) = run(&["list"]);
    assert_eq!(status, Some(0));
    let words: Vec<_> = told.split_whitespace().collect();
    assert_eq!(words, ["acme", "pro", "active", "500/s,", "burst", "1000"]);

    let held = cache(&sidecar, admin, &["set", "acme", "users", "42", "Ada"]);
    assert_eq!(held.status.code(), Some(0));
    let told = "acme: pro, suspended, rate=500/s, in this sidecar (was pro, active, rate=500/s)\n"
        .to_owned();
    assert_eq!(
        run(&["suspend", "acme", "--why", "unpaid"]),
        (Some(0), told)
    );
    let get = ["get", "acme", "users", "42"];
    assert_eq!(
        cache(&sidecar, admin, &get).status.code(),
        Some(4),
        "refused"
    );
    assert_eq!(run(&["state", "acme", "maintenance"]).0, Some(0));
    assert_eq!(
        cache(&sidecar, admin, &get).status.code(),
        Some(4),
        "and not away"
    );
    assert_eq!(run(&["resume", "acme"]).0, Some(0));
    assert_eq!(cache(&sidecar, admin, &get).status.code(), Some(0));

    let (status, told) = run(&["show", "acme", "--json"]);
    let told: Value = serde_json::from_str(&told).expect("one JSON value, and nothing else");
    assert_eq!(
        (status, &told["settings"]["rate"]),
        (Some(0), &"500/s".into())
    );
    assert_eq!(told["source"], "operator");
    let (status, told) = run(&["show", "nobody"]);
    assert_eq!(status, Some(1), "{told}");

    let (status, told) = run(&["purge", "acme"]);
    assert_eq!(status, Some(4), "it is served: {told}");
    let purge = ["purge", "acme", "--force", "--why", "ticket 7", "--json"];
    let (status, told) = run(&purge);
    let receipt: Value = serde_json::from_str(&told).expect("one JSON value, and nothing else");
    assert_eq!(
        (status, &receipt["entries"]),
        (Some(0), &1.into()),
        "{receipt}"
    );
    assert_eq!(receipt["not_verified"], Value::Array(Vec::new()));
    let (status, told) = run(&["resume", "acme"]);
    assert_eq!(status, Some(4), "{told}");
    assert!(told.contains("put it again to begin anew"), "{told}");

    for wrong in [
        &["put", "acme", "--tier", "gold"][..],
        &["put", "acme", "--tier", "pro", "--set", "rate=fast"],
        &["put", "acme", "--tier", "pro", "--set", "rate"],
        &["state", "acme", "purged"],
        &["suspend", "a b"],
    ] {
        let (status, told) = run(wrong);
        assert_eq!(status, Some(2), "{told}");
    }
}
