//! Act 4: the caller that loads dies halfway.
//!
//! Two deaths by turns: its call is cancelled, as when a user closes the page; or
//! its connection is cut, as when its process is killed. The client gives up the
//! lease of a cancelled call, so the next caller loads at once. Nobody gives up for
//! a process that is gone: there the lease's deadline ends its turn.

use std::time::Duration;

use millpond_benches::stopwatch::Stopwatch;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::beside;
use super::figure::Row;
use super::stage::{Naive, Outcome, Setting, Side, Stage};
use super::subject::{Lives, Subject};

const LATENCY: Duration = Duration::from_millis(200);
const FRESH: Duration = Duration::from_secs(3_600);
const FOLLOWERS: u64 = 20;
/// How long one caller may load alone: longer than a load.
const LEASE: Duration = Duration::from_millis(600);
/// How long followers get to be there before the leader dies.
const GATHERING: Duration = Duration::from_secs(1);
/// A caller's patience, and so the promise's.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long the naive side goes on to the next key; whoever still waits for
/// the last one stays and is counted at the end.
const NAIVE_ROUND: Duration = Duration::from_millis(600);
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct Tally {
    killed: u64,
    followers: u64,
    served: u64,
    errors: u64,
    slowest: Option<Duration>,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<Outcome, String> {
    let setting = Setting {
        against: Naive::SingleFlight,
        latency: LATENCY,
        lives: Lives::fresh(FRESH),
        at_least: Duration::ZERO,
    };
    stage.play(setting, deaths, rows, judge).await
}

/// A leader in the middle of its load.
enum Leader {
    /// A call of this process.
    Call(JoinSet<()>),
    /// With a connection and threads of its own, which die with it.
    Process(Runtime),
}

impl Leader {
    fn call(subject: Subject, key: String) -> Self {
        let mut call = JoinSet::new();
        call.spawn(async move { drop(subject.get(&key).await) });
        Self::Call(call)
    }

    fn process(subject: Subject, key: String, address: String, name: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return Self::call(subject, key);
        };
        runtime.spawn(async move {
            let pond = beside::connect(&address).await?;
            let cache = beside::cache(&pond, name)?.lease(LEASE);
            drop(subject.over(cache).get(&key).await);
            Ok::<_, String>(())
        });
        Self::Process(runtime)
    }

    fn kill(self) {
        match self {
            Self::Call(call) => drop(call),
            // Nothing runs on, not even what would say good-bye.
            Self::Process(runtime) => runtime.shutdown_background(),
        }
    }
}

async fn deaths(mut side: Side<'_, Tally>) -> Result<(), String> {
    let mut followers = JoinSet::new();
    for round in 0_u64.. {
        let (key, subject) = (side.new_key(), side.subject.clone());
        let held = subject.origin.hold_next();
        let leader = if subject.is_remote() && !round.is_multiple_of(2) {
            let address = side.address.to_owned();
            Leader::process(subject.clone(), key.clone(), address, side.name)
        } else {
            Leader::call(subject.clone(), key.clone())
        };
        subject.origin.until_begun(held).await;
        let waiting = subject.waited() + FOLLOWERS;
        for _ in 0..FOLLOWERS {
            let (subject, key) = (subject.clone(), key.clone());
            followers.spawn(async move { (subject.get(&key).await.is_ok(), key) });
        }
        gathered(&subject, waiting).await;

        let death = Stopwatch::start();
        leader.kill();
        side.note(|tally| {
            tally.killed += 1;
            tally.followers += FOLLOWERS;
        });
        let patience = if side.is_ours { PATIENCE } else { NAIVE_ROUND };
        let until = Instant::now() + patience;
        let mut of_this = 0;
        while of_this < FOLLOWERS {
            let Ok(Some(ended)) = timeout_at(until, followers.join_next()).await else {
                break; // out of patience
            };
            of_this += u64::from(ended.as_ref().is_ok_and(|(_, asked)| *asked == key));
            let served = matches!(ended, Ok((true, _)));
            let took = death.elapsed();
            side.note(|tally| {
                tally.served += u64::from(served);
                tally.errors += u64::from(!served);
                if served {
                    tally.slowest = tally.slowest.max(Some(took));
                }
            });
        }
        subject.origin.let_go();
        if side.is_over() {
            break;
        }
    }
    Ok(())
}

/// Waits until all followers wait for the leader. One that is late makes the act
/// easier for the cache and not wrong, so there is an end to it.
async fn gathered(subject: &Subject, waiting: u64) {
    let until = Instant::now() + GATHERING;
    while subject.waited() < waiting && Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Tally {
    fn stranded(&self) -> u64 {
        self.followers - self.served - self.errors
    }
}

fn rows(naive: &Tally, ours: &Tally) -> Vec<Row> {
    vec![
        Row::count("killed", "leaders killed", naive.killed, ours.killed),
        Row::count(
            "followers",
            "callers waiting for them",
            naive.followers,
            ours.followers,
        ),
        Row::count("served", "served by the next", naive.served, ours.served),
        Row::time(
            "served_within_ms",
            "served within",
            naive.slowest,
            ours.slowest,
        ),
        Row::count("errors", "errors", naive.errors, ours.errors),
        Row::count(
            "stranded",
            "still waiting",
            naive.stranded(),
            ours.stranded(),
        )
        .headline(),
    ]
}

fn judge(ours: &Tally) -> Option<String> {
    let of = ours.followers;
    if ours.stranded() > 0 {
        return Some(format!(
            "{} of {of} callers were left waiting",
            ours.stranded()
        ));
    }
    if ours.errors > 0 {
        return Some(format!("{} of {of} callers got an error", ours.errors));
    }
    None
}
