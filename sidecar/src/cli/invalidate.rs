//! `millpond invalidate`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use millpond_client::{Durability, Invalidation, Target, Version};
use millpond_core::version::Position;
use millpond_proto::v1::{self, InvalidateTenantRequest, StatsReply, StatsRequest};
use serde_json::json;

use super::bytes;
use super::connection::Connection;
use super::exit::{Failure, STATUSES, Status, warn};
use super::operator::{Operator, knows, reply};

const EXAMPLES: &str = "Examples:
  millpond invalidate acme users 42 43
  millpond invalidate acme users --tag team:7
  millpond invalidate acme users --all
  millpond invalidate acme users 42 --settle-ms 500      the replica that loads lags
  millpond invalidate acme users --all --soft            refresh everything, gently
  millpond invalidate acme --whole-tenant --why 'data deletion request 17'";

/// How long the admin port may take to say whether it knows a cache: no longer than an
/// invalidation may wait for that.
const GLANCE: Duration = Duration::from_millis(250);

/// Make the values of keys, of tags, of a whole cache or of a whole tenant unservable.
///
/// Once it has returned, no read in the pod sees an older value, whatever was in
/// flight. It costs the same whatever a tag, a cache or a tenant covers.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Invalidate {
    /// Whose cache: [A-Za-z0-9._-]
    tenant: String,

    /// Which of the tenant's caches: [a-z0-9._-]
    #[arg(required_unless_present = "whole_tenant")]
    cache: Option<String>,

    /// These keys
    #[arg(required_unless_present_any = ["tags", "all", "whole_tenant"])]
    keys: Vec<OsString>,

    /// Whatever carries this tag; may be given again
    #[arg(long = "tag", value_name = "TAG", conflicts_with_all = ["keys", "all"])]
    tags: Vec<String>,

    /// All that the tenant has in this cache
    #[arg(long, conflicts_with = "keys")]
    all: bool,

    /// All that the tenant has, in every cache; goes to the admin port and into the
    /// sidecar's log
    #[arg(long, conflicts_with_all = ["cache", "keys", "tags", "all", "soft", "settle_ms"])]
    whole_tenant: bool,

    /// Who or what for, with --whole-tenant
    #[arg(
        long,
        value_name = "TEXT",
        requires = "whole_tenant",
        default_value = "",
        hide_default_value = true
    )]
    why: String,

    /// The keys are in hexadecimal
    #[arg(long, requires = "keys")]
    hex: bool,

    /// Make stale instead of removing: answered while it is refreshed
    #[arg(long)]
    soft: bool,

    /// How long the source may still answer the old value, as a replica that lags:
    /// what begins to load within that time expires at its end
    #[arg(long, value_name = "MS", default_value_t = 0)]
    settle_ms: u32,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    operator: Operator,
}

/// What was done.
struct Done {
    durability: Durability,
    version: Vec<u8>,
}

pub(crate) fn run(invalidate: Invalidate) -> Result<Status, Failure> {
    let json = invalidate.json;
    let (done, of) = if invalidate.whole_tenant {
        let of = format!("all of {}, ", invalidate.tenant);
        (whole_tenant(invalidate)?, of)
    } else {
        (in_cache(invalidate)?, String::new())
    };
    let version = bytes::hex(&done.version);
    let (durability, reached) = match done.durability {
        Durability::Local => ("local", "this pod"),
        Durability::Stored => ("stored", "the second level"),
    };
    let told = if json {
        let done = json!({"durability": durability, "version": version});
        format!("{done}\n")
    } else {
        format!("invalidated, {of}as far as {reached}, version {version}\n")
    };
    bytes::print(told.as_bytes())?;
    Ok(Status::Done)
}

fn whole_tenant(invalidate: Invalidate) -> Result<Done, Failure> {
    let request = InvalidateTenantRequest {
        tenant: invalidate.tenant,
        why: invalidate.why,
    };
    let done = invalidate
        .operator
        .run(async |mut sidecar| reply(sidecar.invalidate_tenant(request).await))?;
    Ok(Done {
        durability: match done.durability() {
            v1::Durability::Stored => Durability::Stored,
            _ => Durability::Local,
        },
        version: done.version.into(),
    })
}

fn in_cache(invalidate: Invalidate) -> Result<Done, Failure> {
    let target = if invalidate.all {
        Target::All
    } else if invalidate.tags.is_empty() {
        let keys = invalidate.keys.into_iter();
        let keys = keys.map(|key| bytes::argument("KEY", key, invalidate.hex));
        Target::keys(keys.collect::<Result<Vec<_>, _>>()?)
    } else {
        Target::tags(invalidate.tags)
    };
    let how = Invalidation {
        soft: invalidate.soft,
        settle: Duration::from_millis(invalidate.settle_ms.into()),
    };
    let cache = invalidate.cache.unwrap_or_default();
    // Before: an invalidation makes the cache one in use.
    let stats = invalidate.operator.run_for(GLANCE, async |mut sidecar| {
        reply(sidecar.stats(StatsRequest {}).await)
    });
    let done = invalidate
        .connection
        .run_in(&invalidate.tenant, &cache, async |cache| {
            cache.invalidate_with(target, how).await
        })?;
    if stats.is_ok_and(|stats| is_of(&stats, &done.version) && !knows(&stats, &cache)) {
        warn(format_args!(
            "{cache}: neither declared nor in use in this sidecar; invalidated all the same"
        ));
    }
    Ok(Done {
        durability: done.durability,
        version: done.version.as_bytes().to_vec(),
    })
}

/// Whether it is the sidecar that drew this version which says so: the admin port may be
/// another's, or nobody's, and then nothing is known.
fn is_of(stats: &StatsReply, version: &Version) -> bool {
    let position = Position::decode(version.as_bytes());
    position.is_some_and(|position| position.boot.to_bits() == stats.boot)
}
