//! Every method's request, its reply, and what of the reply a sidecar makes up by itself.

use std::fmt::Debug;

use bytes::Bytes;
use millpond_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use millpond_proto::v1;
use prost::Message;

/// The one method that is a stream.
pub(crate) const GRANT: &str = "/millpond.v1.LimitService/Grant";

/// A request that has one reply.
pub(crate) trait Rpc: Message + Clone + Debug + 'static {
    const PATH: &'static str;
    /// Whether operators ask it, on their port.
    const ADMIN: bool;
    type Reply: Message + Default + Clone + PartialEq + Debug + Mask + 'static;
}

/// Puts the same in place of boots, tokens, versions, and what a process counts over all tenants.
pub(crate) trait Mask {
    fn mask(&mut self) {}
}

macro_rules! methods {
    ($($service:literal $name:literal: $request:ty => $reply:ty, operators: $admin:literal;)*) => {
        $(impl Rpc for $request {
            const PATH: &'static str = concat!("/", $service, "/", $name);
            const ADMIN: bool = $admin;
            type Reply = $reply;
        })*
    };
}

methods! {
    "millpond.v1.CacheService" "Hello": v1::HelloRequest => v1::HelloReply, operators: false;
    "millpond.v1.CacheService" "Get": v1::GetRequest => v1::GetReply, operators: false;
    "millpond.v1.CacheService" "GetMany": v1::GetManyRequest => v1::GetManyReply, operators: false;
    "millpond.v1.CacheService" "Fill": v1::FillRequest => v1::FillReply, operators: false;
    "millpond.v1.CacheService" "Renew": v1::RenewRequest => v1::RenewReply, operators: false;
    "millpond.v1.CacheService" "Set": v1::SetRequest => v1::SetReply, operators: false;
    "millpond.v1.CacheService" "Invalidate": v1::InvalidateRequest => v1::InvalidateReply, operators: false;
    "millpond.v1.LimitService" "Acquire": v1::AcquireRequest => v1::AcquireReply, operators: false;
    "millpond.v1.LimitService" "Peek": v1::PeekRequest => v1::AcquireReply, operators: false;
    "millpond.v1.LimitService" "Commit": v1::CommitRequest => v1::CommitReply, operators: false;
    "millpond.v1.LimitService" "Release": v1::ReleaseRequest => v1::ReleaseReply, operators: false;
    "envoy.service.ratelimit.v3.RateLimitService" "ShouldRateLimit":
        RateLimitRequest => RateLimitResponse, operators: false;
    "millpond.v1.AdminService" "Stats": v1::StatsRequest => v1::StatsReply, operators: true;
    "millpond.v1.AdminService" "Explain": v1::ExplainRequest => v1::ExplainReply, operators: true;
    "millpond.v1.AdminService" "HotKeys": v1::HotKeysRequest => v1::HotKeysReply, operators: true;
    "millpond.v1.AdminService" "SetMode": v1::SetModeRequest => v1::SetModeReply, operators: true;
    "millpond.v1.AdminService" "InvalidateTenant":
        v1::InvalidateTenantRequest => v1::InvalidateTenantReply, operators: true;
    "millpond.v1.AdminService" "ListTenants":
        v1::ListTenantsRequest => v1::ListTenantsReply, operators: true;
    "millpond.v1.AdminService" "PutTenant": v1::PutTenantRequest => v1::PutTenantReply, operators: true;
    "millpond.v1.AdminService" "SetTenantState":
        v1::SetTenantStateRequest => v1::SetTenantStateReply, operators: true;
    "millpond.v1.AdminService" "PurgeTenant": v1::PurgeTenantRequest => v1::PurgeTenantReply, operators: true;
    "millpond.v1.AdminService" "ReloadConfig": v1::ReloadConfigRequest => v1::ReloadConfigReply, operators: true;
}

/// A version is there or not; which one it is orders what all tenants do.
fn version(bytes: &mut Bytes) {
    if !bytes.is_empty() {
        *bytes = Bytes::from_static(b"a version");
    }
}

fn lease(lease: &mut Option<v1::Lease>) {
    if let Some(lease) = lease {
        (lease.boot, lease.token) = (1, 1);
    }
}

impl Mask for v1::HelloReply {
    fn mask(&mut self) {
        self.boot = 1;
    }
}

impl Mask for v1::GetReply {
    fn mask(&mut self) {
        lease(&mut self.lease);
        version(&mut self.version);
        if let Some(position) = &mut self.as_of {
            position.boot = 1;
        }
    }
}

impl Mask for v1::GetManyReply {
    fn mask(&mut self) {
        self.entries.iter_mut().for_each(Mask::mask);
    }
}

impl Mask for v1::FillReply {
    fn mask(&mut self) {
        for outcome in &mut self.outcomes {
            version(&mut outcome.version);
        }
    }
}

impl Mask for v1::RenewReply {
    fn mask(&mut self) {
        lease(&mut self.lease);
    }
}

impl Mask for v1::SetReply {
    fn mask(&mut self) {
        version(&mut self.version);
    }
}

impl Mask for v1::InvalidateReply {
    fn mask(&mut self) {
        version(&mut self.version);
    }
}

impl Mask for v1::AcquireReply {
    fn mask(&mut self) {
        if let Some(held) = &mut self.reservation {
            (held.boot, held.token) = (1, 1);
        }
    }
}

impl Mask for v1::CommitReply {}
impl Mask for v1::ReleaseReply {}
impl Mask for RateLimitResponse {}

/// Of the process as a whole, and for its operator: nothing of it is one tenant's.
impl Mask for v1::StatsReply {
    fn mask(&mut self) {
        *self = Self::default();
    }
}

impl Mask for v1::ExplainReply {
    fn mask(&mut self) {
        if let Some(entry) = &mut self.entry {
            version(&mut entry.version);
        }
        for event in &mut self.events {
            version(&mut event.version);
        }
        // The policy and the counts of all tenants' caches of this name.
        self.cache = None;
        // Keyed by the process.
        self.key_hash = u64::from(self.key_hash != 0);
    }
}

/// A sample, drawn by chance: what is in it is looked at where it is asked.
impl Mask for v1::HotKeysReply {
    fn mask(&mut self) {
        self.keys.clear();
    }
}

impl Mask for v1::SetModeReply {}

impl Mask for v1::InvalidateTenantReply {
    fn mask(&mut self) {
        version(&mut self.version);
    }
}

impl Mask for v1::ListTenantsReply {
    fn mask(&mut self) {
        // How many the process knows is for its operator.
        self.total = 0;
    }
}

impl Mask for v1::PutTenantReply {}
impl Mask for v1::SetTenantStateReply {}

impl Mask for v1::PurgeTenantReply {
    fn mask(&mut self) {
        if let Some(receipt) = &mut self.receipt {
            (receipt.began_unix_ms, receipt.took_ms) = (1, 1);
            receipt.confirmed_by.clear();
        }
    }
}

impl Mask for v1::ReloadConfigReply {}
