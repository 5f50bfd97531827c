//! Where a test runs: limits on hand-moved time, in process or in a sidecar.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_client::clock::{Clock, ManualClock, Time};
use millpond_client::tenants::{
    self, Declaration, Directory, LimitName, NamedQuota, Overrides, Pace, State, TenantId, TierName,
};
use millpond_client::{EmbeddedConfig, Millpond, Quota, RemoteConfig};
use millpond_core::limit::Charge;
use millpond_sidecar::{Config, Running, Sidecar, Socket};

use crate::proxy::Proxy;

/// Longer than any test: what takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Venue {
    pub(crate) pond: Millpond,
    pub(crate) clock: ManualClock,
    pub(crate) directory: Arc<Directory>,
    sidecar: Option<Running>,
    folder: Option<PathBuf>,
}

pub(crate) fn quota(amount: u64, burst: u64) -> Quota {
    Quota::per_second(amount, burst).expect("it is one")
}

pub(crate) fn named(name: &str, total: Option<Quota>, per_key: Option<Quota>) -> NamedQuota {
    NamedQuota {
        total,
        per_key,
        ..NamedQuota::new(LimitName::parse(name).expect("a name"))
    }
}

fn id(tenant: &str) -> TenantId {
    TenantId::parse(tenant).expect("a name")
}

/// Makes a tenant, or changes what it may.
pub(crate) fn put(
    directory: &Directory,
    tenant: &str,
    request: Option<Quota>,
    limits: Vec<NamedQuota>,
) {
    let declaration = Declaration {
        overrides: Overrides {
            request: request.map_or_else(Pace::unlimited, Pace::from),
            limits,
            ..Overrides::default()
        },
        ..Declaration::of(TierName::parse("free").expect("a name"))
    };
    directory
        .put(&id(tenant), &declaration)
        .expect("it is valid");
}

fn still() -> ManualClock {
    ManualClock::starting_at(Time::ZERO.after(1_000 * SECOND))
}

/// A sidecar whose time is `clock`'s.
pub(crate) fn sidecar(clock: Clock, socket: Option<PathBuf>) -> Running {
    let mut config = Config {
        workers: 2,
        socket: socket.map(|path| Socket {
            path,
            optional: false,
        }),
        probe: None,
        admin: None,
        ..Config::on_free_ports()
    };
    config.cache.clock = clock;
    Sidecar::start(config).expect("it starts")
}

/// A folder for a socket.
pub(crate) fn folder() -> PathBuf {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("millpond-limits-{}-{number}", std::process::id());
    std::env::temp_dir().join(name)
}

impl Venue {
    pub(crate) fn embedded() -> Self {
        let clock = still();
        let directory = Directory::new(tenants::Config {
            clock: Clock::Manual(clock.clone()),
            ..tenants::Config::default()
        });
        let directory = directory.expect("the tiers that ship fit each other");
        let config = EmbeddedConfig::default()
            .clock(Clock::Manual(clock.clone()))
            .directory(Arc::clone(&directory));
        Self {
            pond: Millpond::embedded(config),
            clock,
            directory,
            sidecar: None,
            folder: None,
        }
    }

    pub(crate) async fn tcp() -> Self {
        let clock = still();
        let sidecar = sidecar(Clock::Manual(clock.clone()), None);
        let address = format!("http://{}", sidecar.tcp().expect("it listens"));
        Self::remote(&address, clock, sidecar, None).await
    }

    pub(crate) async fn unix() -> Self {
        let folder = folder();
        let socket = folder.join("millpond.sock");
        let clock = still();
        let sidecar = sidecar(Clock::Manual(clock.clone()), Some(socket.clone()));
        let address = format!("unix:{}", socket.display());
        Self::remote(&address, clock, sidecar, Some(folder)).await
    }

    async fn remote(
        address: &str,
        clock: ManualClock,
        sidecar: Running,
        folder: Option<PathBuf>,
    ) -> Self {
        Self {
            pond: connect(address).await,
            clock,
            directory: Arc::clone(sidecar.limiter().directory()),
            sidecar: Some(sidecar),
            folder,
        }
    }

    pub(crate) fn put(&self, tenant: &str, request: Option<Quota>, limits: Vec<NamedQuota>) {
        put(&self.directory, tenant, request, limits);
    }

    pub(crate) fn set_state(&self, tenant: &str, state: State) {
        let set = self.directory.set_state(&id(tenant), state);
        set.expect("it may follow");
    }

    /// Where the sidecar listens.
    pub(crate) fn tcp_address(&self) -> std::net::SocketAddr {
        let sidecar = self.sidecar.as_ref().expect("there is a sidecar");
        sidecar.tcp().expect("it listens")
    }

    /// Tokens left in the bucket of the sidecar, without asking over the wire.
    pub(crate) fn left_in_sidecar(&self, tenant: &str) -> u64 {
        let limiter = self.sidecar.as_ref().expect("there is a sidecar").limiter();
        let own = Charge {
            limit: "",
            key: &[],
            cost: 0,
        };
        let decision = limiter.peek(tenant, &[own]).expect("it is known");
        decision.standing.expect("it is limited").remaining
    }

    /// Tokens left of the tenant's own.
    pub(crate) async fn left(&self, tenant: &str) -> u64 {
        let peeked = self.pond.requests().peek(tenant).await;
        peeked.expect("it answers").remaining
    }
}

pub(crate) async fn connect(address: &str) -> Millpond {
    RemoteConfig::new(address)
        .expect("the address is one")
        .connections(4)
        .connect()
        .await
        .expect("the sidecar answers")
}

impl Drop for Venue {
    fn drop(&mut self) {
        drop(self.sidecar.take());
        if let Some(folder) = self.folder.take() {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// A sidecar behind a network.
pub(crate) struct Far {
    pub(crate) venue: Venue,
    pub(crate) proxy: Proxy,
    pub(crate) pond: Millpond,
}

impl Far {
    pub(crate) async fn with(config: impl FnOnce(RemoteConfig) -> RemoteConfig) -> Self {
        let venue = Venue::tcp().await;
        let proxy = Proxy::to(venue.tcp_address()).await;
        let remote = RemoteConfig::new(&proxy.address()).expect("the address is one");
        let pond = config(remote).connect().await.expect("the sidecar answers");
        Self { venue, proxy, pond }
    }
}

/// Waits until something is so, looking again and again.
pub(crate) async fn until(reached: impl AsyncFn() -> bool) {
    while !reached().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Ends a test that waits for what never comes.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(PATIENCE, test).await;
    assert!(ended.is_ok(), "waits for what never comes");
}
