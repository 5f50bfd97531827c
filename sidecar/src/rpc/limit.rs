//! `millpond.v1.LimitService` on core's limiter.
//!
//! Denials are replies, and so is a tenant that is not served: only what is asked in a
//! wrong form, of a limit or a tenant that there is not, and what the sidecar has no
//! room for is refused with a status.
//!
//! A call that is ready to wait is charged at once and answered at its turn. It holds
//! its [`Turn`](millpond_core::limit::Turn) meanwhile: a caller that goes away drops
//! the call, and the tokens go back. So does the end of the sidecar, which such a call
//! is told, and a tenant's state that was set meanwhile.
//!
//! | file | what it owns |
//! |---|---|
//! | `asked` | fields of requests, checked and made into core's types |
//! | `answered` | core's decisions as the wire says them |
//! | `grant` | the stream by which processes are granted tokens |

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::Lease;
use millpond_core::cache::lookup::Timer as _;
use millpond_core::fence::Token;
use millpond_core::limit::{self, Decision, Limiter, MAX_CHARGES};
use millpond_core::tenant::TenantId;
use millpond_proto::v1;
use tonic::{Request, Status};

use self::asked::Charges;
use super::call::{Asked, Desk, Making, Reply, Unary};
use super::deadline::Patience;
use super::{fields, limits, status};
use crate::telemetry::calls::{Call, Method};
use crate::timer::Timer;

mod answered;
mod asked;
mod grant;

pub(super) use grant::Granting;

/// The service as one worker serves it.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    limiter: Arc<Limiter>,
    timer: Timer,
    desk: Arc<Desk>,
}

impl Limits {
    pub(crate) fn new(limiter: Arc<Limiter>, desk: Arc<Desk>) -> Self {
        let timer = Timer::new(limiter.directory().clock().clone());
        Self {
            limiter,
            timer,
            desk,
        }
    }

    async fn acquire(
        &self,
        told: &Call<'_>,
        request: Request<v1::AcquireRequest>,
    ) -> Result<Reply<v1::AcquireReply>, Status> {
        let patience = Patience::read(Some(request.get_ref().max_wait_ms), request.metadata())?;
        let request = request.into_inner();
        let charges = Charges::of(&request.charges)?;
        let call = limit::Call {
            charges: charges.all(),
            patience: patience.or(Duration::ZERO),
            hold: request.hold_ms.map(fields::milliseconds),
            request: &request.request_id,
        };
        let plain = call.patience.is_zero() && call.hold.is_none() && call.request.is_empty();
        if let (true, Some(cost)) = (plain, charges.own_alone()) {
            let decision = self.limiter.acquire_own(&request.tenant, cost);
            return self.decided(decision.map_err(status::call)?);
        }
        let acquired = self.limiter.acquire(&request.tenant, &call);
        let limit::Acquired { decision, turn } = acquired.map_err(status::call)?;
        if let Some(turn) = turn {
            let timer = told.waiting(&self.timer);
            let comes = timer.sleep_until(turn.comes());
            self.desk.while_serving(comes).await?;
            let decision = self.limiter.obeyed(&request.tenant, decision);
            // Who may not go on leaves: what refill has not given back goes back.
            if decision.is_allowed() {
                turn.take();
            }
            return self.decided(decision);
        }
        self.decided(decision)
    }

    fn decided(&self, decision: Decision) -> Result<Reply<v1::AcquireReply>, Status> {
        self.desk.calls.decisions().count(&decision);
        Ok(Reply::done(answered::decision(&self.limiter, &decision)))
    }

    fn peek(&self, request: &v1::PeekRequest) -> Result<Reply<v1::AcquireReply>, Status> {
        let charges = Charges::of(&request.charges)?;
        let decision = self.limiter.peek(&request.tenant, charges.all());
        let decision = decision.map_err(status::call)?;
        let reply = answered::decision(&self.limiter, &decision);
        Ok(Reply::read(reply, Vec::new()))
    }

    fn commit(&self, request: &v1::CommitRequest) -> Result<Reply<v1::CommitReply>, Status> {
        fields::count("costs", request.costs.len(), MAX_CHARGES)?;
        let settlement = match self.settling(&request.tenant, request.reservation.as_ref())? {
            None => limit::Settlement::Void,
            Some((tenant, token)) => self
                .limiter
                .commit(&tenant, token, &request.costs)
                .map_err(|wrong| Status::invalid_argument(wrong.to_string()))?,
        };
        let settlement = answered::settlement(settlement).into();
        Ok(Reply::done(v1::CommitReply { settlement }))
    }

    fn release(&self, request: &v1::ReleaseRequest) -> Result<Reply<v1::ReleaseReply>, Status> {
        let settlement = match self.settling(&request.tenant, request.reservation.as_ref())? {
            None => limit::Settlement::Void,
            Some((tenant, token)) => self.limiter.release(&tenant, token),
        };
        let settlement = answered::settlement(settlement).into();
        Ok(Reply::done(v1::ReleaseReply { settlement }))
    }

    /// What a settlement is of; nothing when another process held it.
    fn settling(
        &self,
        tenant: &str,
        reservation: Option<&v1::Reservation>,
    ) -> Result<Option<(TenantId, Token)>, Status> {
        let tenant = TenantId::parse(tenant).map_err(status::bad_field)?;
        let reservation = reservation.ok_or_else(|| status::bad("reservation", "is missing"))?;
        let ours = reservation.boot == self.limiter.boot().to_bits();
        Ok(ours.then(|| (tenant, Token::from_bits(reservation.token))))
    }
}

impl Unary for Limits {
    const MAX_MESSAGE_BYTES: usize = limits::MAX_LIMIT_BYTES;

    fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    async fn dispatch(
        &self,
        told: &Call<'_>,
        asked: Asked,
        making: Making<'_>,
    ) -> Result<(Bytes, Vec<Lease>), Status> {
        match told.method() {
            Method::Acquire => making.made(self.acquire(told, asked.decoded(told)?).await?),
            Method::Peek => making.made(self.peek(asked.decoded(told)?.get_ref())?),
            Method::Commit => making.made(self.commit(asked.decoded(told)?.get_ref())?),
            Method::Release => making.made(self.release(asked.decoded(told)?.get_ref())?),
            _ => Err(status::no_such_method()),
        }
    }
}
