//! A turn to load, granted by the sidecar.
//!
//! It is held until the sidecar has answered its settlement, and given up in the
//! background when it is dropped before. Giving up what was settled already does
//! nothing, so a settlement whose answer was lost needs no care.

use bytes::Bytes;
use millpond_core::fence::{GiveBack, Held};
use millpond_proto::v1;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::fill_outcome::Outcome;
use std::time::Duration;

use super::{Distant, wire};
use crate::loaded::Body;
use crate::reply::{self, Fill, Settled};

#[derive(Debug)]
struct Right {
    place: Distant,
    key: Bytes,
    lease: v1::Lease,
    etag: Bytes,
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

    fn request(&self, fill: v1::Fill) -> tonic::Request<v1::FillRequest> {
        let message = v1::FillRequest {
            tenant: self.place.tenant(),
            cache: self.place.cache(),
            fills: vec![fill],
        };
        self.place.remote.request(message, Duration::ZERO)
    }
}

impl GiveBack for Right {
    fn give_back(&mut self) {
        let request = self.request(v1::Fill {
            settlement: Some(Settlement::GivenUp(true)),
            ..self.fill()
        });
        let mut client = self.place.remote.client();
        self.place.remote.runtime.spawn(async move {
            // Lost: the lease ends by its deadline.
            drop(client.fill(request).await);
        });
    }
}

/// Dropping it gives the lease up.
#[derive(Debug)]
pub(crate) struct Turn(Held<Right>);

impl Turn {
    pub(super) fn new(place: Distant, key: Bytes, lease: v1::Lease, etag: Bytes) -> Self {
        Self(Held::new(Right {
            place,
            key,
            lease,
            etag,
        }))
    }

    pub(crate) fn etag(&self) -> &Bytes {
        &self.0.right().etag
    }

    pub(crate) async fn settle(self, fill: Fill) -> Settled {
        let right = self.0.right();
        let request = right.request(settled(right.fill(), fill));
        let Ok(reply) = right.place.remote.client().fill(request).await else {
            // What was loaded is good all the same; `drop` gives the lease up, in
            // case it was only refused.
            return Settled::Done(None);
        };
        let outcome = reply.into_inner().outcomes.pop().unwrap_or_default();
        match outcome.outcome() {
            Outcome::NeedValue => Settled::NeedValue(reply::Turn::Remote(Box::new(self))),
            Outcome::Stored | Outcome::Superseded | Outcome::Unspecified => {
                self.0.release();
                Settled::Done(wire::version(&outcome.version).ok())
            }
        }
    }
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
