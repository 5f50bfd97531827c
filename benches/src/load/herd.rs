//! Many callers of one cold key, at once: one of them may load.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millpond_client::TenantCache;
use serde::Serialize;

use super::origin::Loading;
use super::plan::Origin;
use super::report::one_line;
use super::value::{Stamp, key_of};
use crate::report::readable;
use crate::stopwatch::Stopwatch;

/// How a herd is let loose.
#[derive(Debug, Clone, Copy)]
pub struct Herd {
    /// Callers at once.
    pub callers: usize,
    /// Rounds, each with a new key.
    pub rounds: usize,
    /// Where the value comes from.
    pub origin: Origin,
}

/// What the herds came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stampede {
    /// Callers in each round.
    pub callers: usize,
    /// Rounds.
    pub rounds: usize,
    /// Loads in each round.
    pub loads: Vec<u64>,
    /// Half the rounds had their last caller answered no later than so long after the
    /// load's end, in nanoseconds.
    pub tail_median_ns: u64,
    /// The same of the slowest round.
    pub tail_max_ns: u64,
    /// Answers that were not the key's value.
    pub wrong_values: u64,
    /// Calls that brought nothing.
    pub errors: u64,
    /// What the first of them said.
    pub first_error: Option<String>,
}

/// One caller's answer.
type Answer = (Result<Option<Stamp>, String>, Duration);

impl Herd {
    /// Lets the herd loose in each round, and waits until everybody was answered.
    ///
    /// # Panics
    /// When a caller does.
    pub async fn run(&self, cache: &TenantCache) -> Stampede {
        // New keys in each run too: a sidecar that was told of may have met the last.
        let base = fastrand::u64(..);
        let mut rounds = Rounds::default();
        for round in 0..self.rounds {
            self.round(cache, base.wrapping_add(round as u64), &mut rounds)
                .await;
        }
        rounds.tails.sort_unstable();
        let tail = |tail: Option<&Duration>| {
            let nanos = tail.copied().unwrap_or_default().as_nanos();
            u64::try_from(nanos).unwrap_or(u64::MAX)
        };
        Stampede {
            callers: self.callers,
            rounds: self.rounds,
            tail_median_ns: tail(rounds.tails.get(rounds.tails.len() / 2)),
            tail_max_ns: tail(rounds.tails.last()),
            loads: rounds.loads,
            wrong_values: rounds.wrong,
            errors: rounds.errors,
            first_error: rounds.first_error,
        }
    }

    async fn round(&self, cache: &TenantCache, key: u64, rounds: &mut Rounds) {
        let watch = Stopwatch::start();
        let origin = Loading::new(self.origin, watch);
        let callers: Vec<_> = (0..self.callers)
            .map(|_| tokio::spawn(call(cache.clone(), key, Arc::clone(&origin), watch)))
            .collect();
        let (mut last, mut ended) = (Duration::ZERO, Duration::ZERO);
        for caller in callers {
            let (answer, at) = caller.await.expect("a caller does not panic");
            last = last.max(at);
            match answer {
                Ok(Some(stamp)) => ended = ended.max(stamp.ended),
                Ok(None) => rounds.wrong += 1,
                Err(error) => {
                    rounds.errors += 1;
                    rounds.first_error.get_or_insert(error);
                }
            }
        }
        rounds.loads.push(origin.loads());
        rounds.tails.push(last.saturating_sub(ended));
    }
}

#[derive(Debug, Default)]
struct Rounds {
    loads: Vec<u64>,
    tails: Vec<Duration>,
    wrong: u64,
    errors: u64,
    first_error: Option<String>,
}

async fn call(cache: TenantCache, key: u64, origin: Arc<Loading>, watch: Stopwatch) -> Answer {
    let length = origin.value_bytes();
    let load = move || async move { origin.load(key).await };
    let answer = cache.get_or_load(key_of(key), load).await;
    let answered = watch.elapsed();
    let stamp = answer
        .map(|value| value.and_then(|value| Stamp::decode(key, length, &value)))
        .map_err(|error| error.to_string());
    (stamp, answered)
}

impl Stampede {
    /// All of it as one JSON object, on a line.
    #[must_use]
    pub fn json(&self) -> String {
        one_line(self)
    }

    /// Whether each round loaded once and everybody got that value.
    #[must_use]
    pub fn is_tame(&self) -> bool {
        self.loads.iter().all(|&loads| loads == 1) && self.wrong_values == 0 && self.errors == 0
    }
}

impl fmt::Display for Stampede {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.loads.iter().min(), self.loads.iter().max());
        let time = |nanos| readable(Duration::from_nanos(nanos));
        writeln!(
            f,
            "{} callers of one cold key, {} rounds",
            self.callers, self.rounds
        )?;
        writeln!(
            f,
            "  loads a round            {} to {}",
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default()
        )?;
        writeln!(
            f,
            "  last answer after load   median {}, max {}",
            time(self.tail_median_ns),
            time(self.tail_max_ns)
        )?;
        writeln!(f, "  wrong values             {}", self.wrong_values)?;
        write!(f, "  errors                   {}", self.errors)?;
        if let Some(error) = &self.first_error {
            write!(f, " (first: {error})")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::target::Target;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_herd_of_a_hundred_loads_once() {
        let target = Target::embedded(1 << 20);
        let herd = Herd {
            callers: 100,
            rounds: 3,
            origin: Origin {
                delay: Duration::from_millis(20),
                ..Origin::default()
            },
        };
        let stampede = herd.run(&target.cache().unwrap()).await;
        assert_eq!(stampede.loads, [1, 1, 1]);
        assert!(stampede.is_tame(), "{stampede}");
        let json = serde_json::from_str::<serde_json::Value>(&stampede.json()).unwrap();
        assert_eq!(
            (&json["callers"], &json["errors"]),
            (&100.into(), &0.into())
        );
    }

    #[test]
    fn a_second_load_is_not_tame() {
        let stampede = Stampede {
            callers: 2,
            rounds: 1,
            loads: vec![2],
            tail_median_ns: 0,
            tail_max_ns: 0,
            wrong_values: 0,
            errors: 0,
            first_error: None,
        };
        assert!(!stampede.is_tame());
    }
}
