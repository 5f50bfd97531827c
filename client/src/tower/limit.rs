//! Requests over a limit are refused.
//!
//! | the limit says | status | `Retry-After` |
//! |---|---|---|
//! | it may go on | the service's own | |
//! | over the limit | 429 | when it would be allowed |
//! | costs more than the limit ever holds | 429 | none |
//! | the tenant is not served, or not known | 403 | none |
//! | the tenant's name or the key is none | 400 | none |
//! | it cannot be decided now | 503 | when to try again, if that is known |
//!
//! Every response of a request that a limit decided says how the limit stands, in
//! `RateLimit-Policy` and `RateLimit`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

use super::fields;
use crate::{Decision, Error, GrantedLimit, Limit, LimitReason};

/// What decides: a limit, or one decided from tokens in this process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Limiting {
    /// Each request asks.
    Asked(Limit),
    /// Requests spend what was granted ahead.
    Granted(GrantedLimit),
}

impl From<Limit> for Limiting {
    fn from(limit: Limit) -> Self {
        Self::Asked(limit)
    }
}

impl From<GrantedLimit> for Limiting {
    fn from(limit: GrantedLimit) -> Self {
        Self::Granted(limit)
    }
}

impl Limiting {
    async fn decide(self, charge: Charge) -> Result<Decision, Error> {
        let Charge { tenant, key, cost } = charge;
        match self {
            Self::Asked(mut limit) => {
                if let Some(key) = key {
                    limit = limit.key(key);
                }
                if let Some(cost) = cost {
                    limit = limit.cost(cost);
                }
                limit.acquire(&tenant).await
            }
            Self::Granted(mut limit) => {
                if let Some(key) = key {
                    limit = limit.key(key);
                }
                if let Some(cost) = cost {
                    limit = limit.cost(cost);
                }
                limit.acquire(&tenant).await
            }
        }
    }
}

/// What a request is charged.
struct Charge {
    tenant: String,
    key: Option<Bytes>,
    cost: Option<u64>,
}

type Extract<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;

/// How a request's charge is found in it.
#[derive(Clone)]
struct Extractors {
    tenant: Extract<Option<String>>,
    key: Option<Extract<Option<Bytes>>>,
    cost: Option<Extract<u64>>,
}

impl Extractors {
    fn charge(&self, request: &Parts) -> Option<Charge> {
        Some(Charge {
            tenant: (self.tenant)(request)?,
            key: self.key.as_ref().and_then(|key| key(request)),
            cost: self.cost.as_ref().map(|cost| cost(request)),
        })
    }
}

/// Refuses requests over a limit, with whatever body the service's responses have.
///
/// ```
/// use millpond_client::tower::LimitLayer;
/// # fn layer(pond: &millpond_client::Millpond) -> Result<LimitLayer, millpond_client::Error> {
/// let layer = LimitLayer::new(pond.limit("api")?, |request| {
///     let tenant = request.headers.get("x-tenant")?.to_str().ok()?;
///     Some(tenant.to_owned())
/// })
/// .cost(|request| if request.uri.path() == "/report" { 10 } else { 1 });
/// # Ok(layer)
/// # }
/// ```
#[derive(Clone)]
pub struct LimitLayer {
    limit: Limiting,
    extract: Extractors,
}

impl LimitLayer {
    /// Charges each request to the tenant that `tenant` finds in it. A request in which
    /// it finds none goes on unlimited and nothing is said of a limit: name a tenant
    /// for strangers where there are any.
    #[must_use]
    pub fn new(
        limit: impl Into<Limiting>,
        tenant: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            limit: limit.into(),
            extract: Extractors {
                tenant: Arc::new(tenant),
                key: None,
                cost: None,
            },
        }
    }

    /// Whose tokens within the limit, instead of the limit's own
    /// [`key`](Limit::key); none leaves that.
    #[must_use]
    pub fn key(mut self, key: impl Fn(&Parts) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        self.extract.key = Some(Arc::new(key));
        self
    }

    /// What a request costs, instead of the limit's own [`cost`](Limit::cost).
    #[must_use]
    pub fn cost(mut self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.extract.cost = Some(Arc::new(cost));
        self
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`LimitLayer`].
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    layer: LimitLayer,
}

impl<S, B, R> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is called; its clone need not be.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (parts, body) = request.into_parts();
        let charge = self.layer.extract.charge(&parts);
        let request = Request::from_parts(parts, body);
        let Some(charge) = charge else {
            return Box::pin(inner.call(request));
        };
        let limit = self.layer.limit.clone();
        Box::pin(async move {
            let decision = match limit.decide(charge).await {
                Ok(decision) => decision,
                Err(error) => return Ok(failed(&error)),
            };
            let mut response = if decision.allowed {
                inner.call(request).await?
            } else {
                refused(&decision)
            };
            fields::say(&decision, response.headers_mut());
            Ok(response)
        })
    }
}

fn refused<R: Default>(decision: &Decision) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = match decision.reason {
        LimitReason::Suspended => StatusCode::FORBIDDEN,
        LimitReason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        LimitReason::Ok | LimitReason::OverLimit | LimitReason::Never => {
            StatusCode::TOO_MANY_REQUESTS
        }
    };
    fields::say_when(decision.retry_after, response.headers_mut());
    response
}

fn failed<R: Default>(error: &Error) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = match error {
        Error::BadField(_) => StatusCode::BAD_REQUEST,
        Error::Rejected { .. } | Error::Denied { .. } => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let retry_after = error.retry_after().unwrap_or_default();
    fields::say_when(retry_after, response.headers_mut());
    response
}
