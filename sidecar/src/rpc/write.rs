//! `Set` and `Invalidate`.

use bytes::Bytes;
use millpond_core::cache::lookup::Durability;
use millpond_core::cache::{
    BadField, Invalidation, MAX_TAGS, Target, Write, Written, check_key, check_tags,
};
use millpond_proto::v1;
use millpond_proto::v1::invalidate_request::Target as WireTarget;
use tonic::Status;

use super::cache::Cache;
use super::call::Reply;
use super::limits::{MAX_KEYS, MAX_SETTLE};
use super::tenants::Need;
use super::{fields, reply, status};

pub(super) async fn set(
    cache: &Cache,
    request: v1::SetRequest,
) -> Result<Reply<v1::SetReply>, Status> {
    let pond = cache.pond();
    fields::key(&request.key)?;
    fields::beside_value(&request.tags, &request.etag).map_err(status::bad_field)?;
    let over = match &request.if_version {
        None => None,
        Some(bytes) => Some(fields::version("if_version", bytes)?),
    };
    let permitted = cache.tenants.permit(&request.tenant, Need::Write);
    let scope = cache.scope(&request.tenant, &request.cache)?;
    if let Err(refused) = permitted {
        // That it was set says that what is held is no longer right.
        let (keys, how) = ([request.key], Invalidation::default());
        cache
            .levels
            .invalidate(&scope, Target::Keys(&keys), how)
            .await;
        return Err(refused);
    }

    // Another process's version is held by nobody here.
    if over.is_some_and(|over| over.boot != pond.boot()) {
        return Ok(Reply::done(v1::SetReply::default()));
    }
    let write = Write {
        value: fields::owned(&request.value),
        times: fields::times(request.times),
        tags: fields::tags(request.tags),
        etag: fields::owned(&request.etag),
        if_version: over.map(|over| over.version),
    };
    let (written, _) = cache
        .levels
        .set(&scope, &request.key, write)
        .await
        .map_err(status::write)?;
    Ok(Reply::done(match written {
        Written::Stored(version) => v1::SetReply {
            stored: true,
            version: reply::version(pond, version),
        },
        Written::OtherVersion => v1::SetReply::default(),
    }))
}

pub(super) async fn invalidate(
    cache: &Cache,
    request: v1::InvalidateRequest,
) -> Result<Reply<v1::InvalidateReply>, Status> {
    let listed = listed(request.target)?;
    let settle = fields::milliseconds(request.settle_ms.unwrap_or(0));
    if settle > MAX_SETTLE {
        return Err(status::bad(
            "settle_ms",
            format_args!("{}, limit {}", settle.as_millis(), MAX_SETTLE.as_millis()),
        ));
    }
    cache.tenants.permit(&request.tenant, Need::Nothing)?;
    let scope = cache.scope(&request.tenant, &request.cache)?;

    let target = match &listed {
        Listed::Keys(keys) => Target::Keys(keys),
        Listed::Tags(tags) => Target::Tags(tags),
        Listed::Cache => Target::Cache,
    };
    let how = Invalidation {
        soft: request.soft,
        settle,
    };
    let (version, durability) = cache.levels.invalidate(&scope, target, how).await;
    let durability = match durability {
        Durability::Local => v1::Durability::Local,
        Durability::Stored => v1::Durability::Stored,
    };
    Ok(Reply::done(v1::InvalidateReply {
        version: reply::version(cache.pond(), version),
        durability: durability.into(),
    }))
}

enum Listed {
    Keys(Vec<Bytes>),
    Tags(Vec<Bytes>),
    Cache,
}

fn listed(target: Option<WireTarget>) -> Result<Listed, Status> {
    match target {
        Some(WireTarget::Keys(v1::Keys { keys })) => {
            fields::count("keys", keys.len(), MAX_KEYS)?;
            for (at, key) in keys.iter().enumerate() {
                check_key(key)
                    .map_err(|error: BadField| status::bad_field_in("keys", at, error))?;
            }
            Ok(Listed::Keys(keys))
        }
        Some(WireTarget::Tags(v1::Tags { tags })) => {
            fields::count("tags", tags.len(), MAX_TAGS)?;
            check_tags(&tags).map_err(status::bad_field)?;
            Ok(Listed::Tags(fields::tags(tags)))
        }
        Some(WireTarget::WholeCache(true)) => Ok(Listed::Cache),
        Some(WireTarget::WholeCache(false)) => Err(status::bad("whole_cache", "is false")),
        None => Err(status::bad(
            "target",
            "needs one of keys, tags, whole_cache",
        )),
    }
}
