//! Files that are not written as they should be, and files that are and look odd.

use std::time::Duration;

use millpond_core::cache::{CacheName, Mode};

use crate::{read, wrong};

/// Bytes of a file, and what is said about it.
const FILES: &[(&[u8], &str)] = &[
    (
        b"",
        "millpond.yaml:1:1: apiVersion: is missing; expected apiVersion: millpond/v1",
    ),
    (
        b"# nothing yet\n",
        "millpond.yaml:1:1: apiVersion: is missing; expected apiVersion: millpond/v1",
    ),
    (
        b"apiVersion: millpond/v2\n",
        "millpond.yaml:1:13: apiVersion: found \"millpond/v2\"; expected millpond/v1",
    ),
    (
        b"- a\n- b\n",
        "millpond.yaml:1:1: (document): found a list; expected fields such as caches:",
    ),
    (
        b"just words",
        "millpond.yaml:1:1: (document): found \"just words\"; expected fields such as caches:",
    ),
    (
        b"apiVersion: millpond/v1\ndrain: 5s\nworkers: 2\ndrain: 6s\n",
        "millpond.yaml:4:1: drain: is given twice, on line 2 and on line 4; expected it once",
    ),
    (
        b"apiVersion: millpond/v1\ncaches:\n  users: {fresh: 1s, fresh: 2s}\n",
        "millpond.yaml:3:22: caches.users.fresh: is given twice, on line 3 and on line 3; expected it once",
    ),
    (
        b"apiVersion: millpond/v1\n---\napiVersion: millpond/v1\n",
        "millpond.yaml:2:1: (document): a second document begins here; expected one document",
    ),
    (
        b"apiVersion: millpond/v1\nmemory: \xff\xfe\n",
        "millpond.yaml:2:9: (document): these bytes are not UTF-8; expected text in UTF-8",
    ),
    (
        b"apiVersion: millpond/v1\n\0drain: 5s\n",
        "millpond.yaml:2:1: (document): found the control character \\u{0}; expected text",
    ),
    (
        b"apiVersion: millpond/v1\ncaches:\n  users: *nobody\n",
        "millpond.yaml:3:10: caches.users: not YAML: while parsing node, found unknown anchor; expected YAML as in apiVersion: millpond/v1",
    ),
    (
        b"apiVersion: millpond/v1\ncaches: &all\n  users: *all\n",
        "millpond.yaml:3:10: caches.users: found an alias of what it stands in; expected an alias of something before it",
    ),
    (
        b"apiVersion: millpond/v1\ncaches:\n  ? [a, b]\n  : {fresh: 1s}\n",
        "millpond.yaml:3:5: caches: found a key that is no word; expected a word before the colon",
    ),
    (
        b"apiVersion: millpond/v1\ncaches:\n  users: !policy {fresh: 1s}\n",
        "millpond.yaml:3:10: caches.users: found the tag !policy; expected a value without a tag",
    ),
];

#[test]
fn what_is_wrong_with_how_a_file_is_written_is_said_with_its_place() {
    for (bytes, message) in FILES {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(wrong(bytes), [*message], "{text}");
    }
}

#[test]
fn tabs_and_unended_quotes_are_no_yaml_and_the_place_is_named() {
    for (bytes, place) in [
        (
            &b"apiVersion: millpond/v1\ncaches:\n\tusers: {fresh: 1s}\n"[..],
            "millpond.yaml:3:",
        ),
        (
            b"apiVersion: millpond/v1\nmemory: 'half\n",
            "millpond.yaml:",
        ),
        (
            b"apiVersion: millpond/v1\ncaches: {users: {fresh: 1s}\n",
            "millpond.yaml:",
        ),
        (
            b"apiVersion: millpond/v1\nmemory: @half\n",
            "millpond.yaml:2:",
        ),
    ] {
        let found = wrong(bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(place), "{found:?}");
        assert!(found[0].contains("not YAML: "), "{found:?}");
    }
}

#[test]
fn what_was_read_before_it_stopped_being_yaml_is_checked_too() {
    let found = wrong(
        b"apiVersion: millpond/v1\nmemory: lots\ncaches:\n  users:\n    fresh: 5\n    mode: 'on\n",
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].contains("memory: found \"lots\""), "{found:?}");
    assert!(
        found[2].contains("caches.users.fresh: found \"5\""),
        "{found:?}"
    );
}

#[test]
fn a_file_is_bounded_in_size_in_depth_and_in_what_aliases_blow_it_up_to() {
    let large = format!("apiVersion: millpond/v1\n# {}\n", "x".repeat(1 << 20));
    let found = wrong(large.as_bytes());
    assert!(
        found.concat().contains("expected at most 1MiB"),
        "{found:?}"
    );

    for deep in [
        "[".repeat(500_000),
        "{a: ".repeat(250_000),
        "- ".repeat(500_000),
    ] {
        let found = wrong(format!("apiVersion: millpond/v1\ncaches:\n  {deep}").as_bytes());
        assert!(!found.is_empty() && found.len() < 4, "{found:?}");
        assert!(found[0].contains("caches"), "{found:?}");
    }

    let nested = format!(
        "apiVersion: millpond/v1\ncaches: {}1{}",
        "{a: ".repeat(16),
        "}".repeat(16)
    );
    let found = wrong(nested.as_bytes()).concat();
    assert!(
        found.contains("more than 16 mappings and lists stand inside each other"),
        "{found}"
    );

    let mut bomb = "apiVersion: millpond/v1\nb0: &b0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..60 {
        let nine = format!("*b{}, ", level - 1).repeat(9);
        bomb.push_str(&format!("b{level}: &b{level} [{nine}]\n"));
    }
    let found = wrong(bomb.as_bytes());
    assert!(found.len() < 10, "{found:?}");
    assert!(
        found.concat().contains("more than 100000 keys and values"),
        "{found:?}"
    );

    let many = format!(
        "apiVersion: millpond/v1\ncaches: [{}]",
        "a,".repeat(200_000)
    );
    let found = wrong(many.as_bytes()).concat();
    assert!(
        found.contains("more than 100000 keys and values"),
        "{found}"
    );
}

#[test]
fn an_alias_counts_as_all_that_it_refers_to() {
    let unknown: String = (0..1_000).map(|key| format!("k{key}: 1, ")).collect();
    let mut bomb = format!("apiVersion: millpond/v1\ncaches:\n  a: &a {{{unknown}}}\n");
    for cache in 0..400 {
        bomb.push_str(&format!("  c{cache}: *a\n"));
    }
    let reading = read(bomb.as_bytes());
    let found = reading.mistakes.len() + reading.unknown.len();
    assert!(found <= 100_000, "{found} mistakes in {} bytes", bomb.len());
    let first = reading.mistakes[0].to_string();
    assert!(
        first.contains("more than 100000 keys and values"),
        "{first}"
    );

    let ordinary = format!(
        "apiVersion: millpond/v1\ncaches:\n  a: &a {{fresh: 1s}}\n{}",
        (0..1_000)
            .map(|cache| format!("  c{cache}: *a\n"))
            .collect::<String>()
    );
    assert_eq!(wrong(ordinary.as_bytes()), [""; 0]);
}

#[test]
fn anchors_quotes_and_words_of_yaml_1_1_mean_what_they_look_like() {
    let reading = read(
        b"apiVersion: 'millpond/v1'
listen: localhost:7570
socket: no
admin: off
probe: \"0.0.0.0:7572\"
memory: 2.68435456e+08
in_flight: 64Mi
limits:            # all commented out
log: ~
undeclared: {mode: true, fresh: 0}
caches:
  users: &base
    fresh: 10s
    mode: on
  'orders': *base
  prices:
    mode: \"observe\"
    max_value: 64Ki
",
    );
    assert_eq!((reading.mistakes, reading.unknown), (vec![], vec![]));
    let config = reading.config;
    assert_eq!(
        config.listen,
        Some("127.0.0.1:7570".parse().expect("an address"))
    );
    assert!(config.socket.is_none() && config.admin.is_none());
    assert_eq!(
        (config.cache.budget, config.in_flight),
        (256 << 20, 64 << 20)
    );
    assert_eq!(config.cache.undeclared.fresh, Duration::ZERO);
    assert_eq!(config.cache.undeclared.mode, Mode::On);
    let policy = |name| config.cache.declared[&CacheName::parse(name).expect("a name")];
    assert_eq!(policy("users").fresh, Duration::from_secs(10));
    assert_eq!(policy("orders"), policy("users"));
    assert_eq!(policy("prices").mode, Mode::Observe);
    assert_eq!(policy("prices").max_value, 64 << 10);
    assert_eq!(
        policy("prices").stale,
        Duration::from_secs(60),
        "as declared caches have it"
    );
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_mistake() {
    assert_eq!(
        wrong("\u{feff}apiVersion: millpond/v1\r\ndrain: 5s\r\n".as_bytes()),
        [""; 0]
    );
}
