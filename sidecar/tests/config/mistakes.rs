//! Every kind of mistake in a value: the exact message, and all of them in one run.

use crate::wrong;

/// The mapping a snippet stands in, the snippet, where the mistake is when the
/// snippet stands alone, and the message after its path. `(cache)` is the path of
/// whichever cache the snippet is put into.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    (
        "",
        "memmory: 1Gi",
        "2:1",
        "memmory: unknown key, much like memory; expected one of listen, socket, probe, admin, memory, in_flight, workers, drain, canary, unknown_limits, limits, log, tracing, undeclared, caches, tiers, tenants, unknown_tenants, descriptors, apiVersion",
    ),
    (
        "",
        "memory: 512MB",
        "2:9",
        "memory: found \"512MB\", whose unit is not one of Ki, Mi, Gi, KiB, MiB, GiB; expected bytes such as 512MiB, 512Mi or 1Gi, at least 1KiB, or 1% to 100% of the container's limit",
    ),
    (
        "",
        "in_flight: 1MiB",
        "2:12",
        "in_flight: found \"1MiB\", which is too little; expected bytes such as 512MiB, 512Mi or 1Gi, at least 8MiB, or 1% to 100% of the container's limit",
    ),
    (
        "",
        "listen: 7470",
        "2:9",
        "listen: found \"7470\", which is only a port; expected an IP address and a port such as 127.0.0.1:7470, or off",
    ),
    (
        "",
        "probe: ':7472'",
        "2:8",
        "probe: found \":7472\", which says no address before its port; expected an IP address and a port such as 0.0.0.0:7472, or off",
    ),
    (
        "",
        "admin: admin.internal:7471",
        "2:8",
        "admin: found \"admin.internal:7471\", and names other than localhost are not looked up; expected an IP address and a port such as 127.0.0.1:7471, or off",
    ),
    (
        "",
        "drain: 25",
        "2:8",
        "drain: found \"25\", which has no unit; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 1h",
    ),
    (
        "",
        "socket: /run/millpond/",
        "2:9",
        "socket: found \"/run/millpond/\", which is a folder; expected a path of at most 103 bytes such as /run/millpond/millpond.sock, or off",
    ),
    (
        "",
        "workers: 0",
        "2:10",
        "workers: found \"0\", which is too few; expected auto or a whole number from 1 to 1024",
    ),
    (
        "",
        "fresh: 3s",
        "2:1",
        "fresh: unknown key, much like caches.(name).fresh; expected one of listen, socket, probe, admin, memory, in_flight, workers, drain, canary, unknown_limits, limits, log, tracing, undeclared, caches, tiers, tenants, unknown_tenants, descriptors, apiVersion",
    ),
    (
        "",
        "undeclared: [30s]",
        "2:13",
        "undeclared: found a list; expected fields such as fresh:",
    ),
    (
        "limits",
        "connections: -4",
        "3:16",
        "limits.connections: found \"-4\"; expected a whole number from 1 to 1000000",
    ),
    (
        "limits",
        "loads: 1.5",
        "3:10",
        "limits.loads: found \"1.5\"; expected a whole number from 1 to 16777216",
    ),
    (
        "limits",
        "caches: 99999999999999999999",
        "3:11",
        "limits.caches: found \"99999999999999999999\"; expected a whole number from 1 to 16777216",
    ),
    (
        "limits",
        "waiters:",
        "3:10",
        "limits.waiters: found nothing; expected a whole number from 1 to 16777216",
    ),
    (
        "limits",
        "calls_per_conection: 10",
        "3:3",
        "limits.calls_per_conection: unknown key, much like calls_per_connection; expected one of connections, calls_per_connection, loads, waiters, caches, tags_per_tenant, unknown_tenants, patience, ping_every",
    ),
    (
        "log",
        "format: xml",
        "3:11",
        "log.format: found \"xml\"; expected text or json",
    ),
    (
        "log",
        "filter: ''",
        "3:11",
        "log.filter: found \"\"; expected error, warn, info, or directives by module such as warn,millpond_sidecar=info",
    ),
    (
        "log",
        "level: debug",
        "3:3",
        "log.level: unknown key, much like filter; expected one of format, filter",
    ),
    (
        "tracing",
        "endpoint: http://me:hunter2@otel:4317",
        "3:13",
        "tracing.endpoint: found a value which carries a name or a password, and those are not sent; expected an address such as http://otel-collector:4317, or off",
    ),
    (
        "tracing",
        "sample: 1.5",
        "3:11",
        "tracing.sample: found \"1.5\", which is too large; expected a number from 0 to 1",
    ),
    (
        "caches",
        "fresh: 30 sconds",
        "4:12",
        "(cache).fresh: found \"30 sconds\"; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 30d",
    ),
    (
        "caches",
        "fresh: -1s",
        "4:12",
        "(cache).fresh: found \"-1s\"; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 30d",
    ),
    (
        "caches",
        "fresh: 1e9",
        "4:12",
        "(cache).fresh: found \"1e9\"; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 30d",
    ),
    (
        "caches",
        "stale: 31d",
        "4:12",
        "(cache).stale: found \"31d\", which is too long; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 30d",
    ),
    (
        "caches",
        "stale_if_error: {time: 5m}",
        "4:21",
        "(cache).stale_if_error: found a mapping; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 30d",
    ),
    (
        "caches",
        "negative: [5s]",
        "4:15",
        "(cache).negative: found a list; expected a time such as 250ms, 30s, 5m or 1h30m, or 0, at most 30d",
    ),
    (
        "caches",
        "jitter: 1",
        "4:13",
        "(cache).jitter: found \"1\", which is too large; expected a number from 0 to below 1",
    ),
    (
        "caches",
        "jitter: .nan",
        "4:13",
        "(cache).jitter: found \".nan\"; expected a number from 0 to below 1",
    ),
    (
        "caches",
        "early_refresh: often",
        "4:20",
        "(cache).early_refresh: found \"often\"; expected a number from 0 to 100",
    ),
    (
        "caches",
        "max_value: 10MiB",
        "4:16",
        "(cache).max_value: found \"10MiB\", which is too much; expected bytes such as 64KiB or 1Mi, 0 to 4MiB",
    ),
    (
        "caches",
        "lease: 1ms",
        "4:12",
        "(cache).lease: found \"1ms\", which is too short; expected a time such as 250ms, 30s, 5m or 1h30m, at least 10ms, at most 30d",
    ),
    (
        "caches",
        "max_load: 5s",
        "4:15",
        "(cache).max_load: found 5s, which is less than lease; expected at least lease, 10s",
    ),
    (
        "caches",
        "lease: 2m",
        "4:12",
        "(cache).max_load: is 1m unless said, which is less than lease; expected at least lease, 2m",
    ),
    (
        "caches",
        "mode: off",
        "4:11",
        "(cache).mode: found \"off\", and what switches a cache off is called bypass; expected on, observe or bypass",
    ),
    (
        "caches",
        "mode: shadow",
        "4:11",
        "(cache).mode: found \"shadow\"; expected on, observe or bypass",
    ),
    (
        "caches",
        "staleIfError: 5m",
        "4:5",
        "(cache).staleIfError: unknown key, much like stale_if_error; expected one of fresh, stale, stale_if_error, negative, jitter, early_refresh, max_value, lease, max_load, mode",
    ),
    (
        "caches",
        "ttl: 30s",
        "4:5",
        "(cache).ttl: unknown key, much like fresh; expected one of fresh, stale, stale_if_error, negative, jitter, early_refresh, max_value, lease, max_load, mode",
    ),
    (
        "caches",
        "<<: {fresh: 1s}",
        "4:5",
        "(cache).<<: unknown key: YAML 1.2 merges nothing; expected one of fresh, stale, stale_if_error, negative, jitter, early_refresh, max_value, lease, max_load, mode",
    ),
];

#[test]
fn there_are_at_least_thirty_kinds() {
    assert!(ROWS.len() >= 30, "{}", ROWS.len());
}

#[test]
fn each_mistake_alone_has_its_exact_message() {
    for (section, snippet, place, message) in ROWS {
        let document = match *section {
            "" => format!("apiVersion: millpond/v1\n{snippet}\n"),
            "caches" => format!("apiVersion: millpond/v1\ncaches:\n  users:\n    {snippet}\n"),
            group => format!("apiVersion: millpond/v1\n{group}:\n  {snippet}\n"),
        };
        let message = message.replace("(cache)", "caches.users");
        let expected = format!("millpond.yaml:{place}: {message}");
        assert_eq!(wrong(document.as_bytes()), [expected], "{document}");
    }
}

/// One file with every mistake in it; each policy's in a cache of its own, and a
/// group once.
#[test]
fn all_mistakes_of_a_file_come_in_one_run() {
    let mut document = "apiVersion: millpond/v1\n".to_owned();
    let mut expected = Vec::new();
    for group in ["", "limits", "log", "tracing", "caches"] {
        if !group.is_empty() {
            document.push_str(&format!("{group}:\n"));
        }
        for (at, (section, snippet, _, message)) in ROWS.iter().enumerate() {
            if *section != group {
                continue;
            }
            document.push_str(&match group {
                "" => format!("{snippet}\n"),
                "caches" => format!("  c{at}:\n    {snippet}\n"),
                _ => format!("  {snippet}\n"),
            });
            expected.push(message.replace("(cache)", &format!("caches.c{at}")));
        }
    }
    let mut found: Vec<_> = wrong(document.as_bytes())
        .iter()
        .map(|message| {
            // Behind millpond.yaml:line:column.
            let (_, message) = message.split_once(": ").expect("a place and a message");
            message.to_owned()
        })
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_value_that_is_long_or_may_be_a_secret_is_not_repeated() {
    let secret = "s3cr3t".repeat(100);
    for document in [
        format!("apiVersion: millpond/v1\nmemory: {secret}\n"),
        format!("apiVersion: millpond/v1\n{secret}: 1\n"),
        format!("apiVersion: {secret}\n"),
        format!("apiVersion: millpond/v1\ncaches: {{{secret}: {{fresh: 1s}}}}\n"),
        format!("apiVersion: millpond/v1\ncaches: {{users: !{secret} {{}}}}\n"),
    ] {
        let found = wrong(document.as_bytes());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains(&secret[..90]), "{found:?}");
    }
    let hidden = wrong(b"apiVersion: millpond/v1\ntracing: {endpoint: 'http://me:hunter2@otel'}\n");
    assert!(!hidden.concat().contains("hunter2"), "{hidden:?}");
}
