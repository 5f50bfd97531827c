use std::sync::Arc;
use std::time::Duration;

use millpond_core::clock::{ManualClock, Time};
use parking_lot::Mutex;
use tracing::subscriber::with_default;
use tracing::{error, info, warn};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// What `say` logs, line by line, with a clock that it may move.
fn logged(format: Format, say: impl FnOnce(&ManualClock)) -> Vec<String> {
    let written = Arc::new(Mutex::new(String::new()));
    let clock = ManualClock::starting_at(Time::from_nanos(1));
    let sink = Arc::clone(&written);
    let lines = Lines::to(
        format,
        Clock::Manual(clock.clone()),
        Box::new(move |line: String| sink.lock().push_str(&line)),
    );
    with_default(tracing_subscriber::registry().with(lines), || say(&clock));
    let written = written.lock();
    assert!(written.is_empty() || written.ends_with('\n'));
    written.lines().map(str::to_owned).collect()
}

/// Everything that could end a line, move a cursor or forge a field.
const HOSTILE: &str = "a\nb\r\u{1b}[31m\0\u{7f}\u{85}\u{2028}\u{202e}\t\"\\ msg=\"x\" é😀";

#[test]
fn whatever_a_value_holds_a_json_line_stays_one_line_and_says_it_all() {
    let lines = logged(Format::Json, |_| {
        warn!(target: "there", text = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, number = -3, big = u64::MAX, yes = true, half = 0.5, none = f64::NAN, "{HOSTILE}");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].chars().any(breaks_a_line), "{}", lines[0]);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("it is JSON");
    assert_eq!(line["level"], "warn");
    assert_eq!(line["target"], "there");
    assert_eq!(line["msg"], HOSTILE);
    let fields = &line["fields"];
    assert_eq!(fields["text"], HOSTILE);
    assert_eq!(fields["shown"], HOSTILE);
    assert_eq!(fields["debugged"], format!("{HOSTILE:?}"));
    assert_eq!(fields["number"], -3);
    assert_eq!(fields["big"], u64::MAX);
    assert_eq!(fields["yes"], true);
    assert_eq!(fields["half"], 0.5);
    assert_eq!(fields["none"], "NaN");
    let ts = line["ts"].as_str().expect("a text");
    assert!(
        ts.ends_with('Z') && ts.len() == "2026-01-31T12:00:00.000000Z".len(),
        "{ts}"
    );
    assert!(line.get("trace_id").is_none());
}

#[test]
fn a_text_line_cannot_be_forged_by_a_value() {
    let lines = logged(Format::Text, |_| {
        info!(
            text = HOSTILE,
            plain = "as-it-is",
            empty = "",
            n = 7,
            "said {HOSTILE}"
        );
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].chars().any(breaks_a_line), "{}", lines[0]);
    assert!(lines[0].contains("  INFO said a\\nb"), "{}", lines[0]);
    assert!(lines[0].contains(" text=\"a\\nb"), "{}", lines[0]);
    assert!(
        lines[0].ends_with(" plain=as-it-is empty=\"\" n=7"),
        "{}",
        lines[0]
    );
}

#[test]
fn a_notice_of_dropped_lines_looks_like_any_other_line() {
    let json = notice(Format::Json, 7);
    let line: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(line["level"], "warn");
    assert_eq!(line["fields"]["lines"], 7);
    assert!(json.ends_with("}\n") && json.lines().count() == 1, "{json}");
    let text = notice(Format::Text, 7);
    assert!(text.contains("Z  WARN lines were dropped"), "{text}");
    assert!(text.ends_with(" lines=7\n"), "{text}");
}

#[test]
fn a_long_value_is_cut_between_characters() {
    let long = "é".repeat(MAX_VALUE);
    let lines = logged(Format::Json, |_| error!(long, "short"));
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("it is JSON");
    let cut = line["fields"]["long"].as_str().expect("a text");
    assert_eq!(cut, format!("{}…", "é".repeat(MAX_VALUE / 2)));
}

#[test]
fn repeats_of_one_place_are_told_64_times_and_then_how_often() {
    let lines = logged(Format::Json, |clock| {
        let again = |n: u32| warn!(n, "again");
        (0..1_000).for_each(again);
        info!("another place is not held up");
        for _ in 0..50 {
            info!(target: "audit", "told each time");
        }
        clock.advance(Duration::from_secs(10));
        again(1_000);
        again(1_001);
    });
    let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(of("again"), 66);
    assert_eq!(of("another place"), 1);
    assert_eq!(of("told each time"), 50);
    assert_eq!(of("suppressed"), 1);
    assert!(
        lines[115].contains("\"n\":1000,\"suppressed\":936"),
        "{}",
        lines[115]
    );
}

#[test]
fn a_line_written_in_a_traced_call_names_its_trace() {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    let of = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let say = |_: &ManualClock| {
        let inside = Context::new().with_remote_span_context(of.clone()).attach();
        info!("inside");
        drop(inside);
        info!("outside");
    };
    let json = logged(Format::Json, say);
    let line: serde_json::Value = serde_json::from_str(&json[0]).expect("it is JSON");
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["span_id"], "b7ad6b7169203331");
    assert!(!json[1].contains("trace_id"), "{}", json[1]);
    let text = logged(Format::Text, say);
    let ids = " trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331";
    assert!(text[0].ends_with(ids), "{}", text[0]);
}

#[test]
fn what_operators_did_is_found_by_one_word_in_either_format() {
    for format in [Format::Text, Format::Json] {
        let lines = logged(format, |_| {
            info!(target: AUDIT, action = "drain", "changed");
            info!(action = "drain", "changed");
        });
        let found: Vec<_> = lines.iter().map(|line| line.contains("audit")).collect();
        assert_eq!(found, [true, false], "{lines:?}");
    }
}
