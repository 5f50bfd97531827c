//! Defaults, file, environment, flags; and what fields say together.

use millpond_sidecar::config::{Place, Reading, Source};

fn read(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Reading {
    let of_environment = |name: &str| {
        let said = environment.iter().find(|(of, _)| *of == name);
        said.map(|(_, text)| text.into())
    };
    let source = Source::new(Some("millpond.yaml".into()), of_environment);
    let source = flags.iter().fold(source, |source, (path, text)| {
        source.with_flag(&format!("--{path}"), path, text.into())
    });
    source.read_bytes(Some(format!("apiVersion: millpond/v1\n{text}").as_bytes()))
}

fn mistakes(text: &str) -> Vec<String> {
    let reading = read(text, &[], &[]);
    reading.mistakes.iter().map(ToString::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let reading = read(text, &[], &[]);
    reading.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn flags_lie_over_the_environment_over_the_file_over_defaults() {
    let file = "drain: 1s\nworkers: 1\nlimits: {loads: 1}\n";
    let environment = [
        ("MILLPOND_WORKERS", "2"),
        ("MILLPOND_LIMITS_LOADS", "2"),
        ("MILLPOND_LOG", ""),
    ];
    let reading = read(file, &environment, &[("limits.loads", "3")]);
    let config = &reading.config;
    assert_eq!(config.drain.as_secs(), 1);
    assert_eq!((config.workers, config.cache.max_loads), (2, 3));
    assert_eq!(config.log.filter, "info", "an empty variable says nothing");
    assert_eq!(reading.place("drain").to_string(), "millpond.yaml:2:8");
    assert_eq!(reading.place("workers").to_string(), "MILLPOND_WORKERS");
    assert_eq!(reading.place("limits.loads").to_string(), "--limits.loads");
    assert_eq!(reading.place("log.filter"), Place::Default);
    let effective = reading.effective();
    for line in [
        "drain: 1s",
        "# millpond.yaml:2:8",
        "# MILLPOND_WORKERS",
        "loads: 3",
        "# default",
    ] {
        assert!(effective.contains(line), "{line} in\n{effective}");
    }
}

#[test]
fn what_is_in_force_can_be_read_again_and_is_the_same() {
    let file =
        "memory: 64Mi\nlog: {filter: 'warn,a=info'}\ncaches: {'0': {fresh: 90s, mode: bypass}}\n";
    let first = read(file, &[("MILLPOND_DRAIN", "90s")], &[("admin", "off")]);
    assert_eq!(first.mistakes, []);
    let effective = first.effective();
    let source = Source::new(Some("effective.yaml".into()), |_| None);
    let again = source.read_bytes(Some(effective.as_bytes()));
    assert_eq!(
        (&again.mistakes, &again.unknown),
        (&vec![], &vec![]),
        "{effective}"
    );
    let values = |page: &str| {
        let lines = page
            .lines()
            .map(|line| line.split(" #").next().unwrap_or("").trim_end().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(values(&again.effective()), values(&effective));
}

#[test]
fn mistakes_of_all_layers_come_together_and_name_where_they_were_said() {
    let reading = read(
        "drain: 1\n",
        &[("MILLPOND_WORKERS", "many")],
        &[("memory", "1")],
    );
    let found: Vec<_> = reading.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("millpond.yaml:2:8: drain: found \"1\""));
    assert!(found[1].starts_with("MILLPOND_WORKERS: workers: found \"many\""));
    assert!(found[2].starts_with("--memory: memory: found \"1\""));
}

#[test]
fn a_flag_mends_a_variable_that_is_wrong() {
    let reading = read("", &[("MILLPOND_WORKERS", "many")], &[("workers", "2")]);
    assert_eq!((reading.mistakes, reading.config.workers), (vec![], 2));
}

#[test]
fn what_fields_say_together_is_checked() {
    for (text, message) in [
        (
            "listen: off\nsocket: off\n",
            "millpond.yaml:3:9: (document): listen and socket are both off: nobody could call the cache; expected one of them",
        ),
        (
            "admin: 127.0.0.1:7472\n",
            "millpond.yaml:2:8: admin: 127.0.0.1:7472 collides with probe, 0.0.0.0:7472; expected another port",
        ),
        (
            "listen: 127.0.0.1:7471\n",
            "millpond.yaml:2:9: admin: 127.0.0.1:7471 collides with listen, 127.0.0.1:7471; expected another port",
        ),
        (
            "undeclared: {max_load: 5s}\n",
            "millpond.yaml:2:24: undeclared.max_load: found 5s, which is less than lease; expected at least lease, 10s",
        ),
    ] {
        assert_eq!(mistakes(text), [message]);
    }
    assert_eq!(
        mistakes("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nprobe: 127.0.0.1:0\n"),
        [""; 0]
    );
    assert_eq!(
        mistakes("listen: 127.0.0.1:7470\nprobe: 127.0.0.2:7470\n"),
        [""; 0]
    );
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_warned_of() {
    for (text, part) in [
        (
            "admin: 0.0.0.0:7471\n",
            "admin: is reachable from outside the pod",
        ),
        (
            "listen: 0.0.0.0:7470\n",
            "listen: is reachable from outside the pod",
        ),
        (
            "drain: 1m\n",
            "drain: is more than the 30s that a pod is given",
        ),
        (
            "memory: 4096Gi\n",
            "memory: memory 4096GiB, in_flight 64MiB and what 12288 connections may take, ",
        ),
        (
            "memory: 1Gi\nlimits: {connections: 1000000}\n",
            "and what 1000000 connections may take, 34000000KiB, are more than",
        ),
        (
            "memory: 1Mi\ncaches: {a: {max_value: 2Mi}}\n",
            "caches.a.max_value: is more than memory",
        ),
        (
            "caches: {a: {max_value: 4Mi}}\n",
            "caches.a.max_value: is more than a message carries",
        ),
    ] {
        let found = warnings(text);
        assert!(found.iter().any(|found| found.contains(part)), "{found:?}");
        assert_eq!(mistakes(text), [""; 0]);
    }
    assert_eq!(
        warnings("memory: 16Mi\nlimits: {connections: 100}\n"),
        [""; 0]
    );
}

#[test]
fn messages_in_flight_take_no_more_than_half_of_memory_unless_it_is_said() {
    assert_eq!(read("memory: 32Mi\n", &[], &[]).config.in_flight, 16 << 20);
    assert_eq!(read("memory: 1Mi\n", &[], &[]).config.in_flight, 8 << 20);
    assert_eq!(read("memory: 1Gi\n", &[], &[]).config.in_flight, 64 << 20);
    let said = read("memory: 16Mi\nin_flight: 32Mi\n", &[], &[]);
    assert_eq!(said.config.in_flight, 32 << 20);
}

#[test]
fn connections_follow_memory_unless_it_is_said() {
    let connections = |text: &str| read(text, &[], &[]).config.max_connections;
    assert_eq!(connections("memory: 128Mi\n"), 963);
    assert_eq!(connections("memory: 1Mi\n"), 128);
    assert_eq!(connections("memory: 64Gi\n"), 12_288);
    let said = "memory: 128Mi\nlimits: {connections: 12288}\n";
    assert_eq!(connections(said), 12_288);
}

#[test]
fn what_is_held_at_most_fits_a_container_of_any_size_as_long_as_nothing_is_said() {
    const CONNECTION: u64 = 34 << 10;
    for limit in [64_u64, 128, 256, 512, 4_096, 65_536].map(|mib| mib << 20) {
        // As it is without a word: half of the limit.
        let config = read(&format!("memory: {}\n", limit / 2), &[], &[]).config;
        let connections = CONNECTION * config.max_connections as u64;
        let held = config.cache.budget + config.in_flight + connections;
        assert!(held <= limit / 8 * 7, "{held} of {limit}");
    }
}
