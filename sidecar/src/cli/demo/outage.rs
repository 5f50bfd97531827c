//! Act 5: the origin goes down, and what is held expires.

use std::time::Duration;

use tokio::task::JoinSet;

use super::callers::Callers;
use super::figure::Row;
use super::stage::{Naive, Outcome, Setting, Side, Stage};
use super::subject::Lives;

const LATENCY: Duration = Duration::from_millis(200);
const FRESH: Duration = Duration::from_millis(250);
/// Short, so that most of the act is played past it, where only a failed load
/// lets a value be answered.
const STALE: Duration = Duration::from_millis(250);
const STALE_IF_ERROR: Duration = Duration::from_secs(3_600);
const KEYS: usize = 20;
/// The load, and twice as long as a value is answered without asking the origin.
const AT_LEAST: Duration = Duration::from_millis(1_200);

#[derive(Debug, Default)]
struct Tally {
    reads: u64,
    errors: u64,
    stale: u64,
    /// Answers that are not what the origin last said.
    wrong: u64,
    refused: u64,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<Outcome, String> {
    let setting = Setting {
        against: Naive::Ttl,
        latency: LATENCY,
        lives: Lives {
            fresh: FRESH,
            stale: STALE,
            stale_if_error: STALE_IF_ERROR,
        },
        at_least: AT_LEAST,
    };
    stage.play(setting, outage, rows, judge).await
}

async fn outage(mut side: Side<'_, Tally>) -> Result<(), String> {
    let keys: Vec<_> = (0..KEYS).map(|_| side.new_key()).collect();
    let mut warming = JoinSet::new();
    for key in &keys {
        let (subject, key) = (side.subject.clone(), key.clone());
        warming.spawn(async move { subject.get(&key).await });
    }
    let mut last = 0;
    while let Some(read) = warming.join_next().await {
        let read = read.map_err(|error| error.to_string())??;
        last = last.max(read.stamp.load);
    }

    side.subject.origin.fail();
    let mut callers = Callers::start(&side.subject, &keys, side.ends, &mut side.random);
    while let Some(answer) = callers.next().await {
        let refused = side.subject.origin.failed();
        side.note(|tally| {
            tally.reads += 1;
            tally.refused = refused;
            match answer.read {
                Ok(read) => {
                    tally.stale += u64::from(read.stale);
                    tally.wrong += u64::from(read.stamp.load > last);
                }
                Err(_) => tally.errors += 1,
            }
        });
    }
    Ok(())
}

fn rows(naive: &Tally, ours: &Tally) -> Vec<Row> {
    vec![
        Row::count("reads", "reads meanwhile", naive.reads, ours.reads),
        Row::count("errors", "errors", naive.errors, ours.errors).headline(),
        Row::count("stale", "answered, marked stale", naive.stale, ours.stale),
        Row::count(
            "refused",
            "calls to the dead origin",
            naive.refused,
            ours.refused,
        ),
    ]
}

fn judge(ours: &Tally) -> Option<String> {
    if ours.errors > 0 {
        return Some(format!("{} of {} reads failed", ours.errors, ours.reads));
    }
    if ours.wrong > 0 {
        return Some(format!("{} answers nobody had loaded", ours.wrong));
    }
    if ours.stale == 0 || ours.refused == 0 {
        return Some("nothing expired while the origin was down".to_owned());
    }
    None
}
