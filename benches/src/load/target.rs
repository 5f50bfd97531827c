//! The cache that load is put on: in this process, in a sidecar that was told of, or
//! in one started for it.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use millpond_client::{EmbeddedConfig, Error, Millpond, RemoteConfig, TenantCache};

use super::counters::{Counters, unsettled};
use super::process::cpu_time;
use super::sidecar::{self, SidecarProcess, Wire};
use crate::stopwatch::Stopwatch;

/// Whose entries the load's are.
const TENANT: &str = "bench";
/// Which of the tenant's caches. Nobody declares it.
const CACHE: &str = "bench";
/// Beyond the wait for another's load: on a busy machine a call may take a while, and
/// one that is cut off would be counted as a fault of the cache.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The cache that load is put on.
#[derive(Debug)]
pub struct Target {
    pond: Millpond,
    probe: Option<String>,
    child: Option<SidecarProcess>,
}

/// Why there is no cache to put load on, or why it cannot be asked what it counted.
#[derive(Debug)]
pub enum TargetError {
    /// The child did not start.
    Start(io::Error),
    /// The sidecar was not reached.
    Connect(Error),
    /// Its counters were not to be had.
    Scrape(io::Error),
    /// Its page of metrics lacks a counter: it is of another version.
    OtherMetrics,
}

impl Target {
    /// A cache in this process, of `budget` bytes.
    #[must_use]
    pub fn embedded(budget: u64) -> Self {
        Self::with(Millpond::embedded(EmbeddedConfig::default().budget(budget)))
    }

    /// Whatever a handle is on. Counters are known of an embedded cache.
    #[must_use]
    pub fn with(pond: Millpond) -> Self {
        Self {
            pond,
            probe: None,
            child: None,
        }
    }

    /// A sidecar of `budget` bytes, run as a child by `executable serve`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn started(
        executable: &Path,
        wire: Wire,
        budget: u64,
        connections: usize,
    ) -> Result<Self, TargetError> {
        let child = SidecarProcess::start(executable, wire, budget).map_err(TargetError::Start)?;
        Ok(Self {
            pond: connect(child.address(), connections).await?,
            probe: Some(child.probe().to_owned()),
            child: Some(child),
        })
    }

    /// The sidecar at `address`. Its counters are read when `probe` says where; they
    /// add up only if nobody else uses it meanwhile.
    ///
    /// # Errors
    /// When it is not reached.
    pub async fn told_of(
        address: &str,
        probe: Option<String>,
        connections: usize,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            pond: connect(address, connections).await?,
            probe,
            child: None,
        })
    }

    /// The cache that the load uses.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn cache(&self) -> Result<TenantCache, Error> {
        self.pond.cache(CACHE)?.tenant(TENANT)
    }

    /// The handle.
    #[must_use]
    pub fn pond(&self) -> &Millpond {
        &self.pond
    }

    /// Its child process, if it has one.
    #[must_use]
    pub fn child(&self) -> Option<&SidecarProcess> {
        self.child.as_ref()
    }

    /// What was counted until now, and how many loads are not settled; `None` when
    /// nobody said where to ask.
    ///
    /// # Errors
    /// When the counters are not to be had.
    pub fn counters(&self) -> Result<Option<(Counters, u64)>, TargetError> {
        if let Some(pond) = self.pond.pond() {
            return Ok(Some((Counters::of(pond), pond.gauges().loads as u64)));
        }
        let Some(probe) = &self.probe else {
            return Ok(None);
        };
        let page = sidecar::metrics(probe).map_err(TargetError::Scrape)?;
        let counted = Counters::parse(&page).zip(unsettled(&page));
        counted.map(Some).ok_or(TargetError::OtherMetrics)
    }

    /// The counters once no more loads are under way than the `others` that were
    /// before, or after `patience`.
    ///
    /// # Errors
    /// When the counters are not to be had.
    pub async fn at_rest(
        &self,
        others: u64,
        patience: Duration,
    ) -> Result<Option<Counters>, TargetError> {
        const EVERY: Duration = Duration::from_millis(5);
        let watch = Stopwatch::start();
        loop {
            match self.counters()? {
                Some((_, unsettled)) if unsettled > others && watch.elapsed() < patience => {
                    tokio::time::sleep(EVERY).await;
                }
                counted => return Ok(counted.map(|(counters, _)| counters)),
            }
        }
    }

    /// The CPU time of the child, if there is one and the system tells.
    #[must_use]
    pub fn server_cpu(&self) -> Option<Duration> {
        cpu_time(self.child.as_ref()?.id())
    }
}

async fn connect(address: &str, connections: usize) -> Result<Millpond, TargetError> {
    let config = RemoteConfig::new(address).map_err(TargetError::Connect)?;
    let config = config.connections(connections).timeout(CALL_TIMEOUT);
    config.connect().await.map_err(TargetError::Connect)
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "a sidecar to measure did not start: {error}"),
            Self::Connect(error) => error.fmt(f),
            Self::Scrape(error) => write!(f, "the sidecar's metrics: {error}"),
            Self::OtherMetrics => {
                f.write_str("the sidecar's metrics lack a counter of this version")
            }
        }
    }
}

impl std::error::Error for TargetError {}
