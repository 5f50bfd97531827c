//! The cache of the sidecar beside this process, over gRPC.
//!
//! One call is one round trip with a deadline that the sidecar knows too, and that
//! holds here for the whole of its reply, whatever the sidecar makes of it. A call
//! that the sidecar did not process, as when it drains, goes out again on another
//! connection; one whose fate is unknown goes out again once, if that does no harm
//! ([`rpc`]). Making connections again is the [`pool`]'s. Whether callers load
//! directly while the sidecar is away is theirs to choose, and decided above, from
//! [`Error::Unavailable`].

mod address;
mod backoff;
mod config;
mod distant;
mod fate;
mod grants;
mod limits;
mod live;
mod many;
mod pool;
mod rpc;
mod trace;
mod turn;
mod unheard;
mod wire;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::direct::{DirectLoads, OnUnavailable};
use crate::error::Error;
use crate::limit::away::{Absence, WithoutSidecar};

use fate::Fate;
use grants::Grants;
use limits::RequestIds;
use live::Live;
use pool::Pool;
use rpc::Rpc;
use trace::{TRACEPARENT, Tracer};

pub use config::RemoteConfig;
pub(crate) use distant::Distant;
pub(crate) use grants::Slot;
pub(crate) use limits::HeldTokens;
pub(crate) use turn::{Turn, settle_many};

/// One sidecar, and what is to be done without it.
#[derive(Debug)]
pub(crate) struct Remote {
    pool: Pool,
    /// What a call may take beyond the time it was told to wait.
    timeout: Duration,
    /// What a handle does that does not say.
    away: OnUnavailable,
    /// Made when it is first needed: most processes never do.
    direct: OnceLock<Arc<DirectLoads>>,
    direct_at_once: usize,
    direct_queued: usize,
    /// What decides on limits for a handle that does not say.
    limits_away: WithoutSidecar,
    pub(crate) absence: Absence,
    grants: Grants,
    requests: RequestIds,
    /// Who knows the caller's span.
    tracer: Option<Tracer>,
    /// Where abandoned rights are given back.
    runtime: tokio::runtime::Handle,
}

/// Whoever says that it waits longer means for ever; the wire has no word for that.
const LONGEST_CALL: Duration = Duration::from_secs(3_600);
/// Calls that the sidecar did not process are made again at most so often. Each
/// time takes a dead connection out of use, so a few would do; this ends it where
/// a sidecar refuses whatever is sent.
const MAX_UNSENT: u32 = 32;

impl Remote {
    /// Makes a call that ends, well or badly, within `time`.
    async fn call<M: Rpc>(
        &self,
        time: Duration,
        message: impl Fn() -> M,
    ) -> Result<M::Reply, Error> {
        Ok(self.ask(time, message).await?.0)
    }

    /// The same, and the connection that the reply came by.
    async fn ask<M: Rpc>(
        &self,
        time: Duration,
        message: impl Fn() -> M,
    ) -> Result<(M::Reply, Arc<Live>), Error> {
        let until = Instant::now() + time.min(LONGEST_CALL);
        let traceparent = self.tracer.as_ref().and_then(Tracer::traceparent);
        let (mut unsent, mut lost) = (0, false);
        loop {
            let live = self.pool.live(until).await?;
            let mut request = tonic::Request::new(message());
            request.set_timeout(until.saturating_duration_since(Instant::now()));
            if let Some(traceparent) = &traceparent {
                let metadata = request.metadata_mut();
                metadata.insert(TRACEPARENT, traceparent.clone());
            }
            let sent = timeout_at(until, M::send(live.clients(), request));
            let status = match sent.await {
                Ok(Ok(reply)) => return Ok((reply.into_inner(), live)),
                Ok(Err(status)) => status,
                // The library's own timer, which says the same, ends with the reply's
                // head: a reply that begins need not end.
                Err(_) => Status::deadline_exceeded("Timeout expired"),
            };
            let again = match Fate::of(&status) {
                Fate::Answered => return Err(wire::error(status)),
                Fate::Unsent => {
                    self.pool.ended(&live);
                    unsent += 1;
                    unsent < MAX_UNSENT
                }
                Fate::Lost => {
                    self.pool.lost(&live);
                    M::TWICE && !std::mem::replace(&mut lost, true)
                }
            };
            if !again {
                return Err(wire::error(status));
            }
        }
    }

    /// Loads without the sidecar.
    fn direct(&self) -> &Arc<DirectLoads> {
        self.direct
            .get_or_init(|| Arc::new(DirectLoads::new(self.direct_at_once, self.direct_queued)))
    }
}
