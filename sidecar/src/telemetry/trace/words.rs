//! What spans say. Tenants and caches by name; keys, values and tags never.

use millpond_core::cache::{CacheName, TenantId};
use millpond_proto::envoy::service::ratelimit::v3::rate_limit_response::Code as Allowed;
use millpond_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use millpond_proto::v1;
use opentelemetry::KeyValue;
use tonic::Code;

use crate::telemetry::calls::{Method, Service};

/// The name of the span for what a call waited for.
pub(super) fn waited_for(method: Method) -> &'static str {
    match method.service() {
        Service::Cache => "wait for another's load",
        Service::Limit | Service::Envoy => "wait for its turn",
    }
}

/// The attributes of a call that are known when it begins. A name that is not of
/// its form is left out: it can be of any length.
pub(super) fn of_request(method: Method, request: &impl Named) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(8);
    attributes.extend([
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.service", method.service().name()),
        KeyValue::new("rpc.method", method.name()),
    ]);
    if let Ok(tenant) = TenantId::parse(request.tenant()) {
        attributes.push(KeyValue::new("millpond.tenant", tenant.as_str().to_owned()));
    }
    if let Ok(cache) = CacheName::parse(request.cache()) {
        attributes.push(KeyValue::new("millpond.cache", cache.as_str().to_owned()));
    }
    attributes
}

/// Whether a status is ours to answer for rather than the caller's.
pub(super) fn is_servers_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// A request that names a tenant and a cache.
pub(crate) trait Named {
    /// Empty for none.
    fn tenant(&self) -> &str;
    /// Empty for none.
    fn cache(&self) -> &str;
}

impl Named for v1::HelloRequest {
    fn tenant(&self) -> &str {
        ""
    }

    fn cache(&self) -> &str {
        ""
    }
}

macro_rules! named {
    ($($request:ty),* $(,)?) => {$(
        impl Named for $request {
            fn tenant(&self) -> &str {
                &self.tenant
            }

            fn cache(&self) -> &str {
                &self.cache
            }
        }
    )*};
}

named!(
    v1::GetRequest,
    v1::GetManyRequest,
    v1::FillRequest,
    v1::RenewRequest,
    v1::SetRequest,
    v1::InvalidateRequest,
);

macro_rules! of_a_tenant {
    ($($request:ty),* $(,)?) => {$(
        impl Named for $request {
            fn tenant(&self) -> &str {
                &self.tenant
            }

            fn cache(&self) -> &str {
                ""
            }
        }
    )*};
}

of_a_tenant!(
    v1::AcquireRequest,
    v1::PeekRequest,
    v1::CommitRequest,
    v1::ReleaseRequest,
);

/// Each of its descriptors may be another tenant's.
impl Named for RateLimitRequest {
    fn tenant(&self) -> &str {
        ""
    }

    fn cache(&self) -> &str {
        ""
    }
}

/// A reply that can be said in a word.
pub(crate) trait Told {
    /// The word, of a few.
    fn told(&self) -> &'static str;
}

/// The word for several: theirs if it is the same for all.
fn together<'a, T: Told + 'a>(all: impl IntoIterator<Item = &'a T>) -> &'static str {
    let mut words = all.into_iter().map(Told::told);
    let Some(first) = words.next() else {
        return "none";
    };
    if words.all(|word| word == first) {
        first
    } else {
        "mixed"
    }
}

impl Told for RateLimitResponse {
    fn told(&self) -> &'static str {
        match self.overall_code() {
            Allowed::Ok => "allowed",
            _ => "over_limit",
        }
    }
}

impl Told for v1::HelloReply {
    fn told(&self) -> &'static str {
        "ok"
    }
}

impl Told for v1::GetReply {
    fn told(&self) -> &'static str {
        if self.found.is_some() {
            return match self.source() {
                _ if self.stale => "stale",
                v1::Source::Loaded => "loaded",
                _ => "hit",
            };
        }
        if self.lease.is_some() {
            return "lease";
        }
        match self.reason() {
            v1::Reason::NotHeld => "not_held",
            v1::Reason::Bypass => "bypass",
            v1::Reason::Loading => "loading",
            v1::Reason::WaitExpired => "wait_expired",
            v1::Reason::LoadFailed => "load_failed",
            v1::Reason::Shed => "shed",
            _ => "refused",
        }
    }
}

impl Told for v1::GetManyReply {
    fn told(&self) -> &'static str {
        together(&self.entries)
    }
}

impl Told for v1::FillOutcome {
    fn told(&self) -> &'static str {
        match self.outcome() {
            v1::fill_outcome::Outcome::Stored => "stored",
            v1::fill_outcome::Outcome::Superseded => "superseded",
            v1::fill_outcome::Outcome::NeedValue => "need_value",
            v1::fill_outcome::Outcome::Unspecified => "noted",
        }
    }
}

impl Told for v1::FillReply {
    fn told(&self) -> &'static str {
        together(&self.outcomes)
    }
}

impl Told for v1::RenewReply {
    fn told(&self) -> &'static str {
        if self.lease.is_some() {
            "renewed"
        } else {
            "superseded"
        }
    }
}

impl Told for v1::SetReply {
    fn told(&self) -> &'static str {
        if self.stored {
            "stored"
        } else {
            "other_version"
        }
    }
}

impl Told for v1::InvalidateReply {
    fn told(&self) -> &'static str {
        "invalidated"
    }
}

impl Told for v1::AcquireReply {
    fn told(&self) -> &'static str {
        match self.reason() {
            v1::LimitReason::Ok if self.would_deny => "would_deny",
            v1::LimitReason::Ok => "allowed",
            v1::LimitReason::OverLimit => "over_limit",
            v1::LimitReason::Never => "never",
            v1::LimitReason::Suspended => "suspended",
            _ => "unavailable",
        }
    }
}

fn settled(settlement: v1::Settlement) -> &'static str {
    match settlement {
        v1::Settlement::Done => "settled",
        v1::Settlement::Late => "late",
        v1::Settlement::Repeated => "repeated",
        _ => "void",
    }
}

impl Told for v1::CommitReply {
    fn told(&self) -> &'static str {
        settled(self.settlement())
    }
}

impl Told for v1::ReleaseReply {
    fn told(&self) -> &'static str {
        settled(self.settlement())
    }
}
