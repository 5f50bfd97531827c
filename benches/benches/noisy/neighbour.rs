//! The noisy tenant, in a process of its own: far more calls than it may make, and a
//! scan of far more than the cache holds.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use millpond_benches::stopwatch::Stopwatch;
use millpond_core::cache::ENTRY_OVERHEAD;
use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::process::{Role, channels, say};
use crate::{Failure, WARM};

/// Calls a second that it may make, and that it makes.
pub(crate) const LIMIT: u64 = 100;
const CALLS: f64 = 100.0 * LIMIT as f64;
/// Entries of the cache's 8 MiB, and how often as many are scanned in a round.
const ENTRIES: usize = (8 << 20) / (ENTRY_OVERHEAD + 13 + 128);
const SCANS: f64 = 10.0;
const VALUE: &[u8] = &[7; 128];
/// Keys a call.
const BATCH: usize = 64;
const TICK: Duration = Duration::from_millis(1);
/// A sidecar that answers nobody is not buried.
const MOST_IN_FLIGHT: usize = 2_000;

const SOCKET: &str = "MILLPOND_NOISY_SOCKET";
const ROUND: &str = "MILLPOND_NOISY_ROUND";
const MILLIS: &str = "MILLPOND_NOISY_MILLIS";

/// What it says at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) seconds: f64,
    pub(crate) asked: u64,
    pub(crate) admitted: u64,
    pub(crate) scanned: u64,
}

pub(crate) struct Child {
    child: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Child {
    /// Starts it and waits until it is connected.
    pub(crate) fn start(socket: &Path, round: usize, time: Duration) -> Result<Self, Failure> {
        let mut child = Role::Noisy
            .command()?
            .env(SOCKET, socket)
            .env(ROUND, round.to_string())
            .env(MILLIS, time.as_millis().to_string())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        said.read_line(&mut String::new())?;
        Ok(Self { child, said })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn told(mut self) -> Result<Told, Failure> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        drop(self.child.wait());
        let words: Vec<&str> = line.split_whitespace().collect();
        let [seconds, asked, admitted, scanned] = words[..] else {
            return Err("the noisy one ended early".into());
        };
        Ok(Told {
            seconds: seconds.parse()?,
            asked: asked.parse()?,
            admitted: admitted.parse()?,
            scanned: scanned.parse()?,
        })
    }
}

/// The child.
pub(crate) fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let said = |name| std::env::var(name).map_err(|_| format!("{name} is missing"));
    let (socket, round) = (PathBuf::from(said(SOCKET)?), said(ROUND)?.parse()?);
    let time = Duration::from_millis(said(MILLIS)?.parse()?);
    runtime.block_on(async {
        let channels = channels(&socket).await?;
        say("ready")?;
        let watch = Stopwatch::start();
        let (spent, scanned) = tokio::join!(
            spend(&channels, time),
            scan(channels[0].clone(), round, time)
        );
        let ((asked, admitted), scanned) = (spent?, scanned?);
        let seconds = watch.elapsed().as_secs_f64();
        say(&format!("{seconds} {asked} {admitted} {scanned}"))?;
        Ok(())
    })
}

async fn spend(channels: &[Channel], time: Duration) -> Result<(u64, u64), Failure> {
    let mut calls = JoinSet::new();
    let (mut made, mut asked, mut admitted) = (0.0, 0, 0);
    let mut next = channels.iter().cloned().cycle();
    let mut ticks = tokio::time::interval(TICK);
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        ticks.tick().await;
        while made < CALLS * watch.elapsed().as_secs_f64() {
            made += 1.0;
            if calls.len() < MOST_IN_FLIGHT {
                asked += 1;
                calls.spawn(acquire(next.next().ok_or("no connection")?));
            }
        }
        while let Some(over) = calls.try_join_next() {
            admitted += u64::from(over?);
        }
    }
    while let Some(over) = calls.join_next().await {
        admitted += u64::from(over?);
    }
    Ok((asked, admitted))
}

/// Whether it was allowed; refused is not.
async fn acquire(channel: Channel) -> bool {
    let request = v1::AcquireRequest {
        tenant: "noisy".to_owned(),
        ..v1::AcquireRequest::default()
    };
    let reply = LimitServiceClient::new(channel).acquire(request).await;
    reply.is_ok_and(|reply| reply.into_inner().allowed)
}

/// New keys all the time, each twice: no frequency tells it from reads in earnest.
async fn scan(channel: Channel, round: usize, time: Duration) -> Result<usize, Failure> {
    let mut client = CacheServiceClient::new(channel);
    let rate = SCANS * ENTRIES as f64 / (time - WARM).as_secs_f64();
    let first = round * 100 * ENTRIES;
    let mut scanned = 0;
    let mut ticks = tokio::time::interval(TICK);
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        ticks.tick().await;
        if scanned as f64 > rate * watch.elapsed().as_secs_f64() {
            continue;
        }
        let key = |at: usize| Bytes::from(format!("scan-{at:08}"));
        let keys: Vec<Bytes> = (first + scanned..).take(BATCH).map(key).collect();
        for _ in 0..2 {
            let request = v1::GetManyRequest {
                tenant: "noisy".to_owned(),
                cache: "scan".to_owned(),
                keys: keys.iter().map(asked).collect(),
                load: v1::Load::Caller.into(),
                ..v1::GetManyRequest::default()
            };
            let found = client.get_many(request).await?.into_inner().entries;
            let leases = keys.iter().zip(found);
            let fills = leases.filter_map(|(key, entry)| Some(filled(key, entry.lease?)));
            let fills: Vec<_> = fills.collect();
            if !fills.is_empty() {
                let request = v1::FillRequest {
                    tenant: "noisy".to_owned(),
                    cache: "scan".to_owned(),
                    fills,
                };
                client.fill(request).await?;
            }
        }
        scanned += BATCH;
    }
    Ok(scanned)
}

fn asked(key: &Bytes) -> v1::KeyRequest {
    v1::KeyRequest {
        key: key.clone(),
        min_version: Bytes::new(),
    }
}

fn filled(key: &Bytes, lease: v1::Lease) -> v1::Fill {
    v1::Fill {
        key: key.clone(),
        lease: Some(lease),
        settlement: Some(v1::fill::Settlement::Value(Bytes::from_static(VALUE))),
        ..v1::Fill::default()
    }
}
