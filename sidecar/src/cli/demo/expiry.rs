//! Act 2: a hot key that expires under load.
//!
//! Whether a read waited for the origin is told by its answer: by a load that
//! began after the read did. Times are shown beside it and decide nothing.

use std::time::Duration;

use super::callers::Callers;
use super::figure::{Row, Times};
use super::stage::{Naive, Outcome, Setting, Side, Stage};
use super::subject::Lives;

const LATENCY: Duration = Duration::from_millis(200);
const FRESH: Duration = Duration::from_millis(250);
const STALE: Duration = Duration::from_secs(3_600);
/// An expiry, a load, and some reads of what it brought.
const AT_LEAST: Duration = Duration::from_millis(1_000);

#[derive(Debug, Default)]
struct Tally {
    times: Times,
    waited: u64,
    errors: u64,
    loads: u64,
    /// The newest load that anybody was answered with.
    newest: u64,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<Outcome, String> {
    let setting = Setting {
        against: Naive::Ttl,
        latency: LATENCY,
        lives: Lives {
            stale: STALE,
            ..Lives::fresh(FRESH)
        },
        at_least: AT_LEAST,
    };
    stage.play(setting, reads, rows, judge).await
}

async fn reads(mut side: Side<'_, Tally>) -> Result<(), String> {
    let keys = [side.new_key()];
    // Held before anybody is counted: this act is not about cold keys.
    side.subject.get(&keys[0]).await?;
    let mut callers = Callers::start(&side.subject, &keys, side.ends, &mut side.random);
    while let Some(answer) = callers.next().await {
        let loads = side.subject.origin.loads();
        side.note(|tally| {
            tally.times.add(answer.took);
            tally.waited += u64::from(answer.waited());
            tally.loads = loads;
            match answer.read {
                Ok(read) => tally.newest = tally.newest.max(read.stamp.load),
                Err(_) => tally.errors += 1,
            }
        });
    }
    Ok(())
}

fn rows(naive: &Tally, ours: &Tally) -> Vec<Row> {
    let reads = |tally: &Tally| tally.times.len() as u64;
    let times = |label, name, of: fn(&Times) -> Option<Duration>| {
        Row::time(name, label, of(&naive.times), of(&ours.times))
    };
    vec![
        Row::count("reads", "reads", reads(naive), reads(ours)),
        Row::count("waited", "waited for the origin", naive.waited, ours.waited).headline(),
        times("half within", "p50_ms", |times| times.percentile(50)),
        times("99 of 100 within", "p99_ms", |times| times.percentile(99)),
        times("slowest", "max_ms", Times::max),
        Row::count("loads", "loads of the origin", naive.loads, ours.loads),
    ]
}

fn judge(ours: &Tally) -> Option<String> {
    let reads = ours.times.len();
    if ours.errors > 0 {
        return Some(format!("{} of {reads} reads failed", ours.errors));
    }
    if ours.waited > 0 {
        return Some(format!(
            "{} of {reads} reads waited for a load",
            ours.waited
        ));
    }
    if ours.newest < 2 {
        return Some("the key was never reloaded".to_owned());
    }
    None
}
