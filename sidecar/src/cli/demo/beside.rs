//! The sidecar of the demonstration: the real one, in this process, spoken to as
//! any service speaks to it.

use std::sync::Arc;
use std::time::Duration;

use millpond_client::{Millpond, RemoteConfig, TenantCache};
use millpond_core::cache::{self, Pond};
use millpond_sidecar::{Config, Running, Sidecar, Socket, StartError};

/// What the cache may hold: the demonstration's keys are few.
const BUDGET: u64 = 16 << 20;
const TENANT: &str = "demo";

/// A sidecar and where it is. Dropping it ends it and removes its socket.
#[derive(Debug)]
pub(super) struct Beside {
    running: Running,
    address: String,
}

impl Beside {
    /// On a Unix socket in the folder for temporary files; where that cannot be
    /// made, on a free port of the loopback interface.
    pub(super) fn start() -> Result<Self, String> {
        let name = format!("millpond-demo-{:016x}.sock", fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        let on_socket = Config {
            listen: None,
            socket: Some(Socket {
                path,
                optional: false,
            }),
            ..config()
        };
        let running = match Sidecar::start(on_socket) {
            Err(StartError::Socket(..)) => Sidecar::start(config()),
            started => started,
        };
        let running = running.map_err(|error| error.to_string())?;
        let address = match (running.socket(), running.tcp()) {
            (Some(path), _) => format!("unix:{}", path.display()),
            (None, Some(address)) => format!("http://{address}"),
            (None, None) => return Err("the sidecar listens nowhere".to_owned()),
        };
        Ok(Self { running, address })
    }

    /// One more connection to it.
    pub(super) async fn connect(&self) -> Result<Millpond, String> {
        connect(&self.address).await
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn pond(&self) -> Arc<Pond> {
        Arc::clone(self.running.pond())
    }
}

fn config() -> Config {
    Config {
        probe: None,
        cache: cache::Config {
            budget: BUDGET,
            ..cache::Config::default()
        },
        drain: Duration::ZERO,
        ..Config::on_free_ports()
    }
}

/// One connection, so that calls reach the sidecar in the order they are made.
pub(super) async fn connect(address: &str) -> Result<Millpond, String> {
    let config = RemoteConfig::new(address).map_err(|error| error.to_string())?;
    config.connect().await.map_err(|error| error.to_string())
}

/// The cache of that name, of the demonstration's tenant.
pub(super) fn cache(pond: &Millpond, name: &str) -> Result<TenantCache, String> {
    let cache = pond.cache(name).and_then(|cache| cache.tenant(TENANT));
    cache.map_err(|error| error.to_string())
}
