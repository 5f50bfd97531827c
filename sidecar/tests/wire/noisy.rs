//! A tenant that overdoes everything, beside one that keeps to its limits: counts only,
//! on a clock that is moved by hand. `cargo bench -p millpond-benches --bench noisy` has the times.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{ENTRY_OVERHEAD, Policy};
use millpond_core::tenant::{Declaration, NamedQuota, Overrides, TenantId, TierName};
use millpond_proto::v1;
use millpond_sidecar::Config;

use crate::limits::{Limits, Still, charge, named, quota};
use crate::support::Client;

const VALUE: &[u8] = &[7; 128];
/// Keys are of one length.
const KEY_BYTES: usize = 8;
/// Entries that the cache holds, those that the quiet tenant reserves, and those it reads.
const ROOM: usize = 512;
const RESERVED: usize = ROOM / 2;
const WORKING_SET: usize = ROOM / 4;
/// The clock moves by one each.
const STEPS: usize = 20;
const STEP: Duration = Duration::from_millis(100);
/// The quiet tenant reads its keys each so many.
const READS_EACH: usize = 4;
/// What the quiet tenant may each step, and asks for: by itself half, of `jobs` more.
const JOBS: u64 = 10;
const JOBS_ASKED: u64 = 12;
const OWN: u64 = 20;
const OWN_ASKED: u64 = 10;
/// What the noisy one may each step; it asks for a hundred times as much.
const MAY: u64 = 1;
/// Keys it scans each step, and how often it reads each of them: more often than the
/// quiet one reads any of its own meanwhile.
const SCANNED: usize = 10 * ROOM / STEPS;
const TIMES: usize = 3;

/// A rate of so many a step, and as much at once.
fn each_step(tokens: u64) -> millpond_core::limit::Quota {
    let steps_a_second = 10;
    quota(tokens * steps_a_second, tokens)
}

fn entries(count: usize) -> u64 {
    (count * (ENTRY_OVERHEAD + KEY_BYTES + VALUE.len())) as u64
}

fn tenant(name: &str, may: u64, reserve: u64, limits: Vec<NamedQuota>) -> (TenantId, Declaration) {
    let declaration = Declaration {
        overrides: Overrides {
            request: each_step(may).into(),
            cache_reserve: Some(reserve),
            limits,
            ..Overrides::default()
        },
        ..Declaration::of(TierName::parse("enterprise").expect("valid"))
    };
    (TenantId::parse(name).expect("valid"), declaration)
}

async fn admitted(client: &Limits, tenant: &str, limit: &str, calls: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..calls {
        let request = v1::AcquireRequest {
            tenant: tenant.to_owned(),
            charges: vec![charge(limit, "", 1)],
            ..v1::AcquireRequest::default()
        };
        let reply = client.clone().acquire(request).await;
        admitted += u64::from(reply.expect("it is well formed").into_inner().allowed);
    }
    admitted
}

/// Reads keys in one call and loads what is missing; how many were there.
async fn touch(client: &Client, tenant: &str, keys: std::ops::Range<usize>) -> usize {
    let keys: Vec<_> = keys.map(|at| Bytes::from(format!("{at:08}"))).collect();
    let asked = |key: &Bytes| v1::KeyRequest {
        key: key.clone(),
        min_version: Bytes::new(),
    };
    let request = v1::GetManyRequest {
        tenant: tenant.to_owned(),
        cache: "users".to_owned(),
        keys: keys.iter().map(asked).collect(),
        load: v1::Load::Caller.into(),
        ..v1::GetManyRequest::default()
    };
    let found = client.clone().get_many(request).await;
    let found = found.expect("it is well formed").into_inner().entries;
    let hits = found.iter().filter(|entry| entry.found.is_some()).count();
    let filled = |(key, entry): (&Bytes, &v1::GetReply)| {
        Some(v1::Fill {
            key: key.clone(),
            lease: Some(entry.lease?),
            settlement: Some(v1::fill::Settlement::Value(Bytes::from_static(VALUE))),
            ..v1::Fill::default()
        })
    };
    let fills: Vec<_> = keys.iter().zip(&found).filter_map(filled).collect();
    if !fills.is_empty() {
        let request = v1::FillRequest {
            tenant: tenant.to_owned(),
            cache: "users".to_owned(),
            fills,
        };
        let filled = client.clone().fill(request).await;
        filled.expect("its leases are its own");
    }
    hits
}

/// What the two were given.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    hits: usize,
    own: u64,
    jobs: u64,
    noisy: u64,
}

async fn run(noisy: bool) -> Given {
    let mut config = Config::on_free_ports();
    config.cache.budget = entries(ROOM);
    config.cache.undeclared = Policy {
        fresh: Policy::MAX_TIME,
        ..Policy::declared()
    };
    let jobs = NamedQuota {
        apart: true,
        ..named("jobs", Some(each_step(JOBS)), None)
    };
    config.tenancy.tenants.extend([
        tenant("quiet", OWN, entries(RESERVED), vec![jobs]),
        tenant("noisy", MAY, 0, Vec::new()),
    ]);
    let still = Still::with(config);
    // Connections of their own, as processes have.
    let (reads, calls) = (still.pod.client().await, still.client().await);
    let (scans, spends) = (still.pod.client().await, still.client().await);
    touch(&reads, "quiet", 0..WORKING_SET).await;

    let mut given = Given::default();
    for step in 0..STEPS {
        let quiet = async {
            let own = admitted(&calls, "quiet", "", OWN_ASKED).await;
            let jobs = admitted(&calls, "quiet", "jobs", JOBS_ASKED).await;
            let reads_now = step % READS_EACH == READS_EACH - 1;
            let hits = if reads_now {
                touch(&reads, "quiet", 0..WORKING_SET).await
            } else {
                0
            };
            (hits, own, jobs)
        };
        let beside = async {
            if !noisy {
                return 0;
            }
            let keys = step * SCANNED..(step + 1) * SCANNED;
            for _ in 0..TIMES {
                touch(&scans, "noisy", keys.clone()).await;
            }
            admitted(&spends, "noisy", "", 100 * MAY).await
        };
        let ((hits, own, jobs), beside) = tokio::join!(quiet, beside);
        given.hits += hits;
        given.own += own;
        given.jobs += jobs;
        given.noisy += beside;
        still.clock.advance(STEP);
    }
    given
}

#[tokio::test]
async fn a_tenant_beside_one_that_overdoes_everything_gets_its_limit_and_its_hits() {
    let (alone, beside) = (run(false).await, run(true).await);
    let steps = STEPS as u64;
    assert_eq!(
        alone.hits,
        STEPS / READS_EACH * WORKING_SET,
        "what it reads fits"
    );
    assert_eq!((alone.own, alone.jobs), (steps * OWN_ASKED, steps * JOBS));
    assert_eq!((beside.own, beside.jobs), (alone.own, alone.jobs));
    assert_eq!(beside.noisy, steps * MAY);
    let lost = alone.hits - beside.hits;
    assert!(
        100 * lost <= alone.hits,
        "{lost} of {} hits lost",
        alone.hits
    );
}
