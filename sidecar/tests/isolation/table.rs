//! A row for every method that is served, by the descriptors that were compiled: one that is added
//! without a row fails here.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::state::{Seeded, look, seed};
use crate::worlds::{Who, Worlds};
use crate::{cache, envoy, limits, operators};

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Scenario = for<'a> fn(&'a Worlds, &'a Seeded) -> Running<'a>;

macro_rules! rows {
    ($($path:literal: $scenario:path;)*) => {
        const ROWS: &[(&str, Scenario)] = &[
            $(($path, |worlds, of_a| Box::pin($scenario(worlds, of_a)))),*
        ];
    };
}

// What B does, after A has made state under the same names.
rows! {
    "/millpond.v1.CacheService/Hello": cache::hello;
    "/millpond.v1.CacheService/Get": cache::get;
    "/millpond.v1.CacheService/GetMany": cache::get_many;
    "/millpond.v1.CacheService/Fill": cache::fill;
    "/millpond.v1.CacheService/Renew": cache::renew;
    "/millpond.v1.CacheService/Set": cache::set;
    "/millpond.v1.CacheService/Invalidate": cache::invalidate;
    "/millpond.v1.LimitService/Acquire": limits::acquire;
    "/millpond.v1.LimitService/Peek": limits::peek;
    "/millpond.v1.LimitService/Commit": limits::commit;
    "/millpond.v1.LimitService/Release": limits::release;
    "/millpond.v1.LimitService/Grant": limits::grant;
    "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit": envoy::should_rate_limit;
    "/millpond.v1.AdminService/Stats": operators::stats;
    "/millpond.v1.AdminService/Explain": operators::explain;
    "/millpond.v1.AdminService/HotKeys": operators::hot_keys;
    "/millpond.v1.AdminService/SetMode": operators::set_mode;
    "/millpond.v1.AdminService/InvalidateTenant": operators::invalidate_tenant;
    "/millpond.v1.AdminService/ListTenants": operators::list_tenants;
    "/millpond.v1.AdminService/PutTenant": operators::put_tenant;
    "/millpond.v1.AdminService/SetTenantState": operators::set_tenant_state;
    "/millpond.v1.AdminService/PurgeTenant": operators::purge_tenant;
    "/millpond.v1.AdminService/ReloadConfig": operators::reload_config;
}

/// As the descriptors have them that reflection answers from.
fn served() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(millpond_proto::FILE_DESCRIPTOR_SET);
    let set = set.expect("the build encoded it");
    let mut served = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let (package, service) = (file.package(), service.name());
                served.insert(format!("/{package}.{service}/{}", method.name()));
            }
        }
    }
    served
}

#[test]
fn every_method_that_is_served_has_a_row() {
    let rows: BTreeSet<String> = ROWS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(rows.len(), ROWS.len(), "no method has two rows");
    let served = served();
    assert!(served.len() >= 23, "{served:?}");
    let without: Vec<_> = served.difference(&rows).collect();
    assert!(without.is_empty(), "methods without a row: {without:?}");
    let unknown: Vec<_> = rows.difference(&served).collect();
    assert!(
        unknown.is_empty(),
        "rows of methods that there are not: {unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_lets_a_tenant_see_or_change_what_is_anothers() {
    for (path, scenario) in ROWS {
        let worlds = Worlds::start().await;
        let of_a = seed(&worlds, Who::A).await;
        scenario(&worlds, &of_a).await;
        look(&worlds, Who::A).await;
        look(&worlds, Who::B).await;
        assert!(worlds.called(Who::B, path), "B never called {path}");
    }
}

/// The other way round: B is there first, and what A does afterwards is as if it were not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_methods_of_both_who_have_state_of_their_own() {
    for (_, scenario) in ROWS {
        let worlds = Worlds::start().await;
        seed(&worlds, Who::B).await;
        let of_a = seed(&worlds, Who::A).await;
        scenario(&worlds, &of_a).await;
        look(&worlds, Who::A).await;
        look(&worlds, Who::B).await;
    }
}
