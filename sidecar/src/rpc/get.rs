//! `Get`: one key.

use millpond_core::cache::{LoadBy, Pond, Want};
use millpond_core::clock::Time;
use millpond_proto::v1;
use std::time::Duration;
use tonic::{Request, Status};

use super::cache::Cache;
use super::call::Reply;
use super::deadline::Patience;
use super::fields;
use super::reply;
use super::tenants::{self, Need};
use crate::telemetry::calls::Call;

pub(super) async fn get(
    cache: &Cache,
    call: &Call<'_>,
    request: Request<v1::GetRequest>,
) -> Result<Reply<v1::GetReply>, Status> {
    let pond = cache.pond();
    let patience = Patience::read(request.get_ref().wait_ms, request.metadata())?;
    let request = request.into_inner();
    let load = fields::load(request.load)?;
    fields::key(&request.key)?;
    fields::min_version(pond, "min_version", &request.min_version)?;
    let access = cache.tenants.permit(&request.tenant, Need::Read)?;
    let scope = cache.scope(&request.tenant, &request.cache)?;
    let (asked, load) = (load, tenants::load(load, access));

    cache.sampler.read(&scope, &request.key);
    let want = Want {
        load,
        deadline: deadline(pond, load, patience.or(scope.policy().lease)),
        fresh_only: request.fresh_only,
        lease: request.lease_ms.map(fields::milliseconds),
    };
    let timer = call.waiting(&cache.timer);
    let answer = cache.levels.get(&timer, &scope, &request.key, want);
    let answer = cache.while_allowed(&request.tenant, answer).await?;
    let answer = cache.tenants.obeyed(&request.tenant, asked, answer)?;
    call.answered(&scope, &request.key, &answer);
    let mut leases = Vec::new();
    let message = reply::reply(pond, answer, &mut leases);
    Ok(Reply::read(message, leases))
}

/// Whoever does not load does not wait either.
pub(super) fn deadline(pond: &Pond, load: LoadBy, patience: Duration) -> Time {
    match load {
        LoadBy::Nobody => Time::ZERO,
        LoadBy::Caller => pond.clock().precise().after(patience),
    }
}
