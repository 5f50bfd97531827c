//! What a replay found, for a person or a program.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::counters::{Counters, Equation};
use super::plan::Plan;
use super::worker::Caller;
use crate::report::{Quantiles, latency_table};

/// CPU time, as far as the system tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    /// Of the sidecar that was started for the run.
    pub(super) server: Option<Duration>,
    /// Of this process, which is also the cache's when it is embedded.
    pub(super) client: Option<Duration>,
}

/// What a replay found. In JSON, names carry the unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The trace.
    pub trace: String,
    /// Its accesses that were replayed.
    pub accesses: u64,
    /// Different keys among them.
    pub distinct: u64,
    /// Entries the cache had room for; nothing when it was another's.
    pub entries: Option<u64>,
    /// Callers at once.
    pub callers: usize,
    /// From the first access to the last answer.
    pub seconds: f64,
    /// Accesses answered a second.
    pub ops_per_second: f64,
    /// Answered fresh from what was held, as the callers saw it.
    pub hits_fresh: u64,
    /// Answered stale.
    pub hits_stale: u64,
    /// Answered by a load, their own or the one they waited for.
    pub loaded: u64,
    /// `hits_fresh` and `hits_stale` of a hundred accesses.
    pub hit_percent: f64,
    /// Accesses of a hundred that the origin was not asked for: hits, and waits for
    /// another's load.
    pub spared_percent: f64,
    /// Loads that loaders ran.
    pub loads: u64,
    /// What the cache counted; nothing when it was not said where to ask.
    pub counted: Option<Counters>,
    /// Whether each load had a lease and each lease a load.
    pub equation_holds: Option<bool>,
    /// Answers that were not the key's value.
    pub wrong_values: u64,
    /// Calls that brought nothing.
    pub errors: u64,
    /// What the first of them said.
    pub first_error: Option<String>,
    /// Of hits, and of misses without the origin's time.
    pub latencies: Vec<Quantiles>,
    /// CPU time of the sidecar for each access; nothing when it is no child.
    pub server_cpu_us_per_op: Option<f64>,
    /// CPU time of this process for each access.
    pub client_cpu_us_per_op: Option<f64>,
}

impl Replay {
    pub(super) fn new(
        plan: &Plan,
        elapsed: Duration,
        all: &Caller,
        loads: u64,
        counted: Option<Counters>,
        cpu: Cpu,
    ) -> Self {
        let accesses = plan.accesses.len() as u64;
        let each = |time: Option<Duration>| Some(time?.as_secs_f64() * 1e6 / accesses as f64);
        Self {
            trace: plan.name.clone(),
            accesses,
            distinct: plan.distinct,
            entries: plan.entries,
            callers: plan.callers,
            seconds: elapsed.as_secs_f64(),
            ops_per_second: accesses as f64 / elapsed.as_secs_f64(),
            hits_fresh: all.fresh,
            hits_stale: all.stale,
            loaded: all.loaded,
            hit_percent: 100.0 * (all.fresh + all.stale) as f64 / accesses as f64,
            spared_percent: 100.0 * (1.0 - loads as f64 / accesses as f64),
            loads,
            counted,
            equation_holds: counted.map(|counted| counted.equation(loads).holds()),
            wrong_values: all.wrong,
            errors: all.errors,
            first_error: all.first_error.clone(),
            latencies: vec![all.hit.quantiles(), all.miss.quantiles()],
            server_cpu_us_per_op: each(cpu.server),
            client_cpu_us_per_op: each(cpu.client),
        }
    }

    /// The loads beside the leases, if the leases are known.
    #[must_use]
    pub fn equation(&self) -> Option<Equation> {
        Some(self.counted?.equation(self.loads))
    }

    /// All of it as one JSON object, on a line.
    #[must_use]
    pub fn json(&self) -> String {
        one_line(self)
    }

    /// What was found that must not be; nothing when all is well.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.wrong_values > 0 {
            return Some(format!(
                "{} answers were not the key's value",
                self.wrong_values
            ));
        }
        let equation = self.equation().filter(|equation| !equation.holds())?;
        Some(equation.to_string())
    }
}

pub(super) fn one_line(found: &impl Serialize) -> String {
    let text = serde_json::to_string(found);
    text.expect("numbers, texts and lists of them are JSON") + "\n"
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self
            .entries
            .map(|entries| format!(", room for {entries} entries"));
        let room = room.unwrap_or_default();
        writeln!(
            f,
            "{}: {} accesses of {} keys by {} callers{}",
            self.trace, self.accesses, self.distinct, self.callers, room
        )?;
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<18} {value}");
        row("duration", format!("{:.2} s", self.seconds))?;
        row("throughput", format!("{:.0} ops/s", self.ops_per_second))?;
        row(
            "hits",
            format!(
                "{} fresh + {} stale = {:.2} %",
                self.hits_fresh, self.hits_stale, self.hit_percent
            ),
        )?;
        row("answered by a load", self.loaded.to_string())?;
        row(
            "loads run",
            format!(
                "{}: the origin was spared {:.2} %",
                self.loads, self.spared_percent
            ),
        )?;
        match self.counted.zip(self.equation()) {
            Some((counted, equation)) => {
                row(
                    "cache counted",
                    format!(
                        "{} hits, {} stale, {} misses ({} led, {} coalesced, {} shed), {} evictions",
                        counted.hits,
                        counted.stale,
                        counted.misses,
                        counted.leads,
                        counted.coalesced,
                        counted.shed,
                        counted.evictions
                    ),
                )?;
                row("equation", equation.to_string())?;
            }
            None => row("equation", "not checked: no --probe to ask".to_owned())?,
        }
        row("wrong values", self.wrong_values.to_string())?;
        let first = self.first_error.as_ref();
        let first = first.map_or_else(String::new, |error| format!(" (first: {error})"));
        row("errors", format!("{}{first}", self.errors))?;
        let micros =
            |name: &str, time: Option<f64>| time.map(|time| format!("{name} {time:.2} µs/op"));
        let cpu = [
            micros("server", self.server_cpu_us_per_op),
            micros("this process", self.client_cpu_us_per_op),
        ];
        let cpu: Vec<_> = cpu.into_iter().flatten().collect();
        if !cpu.is_empty() {
            row("CPU", cpu.join(", "))?;
        }
        write!(f, "\n{}", latency_table(&self.latencies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::{Origin, Room, zipf};
    use crate::load::target::Target;
    use crate::load::worker::replay;
    use crate::trace::Trace;

    async fn replayed(trace: Trace, room: Room, origin: Origin) -> Replay {
        let plan = Plan::new(trace, None, Some(room), 8, origin);
        let target = Target::embedded(plan.budget());
        replay(plan, &target, |_| ()).await.unwrap()
    }

    fn at_once() -> Origin {
        Origin {
            delay: Duration::ZERO,
            ..Origin::default()
        }
    }

    #[tokio::test]
    async fn with_room_for_all_every_key_is_loaded_once() {
        let accesses = (0..2_000).map(|place| place % 50).collect();
        let trace = Trace {
            name: "round".to_owned(),
            accesses,
        };
        let found = replayed(trace, Room::Percent(200.0), at_once()).await;
        assert_eq!((found.loads, found.fault()), (50, None), "{found}");
        assert_eq!(found.hits_fresh + found.loaded, 2_000, "{found}");
        assert_eq!(found.errors, 0, "{found}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_equation_holds_when_entries_are_evicted_and_refreshed() {
        let origin = Origin {
            delay: Duration::from_micros(100),
            fresh: Duration::from_millis(3),
            stale: Duration::from_secs(60),
            ..Origin::default()
        };
        let found = replayed(zipf(500, 5_000).unwrap(), Room::Percent(20.0), origin).await;
        let counted = found.counted.unwrap();
        assert!(counted.refreshes > 0, "{found}");
        assert_eq!(found.fault(), None, "{found}");
        assert_eq!(counted.hits + counted.stale + counted.misses, 5_000);
    }

    #[tokio::test]
    async fn a_person_reads_a_table_and_a_program_one_object() {
        let mut found = replayed(zipf(10, 100).unwrap(), Room::Percent(100.0), at_once()).await;
        let told = found.to_string();
        assert!(told.contains("given up: holds"), "{told}");
        assert!(told.contains("| hit "), "{told}");
        let json = serde_json::from_str::<serde_json::Value>(&found.json()).unwrap();
        assert_eq!(
            (&json["accesses"], &json["wrong_values"]),
            (&100.into(), &0.into())
        );
        assert_eq!(json["latencies"][0]["name"], "hit");

        assert!(told.contains("room for "), "{told}");
        found.entries = None;
        assert!(!found.to_string().contains("room for "), "{found}");
        found.loads += 1;
        assert!(found.fault().unwrap().contains("DOES NOT HOLD"));
        found.wrong_values = 2;
        assert_eq!(found.fault().unwrap(), "2 answers were not the key's value");
    }
}
