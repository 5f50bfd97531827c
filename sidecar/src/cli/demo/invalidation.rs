//! Act 3: a key is invalidated while it is being loaded.
//!
//! The race is forced: a load reads the old version and is held, the data changes,
//! the key is invalidated, and only then the load ends. Half of the reads come
//! before that end, half after it; all of them after the invalidation returned.

use std::time::Duration;

use tokio::task::JoinSet;

use super::figure::Row;
use super::stage::{Naive, Outcome, Setting, Side, Stage};
use super::subject::Lives;

const LATENCY: Duration = Duration::from_millis(20);
const FRESH: Duration = Duration::from_secs(3_600);
/// Readers before the end of the load, and again after it.
const READERS: u64 = 4;
/// So that one can watch.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Tally {
    races: u64,
    reads: u64,
    old: u64,
    errors: u64,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<Outcome, String> {
    let setting = Setting {
        against: Naive::Ttl,
        latency: LATENCY,
        lives: Lives::fresh(FRESH),
        at_least: Duration::ZERO,
    };
    stage.play(setting, races, rows, judge).await
}

async fn races(mut side: Side<'_, Tally>) -> Result<(), String> {
    loop {
        let key = side.new_key();
        let subject = side.subject.clone();
        let held = subject.origin.hold_next();
        let mut loading = JoinSet::new();
        {
            let (subject, key) = (subject.clone(), key.clone());
            loading.spawn(async move { subject.get(&key).await });
        }
        subject.origin.until_begun(held).await;

        let written = subject.origin.write(&key).await;
        subject.invalidate(&key).await?;
        read(&side, &key, written).await;
        subject.origin.let_go();
        // The load's own caller began before the write: it may have either.
        drop(loading.join_next().await);
        read(&side, &key, written).await;

        side.note(|tally| tally.races += 1);
        if side.is_over() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(side: &Side<'_, Tally>, key: &str, written: u64) {
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (subject, key) = (side.subject.clone(), key.to_owned());
        readers.spawn(async move { subject.get(&key).await });
    }
    while let Some(read) = readers.join_next().await {
        side.note(|tally| {
            tally.reads += 1;
            match read {
                Ok(Ok(read)) => tally.old += u64::from(read.stamp.version < written),
                _ => tally.errors += 1,
            }
        });
    }
}

fn rows(naive: &Tally, ours: &Tally) -> Vec<Row> {
    vec![
        Row::count("races", "races", naive.races, ours.races),
        Row::count("reads", "reads after invalidation", naive.reads, ours.reads),
        Row::count("old", "that got the old value", naive.old, ours.old).headline(),
        Row::count("errors", "errors", naive.errors, ours.errors),
    ]
}

fn judge(ours: &Tally) -> Option<String> {
    if ours.errors > 0 {
        return Some(format!("{} of {} reads failed", ours.errors, ours.reads));
    }
    if ours.old > 0 {
        return Some(format!(
            "{} of {} reads after an invalidation got the old value",
            ours.old, ours.reads
        ));
    }
    None
}
