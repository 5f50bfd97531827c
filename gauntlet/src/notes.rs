//! What the races do not show, measured on the side so that the table cannot be read
//! as "best at everything". Small samples of one machine: the benches measure these
//! properly.

use std::{io, path::Path};

use millpond_benches::{stopwatch::Stopwatch, trace::Trace};
use serde::Serialize;
use tokio::runtime;

use crate::{
    origin::Origin,
    subject::{Key, Subject},
};

const READS: u64 = 20_000;
const BATCHES: usize = 9;
const TENANT: &str = "acme";

/// One cache's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notes {
    /// Nanoseconds of a hit through the read-through call, its loader's allocation
    /// included: the median of batches on one key.
    pub warm_read_ns: f64,
    /// Hit ratio in per cent on the trace multi3, room for a tenth of its keys.
    pub multi3_hit_percent: f64,
}

/// Measures one cache.
///
/// # Errors
/// The runtime cannot be started, or the trace cannot be read.
pub fn measure<S: Subject>() -> io::Result<Notes> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/traces/multi3.trace.gz");
    let trace = Trace::open(path).map_err(io::Error::other)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    Ok(Notes {
        warm_read_ns: runtime.block_on(warm_read::<S>()),
        multi3_hit_percent: runtime.block_on(hit_percent::<S>(&trace)),
    })
}

async fn warm_read<S: Subject>() -> f64 {
    let subject = S::with_room(1024);
    let origin = Origin::default();
    let key = Key {
        tenant: TENANT,
        number: 0,
    };
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let watch = Stopwatch::start();
        for _ in 0..READS {
            // A loader that is never polled cannot fail; the first one cannot either.
            let _ = subject.read(key, origin.load()).await;
        }
        batches.push(watch.elapsed().as_secs_f64() * 1e9 / READS as f64);
    }
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}

async fn hit_percent<S: Subject>(trace: &Trace) -> f64 {
    let subject = S::with_room(trace.distinct() / 10);
    let origin = Origin::default();
    for &number in &trace.accesses {
        let key = Key {
            tenant: TENANT,
            number,
        };
        let _ = subject.read(key, origin.load()).await;
    }
    100.0 * (1.0 - origin.loads() as f64 / trace.accesses.len() as f64)
}
