//! `millpond.v1.AdminService`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::lookup::Durability;
use millpond_core::cache::{CacheName, Invalidation, Mode, Policy, TenantId, check_key};
use millpond_core::limit::CallError;
use millpond_proto::v1;
use millpond_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::Admin;
use super::changes::Act;
use super::switches::{Unswitched, Word};
use super::{explain, stats};

/// Bytes of a message; the longest that is asked for is a key with its names.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 10;
/// Bytes of an operator's reason.
pub(super) const MAX_WHY: usize = 256;
/// The longest a mode may last before it ends by itself.
const MAX_LASTS: Duration = Policy::MAX_TIME;
/// Keys told where no number is asked for.
const KEYS: u32 = 20;
/// Keys told at most.
const MAX_KEYS: u32 = 100;

/// Where a request came from, put beside it by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

pub(super) fn peer<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0)
}

pub(super) type Reply<T> = Result<Response<T>, Status>;

pub(super) fn bad(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn tenant(name: &str) -> Result<TenantId, Status> {
    TenantId::parse(name).map_err(bad)
}

fn cache(name: &str) -> Result<CacheName, Status> {
    CacheName::parse(name).map_err(bad)
}

/// It is written to logs, which others read line by line.
fn why(why: String) -> Result<String, Status> {
    line("why", why, MAX_WHY)
}

/// A line of at most `most` bytes.
pub(super) fn line(field: &str, text: String, most: usize) -> Result<String, Status> {
    let size = text.len();
    if size > most {
        return Err(bad(format_args!("{field}: {size} bytes, limit {most}")));
    }
    match text.find(char::is_control) {
        Some(at) => Err(bad(format_args!(
            "{field}: byte {at} is a control character"
        ))),
        None => Ok(text),
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn stats(&self, _: Request<v1::StatsRequest>) -> Reply<v1::StatsReply> {
        Ok(Response::new(Admin::stats(self)))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Reply<v1::ExplainReply> {
        let request = request.into_inner();
        if let Some(asked) = &request.limit {
            let limiter = &self.0.observed.limiter;
            let told = explain::limit::explain(limiter, &request.tenant, asked);
            return told.map(Response::new).map_err(|wrong| match wrong {
                CallError::UnknownLimit { .. } | CallError::UnknownTenant { .. } => {
                    Status::not_found(wrong.to_string())
                }
                _ => bad(wrong),
            });
        }
        let (tenant, cache) = (tenant(&request.tenant)?, cache(&request.cache)?);
        check_key(&request.key).map_err(bad)?;
        let pond = self.pond();
        let reply = match pond.scope_in_use(&tenant, &cache) {
            Some(scope) => explain::explain(pond, &scope, &request.key),
            None => explain::unused(),
        };
        let in_force = pond.cache(&cache);
        Ok(Response::new(v1::ExplainReply {
            cache: in_force.map(|held| self.cache_in_force(&held)),
            ..reply
        }))
    }

    async fn hot_keys(&self, request: Request<v1::HotKeysRequest>) -> Reply<v1::HotKeysReply> {
        let limit = match request.into_inner().limit {
            0 => KEYS,
            limit if limit > MAX_KEYS => {
                return Err(bad(format_args!("limit: {limit}, limit {MAX_KEYS}")));
            }
            limit => limit,
        };
        Ok(Response::new(v1::HotKeysReply {
            scope: v1::Scope::Pod.into(),
            keys: self.0.hot.top(usize::try_from(limit).unwrap_or(0)),
        }))
    }

    async fn set_mode(&self, request: Request<v1::SetModeRequest>) -> Reply<v1::SetModeReply> {
        let peer = peer(&request);
        let request = request.into_inner();
        let mode = match v1::Mode::try_from(request.mode) {
            Ok(v1::Mode::Unspecified) => None,
            Ok(v1::Mode::On) => Some(Mode::On),
            Ok(v1::Mode::Observe) => Some(Mode::Observe),
            Ok(v1::Mode::Bypass) => Some(Mode::Bypass),
            Err(_) => {
                let mode = request.mode;
                return Err(bad(format_args!(
                    "mode: {mode} is none of 0 (as configured), 1 (ON), 2 (OBSERVE), 3 (BYPASS)"
                )));
            }
        };
        let lasts = Duration::from_millis(request.for_ms);
        if lasts > MAX_LASTS {
            let limit = MAX_LASTS.as_millis();
            return Err(bad(format_args!(
                "for_ms: {}, limit {limit}",
                request.for_ms
            )));
        }
        if mode.is_none() && !lasts.is_zero() {
            return Err(bad("for_ms: going back to the configured mode has no end"));
        }
        let word = Word {
            cache: cache(&request.cache)?,
            mode,
            lasts: (!lasts.is_zero()).then_some(lasts),
            why: why(request.why)?,
            peer,
        };
        let switched = self.0.switches.obey(word).map_err(|error| match error {
            Unswitched::TooManyCaches(error) => Status::resource_exhausted(error.to_string()),
            Unswitched::TooManyTimed => {
                Status::resource_exhausted("for_ms: too many modes are about to end by themselves")
            }
        })?;
        Ok(Response::new(v1::SetModeReply {
            scope: v1::Scope::Pod.into(),
            before: stats::mode(switched.before).into(),
            after: stats::mode(switched.after).into(),
        }))
    }

    async fn invalidate_tenant(
        &self,
        request: Request<v1::InvalidateTenantRequest>,
    ) -> Reply<v1::InvalidateTenantReply> {
        let peer = peer(&request);
        let request = request.into_inner();
        let (tenant, why) = (tenant(&request.tenant)?, why(request.why)?);
        let (version, durability) = self
            .0
            .levels
            .invalidate_tenant(&tenant, Invalidation::default())
            .await;
        self.0.changes.audit(&Act {
            kind: "tenant",
            of: tenant.as_str(),
            before: &"held",
            after: &"invalidated",
            actor: "",
            why: &why,
            peer,
        });
        let durability = match durability {
            Durability::Local => v1::Durability::Local,
            Durability::Stored => v1::Durability::Stored,
        };
        Ok(Response::new(v1::InvalidateTenantReply {
            scope: v1::Scope::Pod.into(),
            version: Bytes::copy_from_slice(&self.pond().position(version).encode()),
            durability: durability.into(),
        }))
    }

    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Reply<v1::ListTenantsReply> {
        self.tenants_listed(&request.into_inner())
    }

    async fn put_tenant(
        &self,
        request: Request<v1::PutTenantRequest>,
    ) -> Reply<v1::PutTenantReply> {
        let peer = peer(&request);
        self.tenant_put(request.into_inner(), peer).await
    }

    async fn set_tenant_state(
        &self,
        request: Request<v1::SetTenantStateRequest>,
    ) -> Reply<v1::SetTenantStateReply> {
        let peer = peer(&request);
        self.tenant_state_set(request.into_inner(), peer)
    }

    async fn purge_tenant(
        &self,
        request: Request<v1::PurgeTenantRequest>,
    ) -> Reply<v1::PurgeTenantReply> {
        let peer = peer(&request);
        self.tenant_purged(request.into_inner(), peer).await
    }

    async fn reload_config(
        &self,
        request: Request<v1::ReloadConfigRequest>,
    ) -> Reply<v1::ReloadConfigReply> {
        let peer = peer(&request);
        let before = self.0.reloader.state();
        if before.file.is_none() {
            return Err(Status::failed_precondition(
                "started without a configuration file",
            ));
        }
        let reloader = self.0.reloader.clone();
        // It reads a file, and this thread answers probes.
        let reloaded = tokio::task::spawn_blocking(move || reloader.reload()).await;
        let reloaded = reloaded.map_err(|_| Status::internal("reading the file panicked"))?;
        let after = self.0.reloader.state();
        let (in_force, errors, after_restart) = match reloaded {
            Ok(applied) => (true, Vec::new(), applied.after_restart),
            Err(errors) => (false, errors, Vec::new()),
        };
        self.0.changes.audit(&Act {
            kind: "config",
            of: "file",
            before: &before.hash,
            after: &after.hash,
            actor: "",
            why: if in_force {
                "asked for"
            } else {
                "asked for, and refused"
            },
            peer,
        });
        Ok(Response::new(v1::ReloadConfigReply {
            scope: v1::Scope::Pod.into(),
            in_force,
            errors,
            after_restart,
        }))
    }
}
