//! What every store must keep, run against each adapter.
//!
//! [`check`] panics with the promise that was broken. It drives the store's
//! futures to their end itself, so an adapter that needs a runtime runs it inside
//! one.

use std::time::Duration;

use bytes::Bytes;

use super::{Store, StoreKey, StoreTarget, Stored};
use crate::cache::entry::Body;
use crate::cache::name::{CacheName, TenantId};
use crate::version::Version;

struct Names {
    tenant: TenantId,
    other: TenantId,
    cache: CacheName,
    other_cache: CacheName,
}

impl Names {
    fn key<'a>(&'a self, key: &'a [u8]) -> StoreKey<'a> {
        StoreKey {
            tenant: &self.tenant,
            cache: &self.cache,
            key,
        }
    }
}

fn entry(value: &'static str, began: u64, tags: &[&'static str]) -> Stored {
    Stored {
        body: Body::Value(Bytes::from_static(value.as_bytes())),
        began: Version::from_raw(began),
        fresh_for: Duration::from_secs(10),
        stale_for: Duration::from_secs(20),
        error_for: Duration::from_secs(30),
        load_time: Duration::from_millis(5),
        tags: tags
            .iter()
            .map(|tag| Bytes::from_static(tag.as_bytes()))
            .collect(),
        etag: Bytes::from_static(b"etag"),
    }
}

/// Runs the whole suite against an empty store.
///
/// # Panics
/// When the store breaks one of its promises.
pub async fn check(store: &dyn Store) {
    let parse = "the suite's names are valid";
    let names = Names {
        tenant: TenantId::parse("acme").expect(parse),
        other: TenantId::parse("acme2").expect(parse),
        cache: CacheName::parse("users").expect(parse),
        other_cache: CacheName::parse("users2").expect(parse),
    };
    round_trip(store, &names).await;
    later_entry_stays(store, &names).await;
    for (what, target) in [
        (
            "key",
            StoreTarget::Keys(&names.tenant, &names.cache, &[Bytes::from_static(b"i")]),
        ),
        (
            "tag",
            StoreTarget::Tags(&names.tenant, &names.cache, &[Bytes::from_static(b"t")]),
        ),
        ("cache", StoreTarget::Cache(&names.tenant, &names.cache)),
        ("tenant", StoreTarget::Tenant(&names.tenant)),
    ] {
        invalidated_stays_away(store, &names, what, target).await;
    }
}

async fn read(store: &dyn Store, key: StoreKey<'_>) -> Option<Stored> {
    store.read(key).await.expect("the store answers")
}

async fn write(store: &dyn Store, key: StoreKey<'_>, entry: Stored) -> bool {
    store.write(key, entry).await.expect("the store answers")
}

async fn round_trip(store: &dyn Store, names: &Names) {
    let key = names.key(b"round \xff\x00 trip");
    assert_eq!(read(store, key).await, None, "an empty store holds nothing");
    let whole = entry("value", 10, &["t1", "t2"]);
    assert!(
        write(store, key, whole.clone()).await,
        "a first entry is kept"
    );
    assert_eq!(
        read(store, key).await,
        Some(whole),
        "an entry is read back whole"
    );
    for other in [
        StoreKey {
            tenant: &names.other,
            ..key
        },
        StoreKey {
            cache: &names.other_cache,
            ..key
        },
        StoreKey {
            key: b"round \xff\x00 trip2",
            ..key
        },
    ] {
        assert_eq!(read(store, other).await, None, "keys compare in full");
    }
    let absent = Stored {
        body: Body::Absent,
        ..entry("", 11, &[])
    };
    assert!(
        write(store, key, absent.clone()).await,
        "a later entry replaces"
    );
    assert_eq!(read(store, key).await, Some(absent), "absence is read back");
}

async fn later_entry_stays(store: &dyn Store, names: &Names) {
    let key = names.key(b"order");
    assert!(
        write(store, key, entry("late", 21, &[])).await,
        "a first entry is kept"
    );
    assert!(
        !write(store, key, entry("early", 20, &[])).await,
        "an earlier load is refused"
    );
    assert_eq!(
        read(store, key).await,
        Some(entry("late", 21, &[])),
        "the later one stays"
    );
}

async fn invalidated_stays_away(
    store: &dyn Store,
    names: &Names,
    what: &str,
    target: StoreTarget<'_>,
) {
    let key = names.key(b"i");
    let started = match what {
        "key" => 100,
        "tag" => 200,
        "cache" => 300,
        _ => 400,
    };
    assert!(
        write(store, key, entry("old", started, &["t"])).await,
        "{what}: kept before"
    );
    let version = Version::from_raw(started + 50);
    store
        .invalidate(target, version)
        .await
        .expect("the store answers");
    assert_eq!(
        read(store, key).await,
        None,
        "{what}: gone once the invalidation returned"
    );
    assert!(
        !write(store, key, entry("old", started + 49, &["t"])).await,
        "{what}: a late write of an older load is refused"
    );
    assert_eq!(read(store, key).await, None, "{what}: and stays gone");
    assert!(
        write(store, key, entry("new", started + 51, &["t"])).await,
        "{what}: a load that began after it is kept"
    );
    assert_eq!(
        read(store, key).await,
        Some(entry("new", started + 51, &["t"])),
        "{what}: read"
    );
}
