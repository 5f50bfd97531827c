//! Whatever a file holds, it is read to an end, and every mistake says what it is
//! about.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::read;

/// Longer than any message of ours: 80 characters each of path, value and the like.
const LONG: usize = 1_200;

fn holds(bytes: &[u8]) {
    let reading = read(bytes);
    for mistake in reading
        .mistakes
        .iter()
        .chain(&reading.unknown)
        .chain(&reading.warnings)
    {
        assert!(!mistake.path.is_empty() && !mistake.expected.is_empty());
        let line = mistake.to_string();
        assert!(line.len() < LONG && !line.contains('\n'), "{line}");
    }
    if reading.mistakes.is_empty() && reading.unknown.is_empty() {
        // What is good stays good when it is written out.
        let again = read(reading.effective().as_bytes());
        assert_eq!((again.mistakes, again.unknown), (vec![], vec![]));
    }
}

/// What YAML is made of, and what a configuration is made of.
const PIECES: [&str; 62] = [
    "\n",
    "\n  ",
    "\n    ",
    "\n\t",
    " ",
    ": ",
    ":",
    "- ",
    "? ",
    ", ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<",
    "!t ",
    "!!str ",
    "|",
    ">",
    "|2-\n",
    "'",
    "\"",
    "\\",
    "%",
    "%YAML 1.1\n",
    "@",
    "`",
    "#",
    " # c",
    "---\n",
    "...\n",
    "~",
    "null",
    "apiVersion: millpond/v1\n",
    "apiVersion",
    "millpond/v1",
    "caches",
    "caches:\n",
    "users",
    "users:\n",
    "undeclared",
    "limits",
    "fresh",
    "fresh: 1s",
    "mode: on",
    "max_load",
    "lease: ",
    "memory: ",
    "50%",
    "30s",
    "0",
    "-1",
    "1e9",
    ".nan",
    "off",
    "true",
    "listen: ",
    "127.0.0.1:1",
    "\u{feff}",
    "é\u{202e}",
];

/// Of each test: a quick run's, or as many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    let said = std::env::var("PROPTEST_CASES").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases())
    })]

    #[test]
    fn arbitrary_bytes_are_read_to_an_end(bytes in vec(any::<u8>(), 0..400)) {
        holds(&bytes);
        let mut headed = b"apiVersion: millpond/v1\n".to_vec();
        headed.extend(&bytes);
        holds(&headed);
    }

    #[test]
    fn arbitrary_text_is_read_to_an_end(text in "\\PC{0,200}") {
        holds(text.as_bytes());
        holds(format!("apiVersion: millpond/v1\ncaches:\n  {text}").as_bytes());
    }

    #[test]
    fn arbitrary_pieces_of_yaml_are_read_to_an_end(pieces in vec(select(&PIECES[..]), 0..60)) {
        holds(pieces.concat().as_bytes());
        let headed = format!("apiVersion: millpond/v1\n{}", pieces.concat());
        holds(headed.as_bytes());
    }

    #[test]
    fn an_arbitrary_value_in_any_field_is_read_to_an_end(
        field in select(&["memory", "drain", "listen", "socket", "workers", "log"][..]),
        policy in select(&["fresh", "jitter", "max_value", "mode", "early_refresh"][..]),
        value in "[ -~]{0,40}",
    ) {
        let quoted = value.replace('\'', "''");
        holds(format!("apiVersion: millpond/v1\n{field}: '{quoted}'\n").as_bytes());
        let cache = format!("apiVersion: millpond/v1\ncaches: {{a: {{{policy}: '{quoted}'}}}}\n");
        holds(cache.as_bytes());
    }
}
