//! Tenants' limits in the sidecar.
//!
//! A call names itself, so a second sending spends once; a sidecar that is away is not
//! the caller's error but what [`WithoutSidecar`] makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use millpond_core::cache::TenantId;
use millpond_core::limit::Settlement;
use millpond_core::tenant::LimitName;
use millpond_proto::v1;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::rpc::Rpc;
use super::unheard::Unheard;
use super::{Remote, wire};
use crate::error::Error;
use crate::limit::away::{Spent, WithoutSidecar};
use crate::limit::charges::{Asked, Charge};
use crate::limit::decision::{Decider, Decision, LimitReason};
use crate::limit::reservation::{Reservation, Reserved, Right};

/// Names for calls, none of which any process gives twice.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self {
            process: fastrand::u64(..),
            next: AtomicU64::new(fastrand::u64(..)),
        }
    }

    fn next(&self) -> Bytes {
        let mut id = BytesMut::with_capacity(16);
        id.put_u64(self.process);
        // Relaxed: only to be different.
        id.put_u64(self.next.fetch_add(1, Ordering::Relaxed));
        id.freeze()
    }
}

impl Remote {
    /// What a call may take that is ready to wait for so long.
    fn deciding_time(&self, asked: &Asked) -> Duration {
        let both = || asked.patience().saturating_add(self.timeout);
        asked.options.within.unwrap_or_else(both)
    }

    pub(crate) fn without_sidecar(&self, chosen: Option<WithoutSidecar>) -> WithoutSidecar {
        chosen.unwrap_or(self.limits_away)
    }

    pub(crate) async fn acquire(&self, asked: &Asked) -> Result<Decision, Error> {
        match self.ask_for_tokens(asked).await {
            Ok(reply) => Ok(decision(&reply, &asked.charges)),
            Err(Error::Unavailable { .. }) => {
                let chosen = self.without_sidecar(asked.options.away);
                Ok(self.absence.decide(asked, chosen).await)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn peek_limits(&self, asked: &Asked) -> Result<Decision, Error> {
        match self.look_at_tokens(asked).await {
            Ok(reply) => Ok(decision(&reply, &asked.charges)),
            Err(Error::Unavailable { .. }) => {
                let chosen = self.without_sidecar(asked.options.away);
                Ok(self.absence.peek(asked, chosen))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn reserve(self: Arc<Self>, asked: Asked) -> Result<Reserved, Error> {
        let runtime = self.runtime.clone();
        // Whoever leaves meanwhile must not leave tokens held.
        let answer = async move {
            let time = self.timeout;
            match self.ask_for_tokens(&asked).await {
                Ok(reply) => {
                    let decision = decision(&reply, &asked.charges);
                    let Some(reservation) = reply.reservation else {
                        return Ok(Reserved::Denied(decision));
                    };
                    let left = Duration::from_millis(reservation.expires_in_ms);
                    let held = HeldTokens {
                        remote: self,
                        tenant: asked.tenant,
                        reservation,
                        time,
                        ends: Instant::now() + left,
                    };
                    let (count, right) = (asked.charges.len(), Right::Remote(Box::new(held)));
                    Ok(Reserved::Held(Reservation::new(decision, count, right)))
                }
                Err(Error::Unavailable { .. }) => Ok(self.reserve_here(asked).await),
                Err(error) => Err(error),
            }
        };
        Unheard::new(answer, &runtime).await
    }

    async fn reserve_here(self: Arc<Self>, asked: Asked) -> Reserved {
        let chosen = self.without_sidecar(asked.options.away);
        let decision = self.absence.decide(&asked, chosen).await;
        if !decision.allowed {
            return Reserved::Denied(decision);
        }
        let count = asked.charges.len();
        let right = match chosen {
            WithoutSidecar::LocalShare(quota) => Right::Share {
                remote: self,
                tenant: asked.tenant,
                spent: Spent {
                    quota,
                    charges: asked.charges,
                },
            },
            WithoutSidecar::Open | WithoutSidecar::Closed => Right::Nothing,
        };
        Reserved::Held(Reservation::new(decision, count, right))
    }

    async fn ask_for_tokens(&self, asked: &Asked) -> Result<v1::AcquireReply, Error> {
        let charges = charges(&asked.charges);
        let request_id = self.requests.next();
        let patience = Instant::now() + asked.patience();
        let message = || v1::AcquireRequest {
            tenant: asked.tenant.as_str().to_owned(),
            charges: charges.clone(),
            // A second sending waits no longer than the first would have.
            max_wait_ms: whole_millis(patience.saturating_duration_since(Instant::now())),
            hold_ms: asked.hold.map(wire::millis),
            request_id: request_id.clone(),
        };
        let reply = self.call(self.deciding_time(asked), message).await?;
        self.absence.ended();
        Ok(reply)
    }

    pub(super) async fn look_at_tokens(&self, asked: &Asked) -> Result<v1::AcquireReply, Error> {
        let message = || v1::PeekRequest {
            tenant: asked.tenant.as_str().to_owned(),
            charges: charges(&asked.charges),
        };
        let time = asked.options.within.unwrap_or(self.timeout);
        let reply = self.call(time, message).await?;
        self.absence.ended();
        Ok(reply)
    }
}

/// Rounded down: nobody waits longer than it said. Yet what is not zero stays so.
fn whole_millis(duration: Duration) -> u32 {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    millis.max(u32::from(!duration.is_zero()))
}

fn charges(charges: &[Charge]) -> Vec<v1::Charge> {
    let charge = |charge: &Charge| v1::Charge {
        limit: charge.limit().to_owned(),
        key: charge.key.clone(),
        cost: Some(charge.cost),
    };
    charges.iter().map(charge).collect()
}

/// The wire's reason. One of a later sidecar's says no more than whether the call is
/// allowed.
pub(super) fn reason(reason: i32, allowed: bool) -> LimitReason {
    match v1::LimitReason::try_from(reason) {
        Ok(v1::LimitReason::OverLimit) if !allowed => LimitReason::OverLimit,
        Ok(v1::LimitReason::Never) if !allowed => LimitReason::Never,
        Ok(v1::LimitReason::Suspended) if !allowed => LimitReason::Suspended,
        _ if allowed => LimitReason::Ok,
        _ => LimitReason::Unavailable,
    }
}

pub(super) fn decision(reply: &v1::AcquireReply, charges: &[Charge]) -> Decision {
    let decider = |by: &v1::Decider| {
        // The caller's own copy of the name, if it has one.
        let ours = charges.iter().find(|charge| charge.limit() == by.limit);
        let limit = match ours {
            Some(charge) => charge.limit.clone(),
            None => LimitName::parse(&by.limit).ok(),
        };
        Decider {
            limit,
            keyed: by.keyed,
        }
    };
    Decision {
        would_deny: reply.would_deny,
        decided_by: reply.decided_by.as_ref().map(decider),
        capacity: reply.capacity,
        remaining: reply.remaining,
        reset_after: Duration::from_millis(reply.reset_after_ms),
        rate: reply.rate,
        period: Duration::from_millis(reply.period_ms),
        retry_after: Duration::from_millis(reply.retry_after_ms),
        waited: Duration::from_millis(reply.waited_ms),
        ..Decision::of(reason(reply.reason, reply.allowed))
    }
}

/// Tokens that the sidecar holds for this process.
#[derive(Clone, Debug)]
pub(crate) struct HeldTokens {
    remote: Arc<Remote>,
    tenant: TenantId,
    reservation: v1::Reservation,
    /// What a call about them may take.
    time: Duration,
    /// When the hold does.
    ends: Instant,
}

impl HeldTokens {
    /// Commits, and goes on trying behind the caller's back where the sidecar is away:
    /// else what was really spent would come back at the end of the hold.
    pub(crate) async fn commit(self, costs: Vec<u64>) -> Result<Settlement, Error> {
        let message = v1::CommitRequest {
            tenant: self.tenant.as_str().to_owned(),
            reservation: Some(self.reservation),
            costs,
        };
        self.settle(message).await
    }

    pub(crate) async fn release(self) -> Result<Settlement, Error> {
        let message = self.releasing();
        self.settle(message).await
    }

    /// Releases in the background.
    pub(crate) fn release_behind(&self) {
        let message = self.releasing();
        self.remote.runtime.spawn(self.clone().keep_at(message));
    }

    fn releasing(&self) -> v1::ReleaseRequest {
        v1::ReleaseRequest {
            tenant: self.tenant.as_str().to_owned(),
            reservation: Some(self.reservation),
        }
    }

    async fn settle<M>(self, message: M) -> Result<Settlement, Error>
    where
        M: Rpc + Clone + Sync + 'static,
        M::Reply: Settles,
    {
        let runtime = self.remote.runtime.clone();
        let answer = async move {
            let reply = self.remote.call(self.time, || message.clone()).await;
            if let Err(Error::Unavailable { .. }) = reply {
                let runtime = self.remote.runtime.clone();
                runtime.spawn(self.keep_at(message));
            }
            Ok(settlement(reply?.settlement()))
        };
        // Also when the caller leaves.
        Unheard::new(answer, &runtime).await
    }

    async fn keep_at<M>(self, message: M)
    where
        M: Rpc + Clone + Sync + 'static,
        M::Reply: Settles,
    {
        // Something between us and the sidecar may answer that it is away on a
        // connection that stands: then coming back takes no time.
        let mut backoff = Backoff::new();
        loop {
            let reply = self.remote.call(self.time, || message.clone()).await;
            let away = matches!(reply, Err(Error::Unavailable { .. }));
            if !away || !self.remote.pool.back(self.ends).await {
                return;
            }
            tokio::time::sleep(backoff.pause(fastrand::f64())).await;
        }
    }
}

/// A reply to a settlement.
trait Settles {
    fn settlement(&self) -> v1::Settlement;
}

impl Settles for v1::CommitReply {
    fn settlement(&self) -> v1::Settlement {
        v1::CommitReply::settlement(self)
    }
}

impl Settles for v1::ReleaseReply {
    fn settlement(&self) -> v1::Settlement {
        v1::ReleaseReply::settlement(self)
    }
}

fn settlement(settlement: v1::Settlement) -> Settlement {
    match settlement {
        v1::Settlement::Done => Settlement::Done,
        v1::Settlement::Late => Settlement::Late,
        v1::Settlement::Repeated => Settlement::Repeated,
        v1::Settlement::Void | v1::Settlement::Unspecified => Settlement::Void,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_calls_have_one_name() {
        let ids = RequestIds::new();
        let names: std::collections::HashSet<_> = (0..1_000).map(|_| ids.next()).collect();
        assert_eq!(names.len(), 1_000);
        assert!(names.iter().all(|name| name.len() == 16));
    }

    #[test]
    fn a_reason_of_a_later_sidecar_says_whether_the_call_is_allowed() {
        for (code, allowed, meant) in [
            (1, true, LimitReason::Ok),
            (2, false, LimitReason::OverLimit),
            (3, false, LimitReason::Never),
            (4, false, LimitReason::Suspended),
            (5, false, LimitReason::Unavailable),
            (4_711, false, LimitReason::Unavailable),
            (4_711, true, LimitReason::Ok),
            (0, false, LimitReason::Unavailable),
        ] {
            assert_eq!(reason(code, allowed), meant, "{code}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_it_said_and_what_waits_a_little_waits() {
        assert_eq!(whole_millis(Duration::ZERO), 0);
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(Duration::from_micros(7_900)), 7);
        assert_eq!(whole_millis(Duration::MAX), u32::MAX);
    }
}
