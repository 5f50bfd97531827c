//! A turn to load, granted by the sidecar.
//!
//! It is held until the sidecar has answered its settlement, and given up in the
//! background when it is dropped before, as soon as the sidecar is reached within the
//! time of the lease: those who wait there for this load would otherwise wait that
//! long. Giving up what was settled already does nothing, so a settlement whose
//! answer was lost needs no care.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::fence::{GiveBack, Held};
use millpond_proto::v1;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::fill_outcome::Outcome;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Distant, wire};
use crate::error::Error;
use crate::loaded::Body;
use crate::options::Options;
use crate::reply::{self, Fill, Settled};
use crate::value::Version;

/// What a fill takes in a message beside its value, tags and etag.
const FILL_BYTES: usize = 1_200;

#[derive(Debug)]
struct Right {
    place: Distant,
    key: Bytes,
    lease: v1::Lease,
    etag: Bytes,
    /// What a call about it may take.
    time: Duration,
    /// What was asked for, for when it is renewed.
    lease_asked: Option<Duration>,
    /// When it ends, unless it is renewed.
    ends: Instant,
}

impl Right {
    /// A fill of this lease alone, yet without a settlement.
    fn fill(&self) -> v1::Fill {
        v1::Fill {
            key: self.key.clone(),
            lease: Some(self.lease),
            ..v1::Fill::default()
        }
    }
}

impl GiveBack for Right {
    fn give_back(&mut self) {
        let fill = v1::Fill {
            settlement: Some(Settlement::GivenUp(true)),
            ..self.fill()
        };
        let (place, time, until) = (self.place.clone(), self.time, self.ends);
        self.place.remote.runtime.spawn(async move {
            // Something between us and the sidecar may answer that it is away on a
            // connection that stands: then coming back takes no time.
            let mut backoff = Backoff::new();
            loop {
                let settled = place.fill(time, vec![fill.clone()]).await;
                let away = matches!(settled, Err(Error::Unavailable { .. }));
                // Too late: the lease has ended by its deadline.
                if !away || !place.remote.pool.back(until).await {
                    return;
                }
                tokio::time::sleep(backoff.pause(fastrand::f64())).await;
            }
        });
    }
}

impl Distant {
    async fn fill(&self, time: Duration, fills: Vec<v1::Fill>) -> Result<v1::FillReply, Error> {
        let message = || v1::FillRequest {
            tenant: self.tenant(),
            cache: self.cache(),
            fills: fills.clone(),
        };
        self.remote.call(time, message).await
    }
}

/// Dropping it gives the lease up.
#[derive(Debug)]
pub(crate) struct Turn(Held<Right>);

impl Turn {
    pub(super) fn new(
        place: Distant,
        key: Bytes,
        lease: v1::Lease,
        etag: Bytes,
        options: &Options,
    ) -> Self {
        Self(Held::new(Right {
            time: place.time(options),
            lease_asked: options.lease,
            ends: Instant::now() + wire::duration(lease.expires_in_ms),
            place,
            key,
            lease,
            etag,
        }))
    }

    pub(crate) fn etag(&self) -> &Bytes {
        &self.0.right().etag
    }

    /// How long it excludes others from now on, if it was not renewed.
    pub(crate) fn lasts(&self) -> Duration {
        let ends = self.0.right().ends;
        ends.saturating_duration_since(Instant::now())
    }

    /// Asks for more time; how long it lasts from now on, `None` when it is void.
    pub(crate) async fn renew(&self) -> Option<Duration> {
        let right = self.0.right();
        let message = || v1::RenewRequest {
            tenant: right.place.tenant(),
            cache: right.place.cache(),
            key: right.key.clone(),
            lease: Some(right.lease),
            lease_ms: right.lease_asked.map(wire::millis),
        };
        let reply = right.place.remote.call(right.time, message).await.ok()?;
        reply.lease.map(|lease| wire::duration(lease.expires_in_ms))
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        let right = self.0.right();
        let fills = vec![settled(right.fill(), fill)];
        let Ok(mut reply) = right.place.fill(right.time, fills).await else {
            // What was loaded is good all the same; `drop` gives the lease up, in
            // case it was only refused.
            return Settled::Done(None);
        };
        let outcome = reply.outcomes.pop().unwrap_or_default();
        match outcome.outcome() {
            Outcome::NeedValue => Settled::NeedValue(reply::Turn::Remote(Box::new(self))),
            Outcome::Stored | Outcome::Superseded | Outcome::Unspecified => {
                self.0.release();
                Settled::Done(wire::version(&outcome.version).ok())
            }
        }
    }
}

/// Settles turns of one cache in as few calls as they fit in; each by itself. A
/// call that fails leaves those of its lot given up.
pub(crate) async fn settle_many(turns: Vec<(Turn, Fill)>) -> Vec<Option<Version>> {
    let mut versions = Vec::with_capacity(turns.len());
    let mut turns = turns.into_iter().peekable();
    while let Some((first, _)) = turns.peek() {
        let right = first.0.right();
        let (place, time) = (right.place.clone(), right.time);
        let takes = place.remote.pool.takes();
        let (mut lot, mut fills, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        while let Some((turn, fill)) = turns.next_if(|(_, fill)| {
            let room = fills.len() < takes.fills && bytes + size(fill) <= takes.message_bytes;
            room || fills.is_empty()
        }) {
            bytes += size(&fill);
            fills.push(settled(turn.0.right().fill(), fill));
            lot.push(turn);
        }
        let mut outcomes = match place.fill(time, fills).await {
            Ok(reply) => reply.outcomes.into_iter(),
            Err(_) => Vec::new().into_iter(),
        };
        for turn in lot {
            let outcome = outcomes.next();
            if outcome.is_some() {
                turn.0.release();
            }
            versions.push(outcome.and_then(|outcome| wire::version(&outcome.version).ok()));
        }
    }
    versions
}

/// What a fill takes in a message, rounded up.
fn size(fill: &Fill) -> usize {
    let Fill::Loaded(loaded) = fill else {
        return FILL_BYTES;
    };
    let Body::Item(item) = &loaded.0 else {
        return FILL_BYTES;
    };
    let tags: usize = item.tags.iter().map(|tag| tag.len() + 3).sum();
    FILL_BYTES + item.value.len() + tags + item.etag.len()
}

fn settled(fill: v1::Fill, by: Fill) -> v1::Fill {
    match by {
        Fill::Loaded(loaded) => match loaded.0 {
            Body::Item(item) => v1::Fill {
                settlement: Some(Settlement::Value(item.value)),
                times: Some(wire::times(item.times)),
                tags: wire::tags(&item.tags),
                etag: item.etag,
                ..fill
            },
            Body::Absent { fresh } => v1::Fill {
                settlement: Some(Settlement::Absent(true)),
                times: Some(v1::Times {
                    fresh_ms: fresh.map(wire::millis),
                    ..v1::Times::default()
                }),
                ..fill
            },
        },
        Fill::NotModified { times } => v1::Fill {
            settlement: Some(Settlement::NotModified(true)),
            times: Some(wire::times(times)),
            ..fill
        },
        Fill::Failed { message } => v1::Fill {
            settlement: Some(Settlement::Failed(v1::Failed {
                error: message,
                retry_after_ms: 0,
            })),
            ..fill
        },
    }
}
