//! Who the tenants are, as operators see and change it, and the receipt of a purge.
//!
//! Every change is in the audit log: who, what, why, before, after. What a change
//! does to the memory of others is settled before it is put: a reserve that cannot be
//! kept refuses it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use millpond_core::cache::{Purged, TenantId};
use millpond_core::limit::Quota;
use millpond_core::tenant::{Class, Declaration, Entry, Refused, Source, State, TierName};
use millpond_proto::v1;
use tonic::{Response, Status};

use super::Admin;
use super::changes::Act;
use super::service::{MAX_WHY, Reply, bad, line, tenant};
use super::stats::milliseconds;
use crate::config;

/// Bytes of the name that an operator goes by.
const MAX_ACTOR: usize = 128;
/// Tenants of a page where no number is asked for.
const PAGE: u32 = 100;
/// Tenants of a page at most.
const MAX_PAGE: u32 = 1_000;

impl Admin {
    pub(super) fn tenants_listed(
        &self,
        request: &v1::ListTenantsRequest,
    ) -> Reply<v1::ListTenantsReply> {
        if !request.tenant.is_empty() {
            let id = tenant(&request.tenant)?;
            let known = self.0.directory.known(id.as_str());
            return Ok(Response::new(v1::ListTenantsReply {
                scope: v1::Scope::Pod.into(),
                tenants: known.iter().map(|entry| told(entry)).collect(),
                next: String::new(),
                total: self.0.directory.len() as u64,
            }));
        }
        let limit = match request.limit {
            0 => PAGE,
            limit if limit > MAX_PAGE => {
                return Err(bad(format_args!("limit: {limit}, limit {MAX_PAGE}")));
            }
            limit => limit,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = Some(request.after.as_str()).filter(|after| !after.is_empty());
        let mut entries = self.0.directory.list(after, limit + 1);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| more);
        Ok(Response::new(v1::ListTenantsReply {
            scope: v1::Scope::Pod.into(),
            next: last.map_or_else(String::new, |entry| entry.id().to_string()),
            tenants: entries.iter().map(|entry| told(entry)).collect(),
            total: self.0.directory.len() as u64,
        }))
    }

    pub(super) async fn tenant_put(
        &self,
        request: v1::PutTenantRequest,
        peer: Option<SocketAddr>,
    ) -> Reply<v1::PutTenantReply> {
        let id = tenant(&request.tenant)?;
        let tier = TierName::parse(&request.tier).map_err(bad)?;
        let overrides = config::settings_of(&request.settings).map_err(bad)?;
        let state = match request.state {
            0 => None,
            state => Some(state_of(state)?),
        };
        let told_why = Told::read(request.actor, request.why)?;
        let declaration = Declaration {
            tier,
            overrides,
            state,
        };
        let put = self.0.tenancy.put(id.clone(), declaration).await;
        let put = put.map_err(refused)?;
        let (before, after) = (describe(put.before.as_deref()), describe(Some(&put.after)));
        self.audit("put", &id, &before, &after, &told_why, peer);
        Ok(Response::new(v1::PutTenantReply {
            scope: v1::Scope::Pod.into(),
            before: put.before.as_deref().map(told),
            after: Some(told(&put.after)),
        }))
    }

    pub(super) fn tenant_state_set(
        &self,
        request: v1::SetTenantStateRequest,
        peer: Option<SocketAddr>,
    ) -> Reply<v1::SetTenantStateReply> {
        let id = tenant(&request.tenant)?;
        let state = state_of(request.state)?;
        let told_why = Told::read(request.actor, request.why)?;
        let set = self.0.directory.set_state(&id, state);
        let set = set.map_err(|error| refused(error.into()))?;
        let was = set
            .before
            .as_ref()
            .map_or("unknown", |entry| entry.state().as_str());
        self.audit("state", &id, &was, &state, &told_why, peer);
        Ok(Response::new(v1::SetTenantStateReply {
            scope: v1::Scope::Pod.into(),
            before: set.before.as_deref().map(told),
            after: Some(told(&set.after)),
        }))
    }

    pub(super) async fn tenant_purged(
        &self,
        request: v1::PurgeTenantRequest,
        peer: Option<SocketAddr>,
    ) -> Reply<v1::PurgeTenantReply> {
        let id = tenant(&request.tenant)?;
        let told_why = Told::read(request.actor, request.why)?;
        let known = self.0.directory.known(id.as_str());
        let served = known.as_ref().filter(|entry| entry.access().write);
        if let Some(entry) = served.filter(|_| !request.force) {
            return Err(Status::failed_precondition(format!(
                "tenant: is {}: suspend or offboard it first, or say force",
                entry.state()
            )));
        }
        let clock = self.pond().clock().clone();
        let (began_wall, began) = (clock.wall_micros(), clock.precise());
        // Its calls are refused from here on.
        let put = self.0.directory.purge(&id);
        let put = put.map_err(|error| refused(error.into()))?;
        self.0.observed.limiter.forget(&id);
        let was = put.before.as_ref();
        let (pond, of) = (Arc::clone(self.pond()), id.clone());
        // It visits everything that is held, and this thread answers probes.
        let erased = tokio::task::spawn_blocking(move || pond.purge_tenant(&of)).await;
        let Purged {
            entries,
            bytes,
            left,
            ..
        } = erased.map_err(|_| Status::internal("purging panicked"))?;
        self.0.tenancy.shares_changed().await;
        let (mut verified_empty, mut not_verified) = (Vec::new(), Vec::new());
        let l1 = if left == 0 {
            &mut verified_empty
        } else {
            &mut not_verified
        };
        l1.push("l1".to_owned());
        // What is spent was kept with the life that ended, and nothing took it over.
        let is_new_life = was.is_none_or(|was| was.incarnation() < put.after.incarnation());
        let again = was.is_some_and(|was| was.state() == State::Purged);
        let buckets = if is_new_life || again {
            &mut verified_empty
        } else {
            &mut not_verified
        };
        buckets.push("buckets".to_owned());
        let described = describe(was.map(|entry| &**entry));
        let after = format!("purged: {entries} entries, {bytes} bytes, {left} bytes left");
        self.audit("purge", &id, &described, &after, &told_why, peer);
        let receipt = v1::PurgeReceipt {
            tenant: id.to_string(),
            incarnation: was.map_or(0, |was| was.incarnation()),
            began_unix_ms: began_wall / 1_000,
            took_ms: milliseconds(clock.precise().since(began)),
            entries,
            bytes,
            verified_empty,
            not_verified,
            confirmed_by: vec![format!("{:016x}", self.pond().boot().to_bits())],
        };
        Ok(Response::new(v1::PurgeTenantReply {
            scope: v1::Scope::Pod.into(),
            receipt: Some(receipt),
        }))
    }

    fn audit(
        &self,
        what: &str,
        id: &TenantId,
        before: &dyn fmt::Display,
        after: &dyn fmt::Display,
        Told { actor, why }: &Told,
        peer: Option<SocketAddr>,
    ) {
        self.0.changes.audit(&Act {
            kind: "tenant",
            of: &format!("{what} {id}"),
            before,
            after,
            actor,
            why,
            peer,
        });
    }
}

/// Who asks, and what for.
struct Told {
    actor: String,
    why: String,
}

impl Told {
    fn read(actor: String, why: String) -> Result<Self, Status> {
        Ok(Self {
            actor: line("actor", actor, MAX_ACTOR)?,
            why: line("why", why, MAX_WHY)?,
        })
    }
}

fn refused(error: crate::tenancy::Unput) -> Status {
    match error {
        crate::tenancy::Unput::Refused(error @ Refused::Unknown { .. }) => {
            Status::not_found(error.to_string())
        }
        crate::tenancy::Unput::Refused(error @ Refused::State { .. }) => {
            Status::failed_precondition(error.to_string())
        }
        crate::tenancy::Unput::Refused(error) => bad(error),
        crate::tenancy::Unput::Shares(error) => Status::failed_precondition(error.to_string()),
        crate::tenancy::Unput::Panicked => Status::internal("putting the tenant panicked"),
    }
}

fn state_of(state: i32) -> Result<State, Status> {
    let known = v1::TenantState::try_from(state).ok();
    STATES
        .into_iter()
        .find(|(wire, _)| Some(*wire) == known)
        .map(|(_, state)| state)
        .ok_or_else(|| {
            bad(format_args!(
                "state: {state} is none of 1 (ACTIVE), 2 (TRIAL), 3 (SUSPENDED), 4 (MAINTENANCE), 5 (PENDING_OFFBOARD), 6 (OFFBOARDED)"
            ))
        })
}

const STATES: [(v1::TenantState, State); 7] = [
    (v1::TenantState::Active, State::Active),
    (v1::TenantState::Trial, State::Trial),
    (v1::TenantState::Suspended, State::Suspended),
    (v1::TenantState::Maintenance, State::Maintenance),
    (v1::TenantState::PendingOffboard, State::PendingOffboard),
    (v1::TenantState::Offboarded, State::Offboarded),
    (v1::TenantState::Purged, State::Purged),
];

fn told(entry: &Entry) -> v1::Tenant {
    let profile = entry.profile();
    let state = STATES.iter().find(|(_, state)| *state == entry.state());
    let quota = |quota: Quota| v1::Quota {
        amount: quota.amount(),
        period_ms: milliseconds(quota.period()),
        burst: quota.burst(),
    };
    let limits = profile.limits.iter().map(|limit| limit.name.to_string());
    v1::Tenant {
        name: entry.id().to_string(),
        tier: profile.tier.to_string(),
        state: state.map_or(0, |(wire, _)| (*wire).into()),
        source: source(entry.source()).to_owned(),
        incarnation: entry.incarnation(),
        request: profile.request.map(quota),
        origin: profile.origin.map(quota),
        cache_cap: profile.cache_cap,
        cache_reserve: profile.cache_reserve,
        class: class(profile.class).to_owned(),
        weight: profile.weight,
        limits: limits.collect(),
        settings: config::settings_as_written(&profile.overrides),
    }
}

/// A tenant in the words of the audit log.
fn describe(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return "unknown".to_owned();
    };
    let mut settings: Vec<_> = config::settings_as_written(&entry.profile().overrides)
        .into_iter()
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    settings.sort();
    let (tier, state) = (&entry.profile().tier, entry.state());
    format!("{tier} {state}{}", settings.concat())
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Configured => "configuration",
        Source::Operator => "operator",
        _ => "unknown",
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::BestEffort => "best_effort",
        Class::Standard => "standard",
        Class::Critical => "critical",
    }
}
