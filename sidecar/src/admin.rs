//! The port of operators: the console, `AdminService`, and the switch that drains.
//!
//! One port for both: HTTP/1.1 for browsers and `curl`, HTTP/2 without TLS for gRPC,
//! told apart by the first bytes. It listens on the loopback interface unless told
//! otherwise and asks for no password, so whoever reaches it may use it: the processes
//! of the pod, and whoever may `kubectl port-forward`. A browser on the same machine
//! reaches it too, with pages of strangers in it; [`guard`] keeps those out.
//!
//! It is served by the control thread, beside accepting and probes, and never by the
//! workers: looking at a busy sidecar costs its callers nothing but the machine's time.
//!
//! | module | what it owns |
//! |---|---|
//! | `listener` | connections: how many, how long, how much |
//! | `guard` | which requests a browser may make |
//! | `routes` | which path is answered by what |
//! | `service` | `AdminService` |
//! | `stats`, `json`, `explain` | what is told |
//! | `tenants` | who the tenants are, and the receipt of a purge |
//! | `switches` | modes that end by themselves |
//! | `hot` | the keys read most |
//! | `changes` | what changed, for `Stats` and for the audit log |
//! | `console` | the page |

use std::sync::Arc;

use millpond_core::cache::Pond;
use millpond_core::cache::lookup::Levels;
use millpond_core::clock::Time;
use millpond_core::tenant::Directory;
use tokio::sync::watch;

use crate::config::Reloader;
use crate::drain::Shutdown;
use crate::rpc::Common;
use crate::telemetry::metrics::Observed;
use crate::tenancy::Tenants;

pub(crate) mod changes;
mod console;
mod explain;
mod guard;
pub(crate) mod hot;
mod json;
pub(crate) mod listener;
mod routes;
mod service;
mod stats;
mod switches;
mod tenants;

use changes::Changes;
use hot::HotKeys;
use switches::Switches;

/// What the admin port tells about, and what it may change.
#[derive(Clone, Debug)]
pub(crate) struct Admin(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    observed: Arc<Observed>,
    levels: Levels,
    shutdown: Shutdown,
    common: Common,
    hot: Arc<HotKeys>,
    reloader: Reloader,
    directory: Arc<Directory>,
    tenancy: Arc<Tenants>,
    changes: Arc<Changes>,
    switches: Switches,
    started: Time,
    /// How many calls were cut off, once the sidecar has ended.
    ended: watch::Sender<Option<usize>>,
}

impl Admin {
    pub(crate) fn new(
        observed: Arc<Observed>,
        levels: Levels,
        common: Common,
        hot: Arc<HotKeys>,
        reloader: Reloader,
        tenancy: Arc<Tenants>,
    ) -> Self {
        let pond = Arc::clone(&observed.pond);
        let changes = Arc::new(Changes::new(pond.clock().clone()));
        changes.note("start", "serving");
        Self(Arc::new(Parts {
            levels,
            shutdown: Shutdown(observed.stages.clone()),
            common,
            hot,
            reloader,
            directory: Arc::clone(&tenancy.directory),
            tenancy,
            switches: Switches::new(Arc::clone(&pond), Arc::clone(&changes)),
            changes,
            started: pond.clock().precise(),
            ended: watch::Sender::new(None),
            observed,
        }))
    }

    fn pond(&self) -> &Arc<Pond> {
        &self.0.observed.pond
    }

    /// What changed of late.
    pub(crate) fn changes(&self) -> &Changes {
        &self.0.changes
    }

    /// Tells whoever waits for the end that it has come.
    pub(crate) fn ended(&self, cut_off: usize) {
        self.0.ended.send_replace(Some(cut_off));
    }

    /// Completes at the sidecar's end; says how many calls were cut off.
    async fn until_ended(&self) -> usize {
        let mut ended = self.0.ended.subscribe();
        // The sender cannot be gone: it is held here.
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|cut_off| *cut_off).unwrap_or(0)
    }
}
