//! `envoy.service.ratelimit.v3.RateLimitService` on core's limiter.
//!
//! Each descriptor is matched against the rules of its domain and screened together
//! with the others, all or none. Whatever is known to be too much, or is nobody's to
//! allow, is OVER_LIMIT: to a proxy an error is its own failure mode, which by default
//! lets everybody through. So only what is malformed is refused with a status.
//!
//! | file | what it owns |
//! |---|---|
//! | `asked` | descriptors, made into core's asks |
//! | `answered` | core's answers as the wire and the headers say them |

use std::sync::Arc;

use bytes::Bytes;
use millpond_core::cache::Lease;
use millpond_core::limit::rules::{Domain, Rules};
use millpond_core::limit::{Limiter, Verdict};
use millpond_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use parking_lot::RwLock;
use tonic::Status;

use self::asked::Matches;
use super::call::{Asked, Desk, Making, Reply, Unary};
use super::{limits, status};
use crate::telemetry::calls::{Call, Method};

mod answered;
mod asked;

/// The rules that are in force.
#[derive(Debug)]
pub(crate) struct Descriptors(RwLock<Arc<Rules>>);

impl Descriptors {
    /// # Errors
    /// What is wrong with them, a line each.
    pub(crate) fn new(domains: &[Domain]) -> Result<Self, Vec<String>> {
        let Prepared(rules) = Self::prepared(domains)?;
        Ok(Self(RwLock::new(rules)))
    }

    /// Rules that can be put in force.
    ///
    /// # Errors
    /// What is wrong with them, a line each.
    pub(crate) fn prepared(domains: &[Domain]) -> Result<Prepared, Vec<String>> {
        let rules = Rules::new(domains);
        let rules =
            rules.map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>());
        rules.map(|rules| Prepared(Arc::new(rules)))
    }

    /// Puts others in force. What is spent of a rule that stays where it is stays
    /// spent.
    pub(crate) fn replace(&self, Prepared(rules): Prepared) {
        *self.0.write() = rules;
    }

    fn now(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read())
    }
}

/// Rules that nobody goes by yet.
#[derive(Debug)]
pub(crate) struct Prepared(Arc<Rules>);

/// The service as one worker serves it.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits {
    limiter: Arc<Limiter>,
    descriptors: Arc<Descriptors>,
    desk: Arc<Desk>,
}

impl RateLimits {
    pub(crate) fn new(
        limiter: Arc<Limiter>,
        descriptors: Arc<Descriptors>,
        desk: Arc<Desk>,
    ) -> Self {
        Self {
            limiter,
            descriptors,
            desk,
        }
    }

    fn should_rate_limit(
        &self,
        request: &RateLimitRequest,
    ) -> Result<Reply<RateLimitResponse>, Status> {
        let rules = self.descriptors.now();
        let matches = Matches::of(request, &rules)?;
        let screened = self.limiter.screen(&matches.asks());
        let screened = screened.map_err(|error| asked::too_many(error.0))?;
        for answer in &screened.answers {
            let verdict = answer.verdict.clone().unwrap_or(Verdict::Unavailable);
            let decisions = self.desk.calls.decisions();
            decisions.count_verdict(verdict, answer.would_deny);
        }
        Ok(Reply::done(answered::response(&matches, &screened)))
    }
}

impl Unary for RateLimits {
    const MAX_MESSAGE_BYTES: usize = limits::MAX_SCREEN_BYTES;

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
            Method::ShouldRateLimit => {
                let request = asked.decoded(told)?;
                making.made(self.should_rate_limit(request.get_ref())?)
            }
            _ => Err(status::no_such_method()),
        }
    }
}
