use super::*;

fn stats(hits: u64, misses: u64, leads: u64) -> StatsReply {
    StatsReply {
        program: "0.1.0".to_owned(),
        stage: "serving".to_owned(),
        uptime_ms: 90_000,
        cache: Some(CacheStats {
            hits,
            misses,
            leads,
            ..CacheStats::default()
        }),
        ..StatsReply::default()
    }
}

fn size(columns: usize, rows: usize) -> Size {
    Size { columns, rows }
}

fn page(view: View<'_>) -> String {
    view.lines().join("\n")
}

#[test]
fn rates_are_of_the_time_since_the_last_page() {
    let (before, now) = (stats(1_000, 500, 100), stats(1_900, 600, 150));
    let view = View {
        now: &now,
        before: Some((&before, Duration::from_secs(2))),
        size: size(120, 40),
    };
    let page = page(view);
    assert!(page.contains("reads       500/s"), "{page}");
    assert!(page.contains("90.0 %"), "{page}");
    assert!(page.contains("origin spared 95.0 %"), "{page}");
    assert!(page.contains("up 1m30s"), "{page}");
}

#[test]
fn each_cache_tells_its_own_reads_and_the_rest_theirs_together() {
    let counts = |hits, misses| {
        Some(CacheCounts {
            hits,
            misses,
            loads: misses,
            ..CacheCounts::default()
        })
    };
    let cache = |name: &str, counts| CacheInForce {
        name: name.to_owned(),
        declared: true,
        counts,
        ..CacheInForce::default()
    };
    let of = |users, other| StatsReply {
        caches: vec![cache("users", users), cache("strange", None)],
        other_counts: other,
        ..stats(0, 0, 0)
    };
    let before = of(counts(100, 100), counts(50, 50));
    let now = of(counts(280, 120), counts(50, 70));
    let view = View {
        now: &now,
        before: Some((&before, Duration::from_secs(2))),
        size: size(200, 40),
    };
    let page = page(view);
    let row = |name: &str| -> Vec<String> {
        let row = page.lines().find(|line| line.starts_with(name)).unwrap();
        row.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("users")[2..6], ["100/s", "90.0", "%", "10/s"], "{page}");
    assert_eq!(row("strange")[2..5], ["-", "-", "-"], "{page}");
    assert_eq!(row("those")[4..], ["10/s", "0.0", "%", "10/s"], "{page}");
}

#[test]
fn a_sidecar_that_was_restarted_counts_from_zero() {
    let (before, now) = (stats(1_000, 500, 100), stats(10, 0, 0));
    let view = View {
        now: &now,
        before: Some((&before, Duration::from_secs(1))),
        size: size(120, 40),
    };
    assert!(page(view).contains("hit       0/s"), "{}", page(view));
}

#[test]
fn nothing_is_wider_or_longer_than_the_terminal_or_steers_it() {
    let mut now = stats(1, 1, 1);
    now.stage = "x\u{1b}[2J\n".repeat(40);
    for (columns, rows) in [(80, 24), (40, 8), (0, 0)] {
        let view = View {
            now: &now,
            before: None,
            size: size(columns, rows),
        };
        let lines = view.lines();
        assert!(lines.len() <= rows.max(MIN_HEIGHT));
        for line in lines {
            assert!(line.chars().count() <= columns.max(MIN_WIDTH), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
        }
    }
}

#[test]
fn a_configuration_that_is_not_in_force_comes_first() {
    let mut now = stats(1, 1, 1);
    now.config = Some(millpond_proto::v1::ConfigInForce {
        file: "m.yaml".to_owned(),
        refused: vec!["caches.users.fresh: …".to_owned()],
        ..millpond_proto::v1::ConfigInForce::default()
    });
    let view = View {
        now: &now,
        before: None,
        size: size(120, 40),
    };
    assert_eq!(
        view.lines()[1],
        "! m.yaml is not in force: caches.users.fresh: …"
    );
}
