//! Callers that read at a pace until an act is over.

use std::time::Duration;

use fastrand::Rng;
use millpond_benches::stopwatch::Stopwatch;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::subject::{Read, Subject};

const CALLERS: usize = 16;
/// Between an answer and the next read, on average.
const PAUSE: Duration = Duration::from_millis(10);
/// Answers that may wait to be counted.
const QUEUE: usize = 1_024;

/// What one read came to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) read: Result<Read, String>,
    pub(super) took: Duration,
    /// Loads that had begun before this read did.
    pub(super) loads_before: u64,
}

impl Answer {
    /// The value is of a load that began after the read: it waited for all of it.
    pub(super) fn waited(&self) -> bool {
        let load = self.read.as_ref().map(|read| read.stamp.load);
        load.is_ok_and(|load| load > self.loads_before)
    }
}

/// Callers at work. Dropping it sends them home.
#[derive(Debug)]
pub(super) struct Callers {
    answers: mpsc::Receiver<Answer>,
    _tasks: JoinSet<()>,
}

impl Callers {
    /// Each reads one of `keys` after another until then.
    pub(super) fn start(
        subject: &Subject,
        keys: &[String],
        ends: Instant,
        random: &mut Rng,
    ) -> Self {
        let (tell, answers) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let (subject, keys, tell) = (subject.clone(), keys.to_vec(), tell.clone());
            tasks.spawn(call(subject, keys, ends, random.fork(), tell));
        }
        Self {
            answers,
            _tasks: tasks,
        }
    }

    /// The next answer; `None` when all callers have ended.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }
}

async fn call(
    subject: Subject,
    keys: Vec<String>,
    ends: Instant,
    mut random: Rng,
    tell: mpsc::Sender<Answer>,
) {
    while Instant::now() < ends {
        let Some(key) = random.choice(&keys) else {
            return;
        };
        let loads_before = subject.origin.loads();
        let watch = Stopwatch::start();
        let read = subject.get(key).await;
        let answer = Answer {
            read,
            took: watch.elapsed(),
            loads_before,
        };
        if tell.send(answer).await.is_err() {
            return;
        }
        // Callers in step would ask in bursts.
        tokio::time::sleep(PAUSE.mul_f64(0.5 + random.f64())).await;
    }
}
