//! A long run under load with faults, and what must be true of it throughout and at its
//! end.
//!
//! Callers read, write, invalidate, walk away from reads half-way and keep leases that
//! they never settle, over few enough keys that they meet all the time, under times
//! short enough that everything expires. Throughout, no read may be older than an
//! invalidation allows ([`Oracle`](crate::load::oracle::Oracle)). At the end, with
//! everybody gone, no right may still be held, the bytes counted must be the bytes
//! there, and memory must not have grown.
//!
//! | module | what it owns |
//! |---|---|
//! | `caller` | what one caller does, drawn at random |
//! | `source` | the origin: slow, sometimes slower than its lease, sometimes failing |
//! | `findings` | what was found, and what of it must not be |

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millpond_client::{EmbeddedConfig, Millpond, Policy};
use millpond_core::cache::Pond;

use crate::load::oracle::Oracle;
use crate::load::process::resident_bytes;
use crate::load::sidecar::Wire;
use crate::load::target::{Target, TargetError};
use crate::stopwatch::Stopwatch;
use crate::workload::ZIPF_EXPONENT;
use crate::zipf::Zipf;

mod caller;
mod findings;
mod source;

pub use findings::{Deeds, Findings, Rest};

use caller::Caller;
use source::Source;

/// Few enough that callers meet.
const KEYS: u32 = 2_000;
/// Less than all keys need, so that some are evicted.
const BUDGET: u64 = 1 << 20;
/// Rights may be held so long after everybody has gone: a sidecar's `max_load` and a
/// sweep, or those of the embedded cache.
const REMOTE_PATIENCE: Duration = Duration::from_secs(75);
const EMBEDDED_PATIENCE: Duration = Duration::from_secs(10);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// A run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// How long callers are at it.
    pub duration: Duration,
    /// Callers at once.
    pub callers: usize,
}

/// Where the cache is.
#[derive(Debug)]
pub enum Place<'a> {
    /// In this process, under a policy of its own.
    Embedded,
    /// In a sidecar, started by this executable. Its cache has the policy of one that
    /// nobody declared; times and leases are set call by call.
    Sidecar(&'a Path),
}

impl Soak {
    /// Makes the run.
    ///
    /// # Errors
    /// When there is no cache, or its counters are not to be had.
    ///
    /// # Panics
    /// When a caller does.
    pub async fn run(&self, place: Place<'_>) -> Result<Findings, TargetError> {
        let target = match place {
            Place::Embedded => {
                let config = EmbeddedConfig::default().budget(BUDGET);
                let config = config.undeclared(policy()).map_err(TargetError::Connect)?;
                Target::with(Millpond::embedded(config))
            }
            Place::Sidecar(executable) => {
                Target::started(executable, Wire::Unix, BUDGET, 2).await?
            }
        };
        let subject = target
            .child()
            .map_or(std::process::id(), |child| child.id());
        let oracle = Arc::new(Oracle::new(KEYS as usize));
        let watch = Stopwatch::start();

        let sampling = tokio::spawn(sampled(subject, self.duration));
        let deeds = self.callers(&target, &oracle, watch).await?;
        let resident = sampling.await.expect("sampling does not panic");
        let rest = at_rest(&target).await?;
        Ok(Findings {
            duration: self.duration,
            callers: self.callers,
            reads: oracle.reads(),
            old_reads: oracle.old_reads(),
            counted: target.counters()?.map(|(counters, _)| counters),
            deeds,
            resident,
            rest,
        })
    }

    async fn callers(
        &self,
        target: &Target,
        oracle: &Arc<Oracle>,
        watch: Stopwatch,
    ) -> Result<Deeds, TargetError> {
        let cache = target.cache().map_err(TargetError::Connect)?;
        let zipf = Zipf::new(KEYS, ZIPF_EXPONENT).expect("there are keys, and one is a number");
        let source = Source::new(Arc::clone(oracle));
        let writers = caller::turns(KEYS as usize);
        let tasks: Vec<_> = (0..self.callers as u64)
            .map(|number| {
                let pond = target.pond().pond().cloned();
                let caller = Caller::new(number, &cache, &source, &writers, pond);
                tokio::spawn(caller.run(zipf.ranks(number), watch, self.duration))
            })
            .collect();
        let mut deeds = Deeds::default();
        for task in tasks {
            deeds.merge(task.await.expect("a caller does not panic"));
        }
        Ok(deeds)
    }
}

/// So short that everything happens: expiry, staleness, leases that run out, loads that
/// come too late to be stored.
fn policy() -> Policy {
    Policy {
        fresh: source::FRESH,
        stale: source::STALE,
        stale_if_error: source::STALE,
        lease: caller::LEASE,
        max_load: Duration::from_secs(2),
        ..Policy::declared()
    }
}

async fn sampled(process: u32, duration: Duration) -> Vec<u64> {
    let watch = Stopwatch::start();
    let mut resident = Vec::new();
    while watch.elapsed() + SAMPLE_EVERY / 2 < duration {
        tokio::time::sleep(SAMPLE_EVERY.min(duration)).await;
        resident.extend(resident_bytes(process));
    }
    resident
}

/// Waits for the last right to be settled or to end, then looks what is left.
async fn at_rest(target: &Target) -> Result<Rest, TargetError> {
    const EVERY: Duration = Duration::from_millis(50);
    let pond = target.pond().pond();
    let patience = pond.map_or(REMOTE_PATIENCE, |_| EMBEDDED_PATIENCE);
    let watch = Stopwatch::start();
    let rights = loop {
        pond.map(Pond::sweep);
        let rights = target.counters()?.map(|(_, unsettled)| unsettled);
        if rights.is_none_or(|rights| rights == 0) || watch.elapsed() > patience {
            break rights;
        }
        tokio::time::sleep(EVERY).await;
    };
    Ok(Rest {
        rights,
        took: watch.elapsed(),
        audited_bytes: pond.map(|pond| pond.audit_bytes()),
        counted_bytes: pond.map(|pond| pond.gauges().bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_short_soak_of_the_embedded_cache_finds_nothing_amiss() {
        let soak = Soak {
            duration: Duration::from_secs(1),
            callers: 16,
        };
        let mut found = soak.run(Place::Embedded).await.unwrap();
        // A second is no time to judge growth by.
        found.resident.clear();
        assert_eq!(found.violations(), Vec::<String>::new(), "{found}");
        assert!(found.reads > 0 && found.deeds.invalidations > 0, "{found}");
    }
}
