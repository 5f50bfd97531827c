//! How to reach a sidecar, and what to do without it.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Remote;
use super::address::Address;
use super::grants::Grants;
use super::limits::RequestIds;
use super::pool::Pool;
use super::trace::Tracer;
use crate::direct::OnUnavailable;
use crate::error::Error;
use crate::limit::away::{Absence, WithoutSidecar};
use crate::millpond::Millpond;

/// A sidecar that is silent for less is busy, not dead, however hasty the calls are.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// How to reach a sidecar, and what to do without it.
///
/// ```no_run
/// # use millpond_client::{OnUnavailable, RemoteConfig};
/// # async fn connect() -> Result<(), millpond_client::Error> {
/// let pond = RemoteConfig::new("http://127.0.0.1:7470")?
///     .connections(4)
///     .on_unavailable(OnUnavailable::LoadDirectly)
///     .direct_loads(16, 256)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    address: Address,
    connections: usize,
    timeout: Duration,
    away: OnUnavailable,
    limits_away: WithoutSidecar,
    direct_at_once: usize,
    direct_queued: usize,
    tracer: Option<Tracer>,
}

impl RemoteConfig {
    /// Where a sidecar listens unless it is told otherwise.
    pub const DEFAULT_ADDRESS: &'static str = "unix:/run/millpond/millpond.sock";

    /// The sidecar at `unix:/path/to.sock` (or `unix:///path/to.sock`) or
    /// `http://host:port` (or `host:port`).
    ///
    /// # Errors
    /// [`Error::Rejected`] when the address is neither, saying why.
    pub fn new(address: &str) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(address)?,
            connections: 1,
            timeout: Duration::from_secs(2),
            away: OnUnavailable::Fail,
            limits_away: WithoutSidecar::Open,
            direct_at_once: 16,
            direct_queued: 1_024,
            tracer: None,
        })
    }

    /// How many connections to spread calls over; at least 1. Default 1, which is
    /// enough for about as many calls as one core can send. Each may buffer up to
    /// 16 MiB.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a call may take beyond the time it waits for another's load, unless
    /// a handle says [`within`](crate::TenantCache::within); and how long a sidecar
    /// may be silent while a call waits before its connection is given up. Default
    /// 2 s. So a call is never longer on its way than `wait` and this together, and
    /// where the sidecar hangs not longer than about this (or 1 s, if it is less),
    /// whatever `wait` is. What the call was to do may or may not have been done
    /// when it ends.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What reads do while the sidecar is away, unless a handle
    /// [says otherwise](crate::TenantCache::on_unavailable). Default
    /// [`OnUnavailable::Fail`].
    #[must_use]
    pub fn on_unavailable(mut self, away: OnUnavailable) -> Self {
        self.away = away;
        self
    }

    /// What decides on limits while the sidecar is away, unless a handle
    /// [says otherwise](crate::Limit::on_unavailable). Default
    /// [`WithoutSidecar::Open`].
    #[must_use]
    pub fn limits_on_unavailable(mut self, away: WithoutSidecar) -> Self {
        self.limits_away = away;
        self
    }

    /// How many loaders may run at once without the sidecar, and how many more may
    /// wait for that; what is beyond is refused with [`Error::Shed`]. Default 16 and
    /// 1 024. The bounds hold for all handles made from this connection together:
    /// they are there for the origin's sake. At least 1 may run.
    #[must_use]
    pub fn direct_loads(mut self, at_once: usize, queued: usize) -> Self {
        self.direct_at_once = at_once.max(1);
        self.direct_queued = queued;
        self
    }

    /// Sends the caller's trace context with each call, so that the sidecar's spans
    /// stand under the caller's own. Default: none is sent.
    ///
    /// `current` is asked once as each call begins, where it is made: in the task that
    /// polls the read or the write. It returns a `traceparent` as
    /// [W3C Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header)
    /// has it, `00-<32 hex digits>-<16>-<2>`, in lower case; what is not of that form
    /// is not sent. It must be quick and not panic. What a handle does behind its
    /// caller's back (refreshing what is stale, giving up a lease) asks too, in a task
    /// of its own, where most tracers know of no span.
    ///
    /// ```
    /// # use millpond_client::RemoteConfig;
    /// # fn of_the_current_span() -> Option<String> { None }
    /// # fn configure() -> Result<(), millpond_client::Error> {
    /// // With OpenTelemetry: `TraceContextPropagator` injects into a map, of which
    /// // this is the entry `traceparent`.
    /// let config = RemoteConfig::new("http://127.0.0.1:7470")?
    ///     .propagate(of_the_current_span);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn propagate(
        mut self,
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tracer = Some(Tracer::new(current));
        self
    }

    /// Connects, and asks the sidecar what it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing answers; [`Error::Rejected`] when it
    /// speaks another revision of the contract.
    pub async fn connect(self) -> Result<Millpond, Error> {
        let remote = self.open();
        // However hasty the calls are, a process takes its time to be greeted.
        let until = Instant::now() + self.timeout.max(LEAST_PATIENCE);
        remote.pool.live(until).await?;
        Ok(Millpond::remote(remote))
    }

    /// Connects when it is first used: for programs that may start before their
    /// sidecar. Until it is there, it is away.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn connect_lazily(self) -> Millpond {
        Millpond::remote(self.open())
    }

    fn open(&self) -> Remote {
        let runtime = Handle::current();
        let address = self.address.clone();
        let patience = self.timeout.max(LEAST_PATIENCE);
        Remote {
            pool: Pool::new(address, self.connections, patience, runtime.clone()),
            timeout: self.timeout,
            away: self.away,
            limits_away: self.limits_away,
            absence: Absence::default(),
            grants: Grants::new(self.connections),
            requests: RequestIds::new(),
            direct: OnceLock::new(),
            direct_at_once: self.direct_at_once,
            direct_queued: self.direct_queued,
            tracer: self.tracer.clone(),
            runtime,
        }
    }
}
