//! Act 1: many callers of one cold key, at once.

use std::time::Duration;

use tokio::task::JoinSet;

use super::figure::Row;
use super::stage::{Naive, Outcome, Setting, Side, Stage};
use super::subject::Lives;

const CALLERS: u64 = 100;
const LATENCY: Duration = Duration::from_millis(200);
const FRESH: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
struct Tally {
    keys: u64,
    calls: u64,
    answered: u64,
    loads: u64,
    most: u64,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<Outcome, String> {
    let setting = Setting {
        against: Naive::Ttl,
        latency: LATENCY,
        lives: Lives::fresh(FRESH),
        at_least: Duration::ZERO,
    };
    stage.play(setting, herds, rows, judge).await
}

async fn herds(mut side: Side<'_, Tally>) -> Result<(), String> {
    loop {
        let key = side.new_key();
        let before = side.subject.origin.loads();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (subject, key) = (side.subject.clone(), key.clone());
            callers.spawn(async move { subject.get(&key).await });
        }
        side.note(|tally| {
            tally.keys += 1;
            tally.calls += CALLERS;
        });
        while let Some(read) = callers.join_next().await {
            if let Ok(Ok(_)) = read {
                side.note(|tally| tally.answered += 1);
            }
        }
        let loads = side.subject.origin.loads() - before;
        side.note(|tally| {
            tally.loads += loads;
            tally.most = tally.most.max(loads);
        });
        if side.is_over() {
            return Ok(());
        }
    }
}

fn rows(naive: &Tally, ours: &Tally) -> Vec<Row> {
    vec![
        Row::count("keys", "cold keys", naive.keys, ours.keys),
        Row::count("calls", "callers", naive.calls, ours.calls),
        Row::count("answered", "answered", naive.answered, ours.answered),
        Row::count("loads", "loads of the origin", naive.loads, ours.loads),
        Row::count("most_loads", "most loads for a key", naive.most, ours.most).headline(),
    ]
}

fn judge(ours: &Tally) -> Option<String> {
    if ours.answered < ours.calls {
        let missing = ours.calls - ours.answered;
        return Some(format!("{missing} of {} callers got no value", ours.calls));
    }
    if ours.loads != ours.keys {
        return Some(format!("{} loads for {} keys", ours.loads, ours.keys));
    }
    None
}
