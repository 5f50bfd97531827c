//! The quiet tenant: an open loop of reads and of calls for tokens.

use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use millpond_benches::stopwatch::Stopwatch;
use millpond_benches::workload::ZIPF_EXPONENT;
use millpond_benches::zipf::Zipf;
use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::Failure;

/// Keys of the working set: an eighth of what the cache holds.
const KEYS: u32 = 1_000;
const VALUE: &[u8] = &[7; 128];
/// Calls a second. Its own limit is twice what it asks of it.
const READS: f64 = 2_000.0;
const OWN: f64 = 500.0;
pub(crate) const JOBS_LIMIT: f64 = 500.0;
pub(crate) const JOBS_BURST: u64 = 50;
/// A tenth above the limit: what is admitted is the limit, if nobody takes of it.
const JOBS: f64 = 1.1 * JOBS_LIMIT;
/// Calls are made as often as a timer comes.
const TICK: Duration = Duration::from_millis(1);
/// Longest time that is told apart, in nanoseconds.
const LONGEST: u64 = 10_000_000_000;

/// What was found.
pub(crate) struct Quiet {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) own_asked: u64,
    pub(crate) own_admitted: u64,
    pub(crate) jobs_admitted: u64,
    /// Calls that were refused with a status.
    pub(crate) failed: u64,
    /// Nanoseconds, as the caller sees them.
    pub(crate) get: Histogram<u64>,
    pub(crate) acquire: Histogram<u64>,
}

/// One call, over.
enum Over {
    Read { hit: bool, took: Duration },
    Own { admitted: bool, took: Duration },
    Jobs { admitted: bool },
}

/// Reads the whole working set, so that what is missed later was evicted.
pub(crate) async fn fill(channel: &Channel) -> Result<(), Failure> {
    for key in 0..KEYS {
        read(channel.clone(), key).await?;
    }
    Ok(())
}

/// Spends what `jobs` has saved: what is admitted afterwards is its rate.
pub(crate) async fn spend_burst(channel: &Channel) -> Result<(), Failure> {
    let mut cost = JOBS_BURST;
    // Bounded: where a call takes longer than a token, the bucket is never found empty.
    for _ in 0..4 * JOBS_BURST {
        if cost == 0 {
            break;
        }
        let (admitted, _) = acquire(channel.clone(), "jobs", cost).await?;
        if !admitted {
            cost /= 2;
        }
    }
    Ok(())
}

pub(crate) async fn run(channels: &[Channel], time: Duration) -> Result<Quiet, Failure> {
    let zipf = Zipf::new(KEYS, ZIPF_EXPONENT)?;
    let mut keys = zipf.ranks(fastrand::u64(..));
    let mut next = channels.iter().cloned().cycle();
    let mut channel = || next.next().ok_or("no connection");
    let mut quiet = Quiet {
        reads: 0,
        hits: 0,
        own_asked: 0,
        own_admitted: 0,
        jobs_admitted: 0,
        failed: 0,
        get: Histogram::new_with_max(LONGEST, 3)?,
        acquire: Histogram::new_with_max(LONGEST, 3)?,
    };
    let mut calls = JoinSet::new();
    let mut made = [0.0; 3];
    let mut ticks = tokio::time::interval(TICK);
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        ticks.tick().await;
        let seconds = watch.elapsed().min(time).as_secs_f64();
        while made[0] < READS * seconds {
            made[0] += 1.0;
            let key = keys.next().ok_or("ranks are without end")?;
            calls.spawn(read(channel()?, key));
        }
        while made[1] < OWN * seconds {
            made[1] += 1.0;
            calls.spawn(own(channel()?));
        }
        while made[2] < JOBS * seconds {
            made[2] += 1.0;
            calls.spawn(jobs(channel()?));
        }
        while let Some(over) = calls.try_join_next() {
            quiet.count(over?);
        }
    }
    while let Some(over) = calls.join_next().await {
        quiet.count(over?);
    }
    Ok(quiet)
}

impl Quiet {
    fn count(&mut self, over: Result<Over, Failure>) {
        let nanos = |took: Duration| u64::try_from(took.as_nanos()).unwrap_or(LONGEST);
        let Ok(over) = over else {
            self.failed += 1;
            return;
        };
        match over {
            Over::Read { hit, took } => {
                self.reads += 1;
                self.hits += u64::from(hit);
                self.get.saturating_record(nanos(took));
            }
            Over::Own { admitted, took } => {
                self.own_asked += 1;
                self.own_admitted += u64::from(admitted);
                self.acquire.saturating_record(nanos(took));
            }
            Over::Jobs { admitted } => self.jobs_admitted += u64::from(admitted),
        }
    }
}

async fn read(channel: Channel, key: u32) -> Result<Over, Failure> {
    let mut client = CacheServiceClient::new(channel);
    let key = Bytes::from(format!("work-{key:08}"));
    let request = v1::GetRequest {
        tenant: "quiet".to_owned(),
        cache: "work".to_owned(),
        key: key.clone(),
        load: v1::Load::Caller.into(),
        ..v1::GetRequest::default()
    };
    let watch = Stopwatch::start();
    let reply = client.get(request).await?.into_inner();
    let took = watch.elapsed();
    if let Some(lease) = reply.lease {
        let fill = v1::Fill {
            key,
            lease: Some(lease),
            settlement: Some(v1::fill::Settlement::Value(Bytes::from_static(VALUE))),
            ..v1::Fill::default()
        };
        let request = v1::FillRequest {
            tenant: "quiet".to_owned(),
            cache: "work".to_owned(),
            fills: vec![fill],
        };
        client.fill(request).await?;
    }
    Ok(Over::Read {
        hit: reply.found.is_some(),
        took,
    })
}

async fn own(channel: Channel) -> Result<Over, Failure> {
    let (admitted, took) = acquire(channel, "", 1).await?;
    Ok(Over::Own { admitted, took })
}

async fn jobs(channel: Channel) -> Result<Over, Failure> {
    let (admitted, _) = acquire(channel, "jobs", 1).await?;
    Ok(Over::Jobs { admitted })
}

async fn acquire(channel: Channel, limit: &str, cost: u64) -> Result<(bool, Duration), Failure> {
    let charge = v1::Charge {
        limit: limit.to_owned(),
        cost: Some(cost),
        ..v1::Charge::default()
    };
    let request = v1::AcquireRequest {
        tenant: "quiet".to_owned(),
        charges: vec![charge],
        ..v1::AcquireRequest::default()
    };
    let watch = Stopwatch::start();
    let reply = LimitServiceClient::new(channel).acquire(request).await?;
    Ok((reply.into_inner().allowed, watch.elapsed()))
}
