//! `Fill` and `Renew`: what a leader does with its lease.

use bytes::Bytes;
use millpond_core::cache::{BadField, Body, Fill, Filled, Grant, LoadError, check_key};
use millpond_core::fence::{Boot, Token};
use millpond_proto::v1;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::fill_outcome::Outcome;
use tonic::Status;

use super::cache::Cache;
use super::call::Reply;
use super::limits::MAX_FILLS;
use super::tenants::Need;
use super::{fields, reply, status};

struct Settling {
    key: Bytes,
    grant: Grant,
    fill: Fill,
}

/// Settles each fill by itself. A value too large to keep goes to those who wait
/// for it like any other, and fails the call once all are settled.
pub(super) async fn fill(
    cache: &Cache,
    request: v1::FillRequest,
) -> Result<Reply<v1::FillReply>, Status> {
    fields::count("fills", request.fills.len(), MAX_FILLS)?;
    let fills = request
        .fills
        .into_iter()
        .enumerate()
        .map(|(at, fill)| checked(at, fill))
        .collect::<Result<Vec<_>, _>>()?;
    let permitted = cache.tenants.permit(&request.tenant, Need::Write);
    let scope = cache.scope(&request.tenant, &request.cache)?;
    if let Err(refused) = permitted {
        for Settling { key, grant, .. } in fills {
            cache.levels.fill(&scope, &key, grant, Fill::GivenUp).await;
        }
        return Err(refused);
    }

    let mut too_large = None;
    let mut outcomes = Vec::with_capacity(fills.len());
    for (at, settling) in fills.into_iter().enumerate() {
        let Settling { key, grant, fill } = settling;
        let filled = cache.levels.fill(&scope, &key, grant, fill).await;
        let (outcome, version) = match filled {
            Filled::Stored(version) => (Outcome::Stored, reply::version(cache.pond(), version)),
            Filled::Superseded => (Outcome::Superseded, Bytes::new()),
            Filled::NeedValue => (Outcome::NeedValue, Bytes::new()),
            Filled::Noted => (Outcome::Unspecified, Bytes::new()),
            Filled::TooLarge { limit, size } => {
                too_large.get_or_insert_with(|| status::too_large(at, size, limit));
                (Outcome::Unspecified, Bytes::new())
            }
        };
        outcomes.push(v1::FillOutcome {
            outcome: outcome.into(),
            version,
        });
    }
    match too_large {
        Some(status) => Err(status),
        None => Ok(Reply::done(v1::FillReply { outcomes })),
    }
}

fn checked(at: usize, fill: v1::Fill) -> Result<Settling, Status> {
    let in_fill = |error: BadField| status::bad_field_in("fills", at, error);
    let bad = |field: &str, what: &str| status::bad(format_args!("fills[{at}].{field}"), what);

    check_key(&fill.key).map_err(in_fill)?;
    fields::beside_value(&fill.tags, &fill.etag).map_err(in_fill)?;
    let grant = grant(fill.lease.as_ref()).ok_or_else(|| bad("lease", "is missing"))?;
    let times = fields::times(fill.times);
    let found = |body| Fill::Found {
        body,
        times,
        tags: fields::tags(fill.tags),
        etag: fields::owned(&fill.etag),
    };
    let fill_as_core_says = match fill.settlement {
        Some(Settlement::Value(value)) => found(Body::Value(fields::owned(&value))),
        Some(Settlement::Absent(true)) => found(Body::Absent),
        Some(Settlement::NotModified(true)) => Fill::NotModified { times },
        Some(Settlement::Failed(failed)) => {
            let retry_after =
                (failed.retry_after_ms > 0).then(|| fields::milliseconds(failed.retry_after_ms));
            Fill::Failed(LoadError::new(&failed.error, retry_after))
        }
        Some(Settlement::GivenUp(true)) => Fill::GivenUp,
        Some(Settlement::Absent(false)) => return Err(bad("absent", "is false")),
        Some(Settlement::NotModified(false)) => return Err(bad("not_modified", "is false")),
        Some(Settlement::GivenUp(false)) => return Err(bad("given_up", "is false")),
        None => {
            return Err(bad(
                "settlement",
                "needs one of value, absent, not_modified, failed, given_up",
            ));
        }
    };
    Ok(Settling {
        key: fill.key,
        grant,
        fill: fill_as_core_says,
    })
}

fn grant(lease: Option<&v1::Lease>) -> Option<Grant> {
    lease.map(|lease| Grant {
        boot: Boot::from_bits(lease.boot),
        token: Token::from_bits(lease.token),
    })
}

pub(super) fn renew(
    cache: &Cache,
    request: &v1::RenewRequest,
) -> Result<Reply<v1::RenewReply>, Status> {
    fields::key(&request.key)?;
    let grant = grant(request.lease.as_ref()).ok_or_else(|| status::bad("lease", "is missing"))?;
    cache.tenants.permit(&request.tenant, Need::Load)?;
    let scope = cache.scope(&request.tenant, &request.cache)?;

    let pond = cache.pond();
    let asked = request.lease_ms.map(fields::milliseconds);
    let lease = pond
        .renew(&scope, &request.key, grant, asked)
        .map(|until| reply::lease_left(pond, grant.token.to_bits(), until));
    Ok(Reply::done(v1::RenewReply { lease }))
}
