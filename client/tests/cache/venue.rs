//! Where a test runs: a cache on hand-moved time, in process or behind a sidecar.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_client::clock::{Clock, ManualClock};
use millpond_client::{
    EmbeddedConfig, Entropy, Error, Item, Loaded, Millpond, Policy, RemoteConfig, TenantCache,
};
use millpond_core::cache::{CacheName, Config, Pond, TenantId, Totals};
use millpond_core::tenant::State;
use millpond_sidecar::{Running, Sidecar, Socket};
use tokio::sync::watch;

/// How many connections a remote venue opens.
const CONNECTIONS: usize = 20;
/// Longer than any test: what takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Venue {
    pub(crate) pond: Millpond,
    pub(crate) clock: ManualClock,
    pub(crate) core: Arc<Pond>,
    sidecar: Option<Running>,
    folder: Option<PathBuf>,
}

/// What every throw of the dice comes to. It makes an early refresh due when what
/// is left of a value's freshness is 2.3 times its load time.
const CHANCE: f64 = 0.9;

/// The policy of `eager`: as `users`, with early refresh.
pub(crate) fn eager() -> Policy {
    Policy {
        early_refresh: 1.0,
        ..policy()
    }
}

/// The policy of `users`.
pub(crate) fn policy() -> Policy {
    Policy {
        fresh: seconds(30),
        stale: seconds(60),
        stale_if_error: seconds(300),
        negative: seconds(5),
        jitter: 0.0,
        max_value: 1_000,
        ..Policy::declared()
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Venue {
    pub(crate) fn embedded() -> Self {
        let clock = ManualClock::default();
        let config = EmbeddedConfig::default()
            .clock(Clock::Manual(clock.clone()))
            .entropy(Entropy::Fixed(CHANCE))
            .declare("users", policy())
            .and_then(|config| config.declare("eager", eager()))
            .expect("the policies make sense");
        let pond = Millpond::embedded(config);
        Self {
            core: Arc::clone(pond.pond().expect("it is embedded")),
            pond,
            clock,
            sidecar: None,
            folder: None,
        }
    }

    pub(crate) async fn tcp() -> Self {
        let sidecar = Config::default();
        let (clock, sidecar) = start(sidecar, None);
        let address = format!("http://{}", sidecar.tcp().expect("it listens"));
        Self::remote(&address, clock, sidecar, None).await
    }

    pub(crate) async fn unix() -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("millpond-client-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let socket = folder.join("millpond.sock");
        let (clock, sidecar) = start(Config::default(), Some(socket.clone()));
        let address = format!("unix:{}", socket.display());
        Self::remote(&address, clock, sidecar, Some(folder)).await
    }

    async fn remote(
        address: &str,
        clock: ManualClock,
        sidecar: Running,
        folder: Option<PathBuf>,
    ) -> Self {
        let pond = RemoteConfig::new(address)
            .expect("the address is one")
            .connections(CONNECTIONS)
            .connect()
            .await
            .expect("the sidecar answers");
        Self {
            core: Arc::clone(sidecar.pond()),
            pond,
            clock,
            sidecar: Some(sidecar),
            folder,
        }
    }

    /// The declared cache of one tenant.
    pub(crate) fn users(&self) -> TenantCache {
        self.of("users", "acme")
    }

    pub(crate) fn of(&self, cache: &str, tenant: &str) -> TenantCache {
        let cache = self.pond.cache(cache).expect("the name is one");
        cache.tenant(tenant).expect("the name is one")
    }

    /// Where the sidecar listens.
    pub(crate) fn tcp_address(&self) -> std::net::SocketAddr {
        let sidecar = self.sidecar.as_ref().expect("there is a sidecar");
        sidecar.tcp().expect("it listens")
    }

    /// Waits until the cache has counted so.
    pub(crate) async fn until(&self, reached: impl Fn(&Totals) -> bool) {
        while !reached(&self.core.totals()) {
            tokio::task::yield_now().await;
        }
    }

    /// Ends the sidecar.
    /// Puts the tenant `acme` in a state.
    pub(crate) fn put(&self, state: State) {
        let sidecar = self.sidecar.as_ref().expect("there is a sidecar");
        let acme = TenantId::parse("acme").expect("the name is one");
        let set = sidecar.directory().set_state(&acme, state);
        set.expect("it may be in it");
    }

    pub(crate) fn stop(&mut self) {
        drop(self.sidecar.take());
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.stop();
        if let Some(folder) = self.folder.take() {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

fn start(cache: Config, socket: Option<PathBuf>) -> (ManualClock, Running) {
    let clock = ManualClock::default();
    let name = |name| CacheName::parse(name).expect("the name is one");
    let cache = Config {
        clock: Clock::Manual(clock.clone()),
        entropy: Entropy::Fixed(CHANCE),
        declared: [(name("users"), policy()), (name("eager"), eager())].into(),
        ..cache
    };
    let config = millpond_sidecar::Config {
        cache,
        workers: 2,
        socket: socket.map(|path| Socket {
            path,
            optional: false,
        }),
        probe: None,
        admin: None,
        ..millpond_sidecar::Config::on_free_ports()
    };
    let sidecar = Sidecar::start(config).expect("it starts");
    (clock, sidecar)
}

/// Asks, up to where another's load is waited for.
pub(crate) async fn begin<T: std::fmt::Debug>(
    mut asking: std::pin::Pin<&mut impl Future<Output = T>>,
) {
    tokio::select! {
        biased;
        read = &mut asking => panic!("the load is not over: {read:?}"),
        () = std::future::ready(()) => {}
    }
}

/// Ends a test that waits for what never comes.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(PATIENCE, test).await;
    assert!(ended.is_ok(), "waits for what never comes");
}

/// Counts how often loaders made by it ran, and holds them until it is opened.
#[derive(Clone)]
pub(crate) struct Loads {
    begun: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Loads {
    /// Loads that end when [`Self::open`] is called.
    pub(crate) fn held() -> Self {
        Self {
            begun: watch::Sender::new(0),
            open: watch::Sender::new(false),
        }
    }

    /// Loads that end at once.
    pub(crate) fn free() -> Self {
        let loads = Self::held();
        loads.open();
        loads
    }

    pub(crate) fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many have begun.
    pub(crate) async fn until_begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        drop(begun.wait_for(|begun| *begun >= count).await);
    }

    /// What every loader does before it says what it loaded.
    pub(crate) async fn pass(self) {
        self.begun.send_modify(|begun| *begun += 1);
        let mut open = self.open.subscribe();
        drop(open.wait_for(|open| *open).await);
    }

    /// A loader that finds `found`.
    pub(crate) fn of(
        &self,
        found: impl Into<Loaded> + Send + 'static,
    ) -> impl FnOnce() -> Loading + Send + 'static {
        let (loads, found) = (self.clone(), found.into());
        move || {
            Box::pin(async move {
                loads.pass().await;
                Ok(found)
            })
        }
    }

    /// A loader that fails.
    pub(crate) fn failing(
        &self,
        message: &'static str,
    ) -> impl FnOnce() -> Loading + Send + 'static {
        let loads = self.clone();
        move || {
            Box::pin(async move {
                loads.pass().await;
                Err(Down(message))
            })
        }
    }
}

pub(crate) type Loading = std::pin::Pin<Box<dyn Future<Output = Result<Loaded, Down>> + Send>>;

/// The loader's own error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Down(pub(crate) &'static str);

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// The bytes of what a read brought, as text.
pub(crate) fn text(
    read: Result<Option<millpond_client::Value>, Error<Down>>,
) -> Result<Option<String>, Error<Down>> {
    let lossy = |value: millpond_client::Value| String::from_utf8_lossy(&value).into_owned();
    Ok(read?.map(lossy))
}

/// What a read brought, when it brought a value.
pub(crate) fn some(text: &str) -> Result<Option<String>, Error<Down>> {
    Ok(Some(text.to_owned()))
}

/// An item with a validator.
pub(crate) fn tagged(value: &'static str, etag: &'static str) -> Item {
    Item::new(value).etag(etag).into()
}
