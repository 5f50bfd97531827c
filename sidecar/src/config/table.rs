//! Every field of the configuration, once. From this table come the reading of files,
//! flags and environment with all their checks, the JSON Schema, the reference and
//! what `millpond check --effective` prints.

use std::sync::LazyLock;
use std::time::Duration;

use millpond_core::cache::{Mode, Policy};
use millpond_core::limit::UnknownLimits;

use super::Config;
use super::form::{
    Address, Amount, AnySlot, Count, Endpoint, Filter, Form, Ratio, Size, Slot, SocketPath, Time,
    Word,
};
use crate::telemetry::log;

pub(crate) mod tenancy;

/// The version of the document, and the key it stands under.
pub(crate) const API_VERSION: &str = "millpond/v1";
pub(crate) const VERSION_KEY: &str = "apiVersion";
/// The policy of caches that are not declared.
pub(crate) const UNDECLARED: &str = "undeclared";
/// The declared caches, by name.
pub(crate) const CACHES: &str = "caches";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Leases are never shorter, so none is configured to be.
const SHORTEST_LEASE: Duration = Duration::from_millis(10);
/// A peer on a slow link is not hung up on.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// What one message may be, so nothing larger ever comes.
const LARGEST_VALUE: u64 = 4 << 20;
/// Two of the largest messages: one on its way in, one on its way out.
pub(crate) const LEAST_IN_FLIGHT: u64 = 8 << 20;

/// One field.
#[derive(Debug)]
pub(crate) struct Field<T: 'static> {
    /// The mapping it stands in; empty at the top.
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    /// What it is, as a sentence without its full stop.
    pub(crate) doc: &'static str,
    /// What holds unless it is said, where that depends on the machine.
    computed: Option<&'static str>,
    /// The flag's name where it is not the path.
    flag: Option<&'static str>,
    pub(crate) slot: Box<dyn AnySlot<T>>,
}

impl<T> Field<T> {
    fn new<F: Form + Send + Sync + 'static>(
        (group, name): (&'static str, &'static str),
        form: F,
        of: fn(&mut T) -> &mut F::Value,
        doc: &'static str,
    ) -> Self {
        Self {
            group,
            name,
            doc,
            computed: None,
            flag: None,
            slot: Box::new(Slot { form, of }),
        }
    }

    fn unless_said(self, computed: &'static str) -> Self {
        Self {
            computed: Some(computed),
            ..self
        }
    }

    fn called(self, flag: &'static str) -> Self {
        Self {
            flag: Some(flag),
            ..self
        }
    }

    /// Such as `limits.connections`.
    pub(crate) fn path(&self) -> String {
        if self.group.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{}", self.group, self.name)
        }
    }

    /// Such as `limits-connections`, for `--limits-connections`.
    pub(crate) fn flag(&self) -> String {
        let words = self.flag.map_or_else(|| self.path(), str::to_owned);
        words.replace(['.', '_'], "-")
    }

    /// Such as `MILLPOND_LIMITS_CONNECTIONS`.
    pub(crate) fn variable(&self) -> String {
        format!("MILLPOND_{}", self.flag().replace('-', "_").to_uppercase())
    }

    /// What holds unless it is said, as in `of`.
    pub(crate) fn default_in(&self, of: &mut T) -> String {
        self.computed
            .map_or_else(|| self.slot.show(of), str::to_owned)
    }

    /// Whether what holds unless it is said is a value of its form, on any machine.
    pub(crate) fn has_plain_default(&self) -> bool {
        self.computed.is_none()
    }
}

/// What a group of fields is about.
pub(crate) const GROUPS: [(&str, &str); 3] = [
    (
        "limits",
        "How much there may be at once. Each bounds memory that callers can make the sidecar hold",
    ),
    ("log", "What the process says on stderr"),
    ("tracing", "Where traces go, by OTLP over gRPC"),
];

/// The fields of the process. They take effect when it starts; `log.filter` also as soon
/// as a changed file is read.
pub(crate) static PROCESS: LazyLock<Vec<Field<Config>>> = LazyLock::new(process);

/// The fields of a policy. They take effect as soon as a changed file is read.
pub(crate) static POLICY: LazyLock<Vec<Field<Policy>>> = LazyLock::new(policy);

fn process() -> Vec<Field<Config>> {
    let top = |name| ("", name);
    let limit = |name| ("limits", name);
    let mut fields = vec![
        Field::new(
            top("listen"),
            Address {
                example: "127.0.0.1:7470",
            },
            |config: &mut Config| &mut config.listen,
            "TCP address of the cache; port 0 picks a free one",
        ),
        Field::new(
            top("socket"),
            SocketPath,
            |config: &mut Config| &mut config.socket,
            "Unix socket of the cache, mode 0660",
        )
        .unless_said("/run/millpond/millpond.sock, where it can be made"),
        Field::new(
            top("probe"),
            Address {
                example: "0.0.0.0:7472",
            },
            |config: &mut Config| &mut config.probe,
            "Address of /livez, /readyz, /startupz and /metrics. The kubelet calls the pod's address, so it is not loopback in a pod",
        ),
        Field::new(
            top("admin"),
            Address {
                example: "127.0.0.1:7471",
            },
            |config: &mut Config| &mut config.admin,
            "Address of the dashboard and of the calls that operate the sidecar",
        ),
        Field::new(
            top("memory"),
            Amount { least: 1 << 10 },
            |config: &mut Config| &mut config.cache.budget,
            "What entries may take: keys, values, and about 850 bytes each",
        )
        .unless_said("half of the container's limit, or 256MiB without one"),
        Field::new(
            top("in_flight"),
            Amount {
                least: LEAST_IN_FLIGHT,
            },
            |config: &mut Config| &mut config.in_flight,
            "Bytes that calls may hold at once, beside `memory`: messages being received or handled, replies not yet written, 2KiB a call",
        )
        .unless_said("64MiB, or half of `memory` where that is less"),
        Field::new(
            top("workers"),
            Count {
                most: 1_024,
                auto: Some(cores),
            },
            |config: &mut Config| &mut config.workers,
            "Threads that serve",
        )
        .unless_said("auto: one a core"),
        Field::new(
            top("drain"),
            Time {
                least: Duration::ZERO,
                most: HOUR,
            },
            |config: &mut Config| &mut config.drain,
            "How long calls in flight get once the process was told to end",
        ),
        Field::new(
            top("canary"),
            Time {
                least: Duration::ZERO,
                most: 24 * HOUR,
            },
            |config: &mut Config| &mut config.canary,
            "How often the tenants `millpond-canary-a` and `millpond-canary-b` check that tenants do not see or change what is another's, as `millpond canary` does: about forty calls. 0: never. Where unknown tenants are refused or share a tier, name both under `tenants`",
        ),
        Field::new(
            top("unknown_limits"),
            Word {
                words: &[
                    ("deny_not_found", UnknownLimits::Refuse),
                    ("own", UnknownLimits::Own),
                ],
                not: &[],
            },
            |config: &mut Config| &mut config.limits.unknown,
            "What becomes of a charge of a limit that the tenant has not. `deny_not_found`: the call is refused with NOT_FOUND. `own`: it charges the tenant's own bucket",
        ),
        Field::new(
            limit("connections"),
            Count {
                most: 1_000_000,
                auto: None,
            },
            |config: &mut Config| &mut config.max_connections,
            "Connections open; more are closed as they arrive. About 34KiB each when idle",
        )
        .unless_said("as many as fit a quarter of `memory`, from 128 to 12288: 963 where it is 128MiB"),
        Field::new(
            limit("calls_per_connection"),
            Count {
                most: 1_000_000,
                auto: None,
            },
            |config: &mut Config| &mut config.max_calls,
            "Calls open on one connection; `in_flight` bounds what all of them hold together",
        ),
        Field::new(
            limit("loads"),
            Count {
                most: 16_777_216,
                auto: None,
            },
            |config: &mut Config| &mut config.cache.max_loads,
            "Loads begun and not settled; beyond it reads that would load are shed. About 300 bytes each",
        ),
        Field::new(
            limit("waiters"),
            Count {
                most: 16_777_216,
                auto: None,
            },
            |config: &mut Config| &mut config.cache.max_waiters,
            "Callers that wait for one key's load",
        ),
        Field::new(
            limit("caches"),
            Count {
                most: 16_777_216,
                auto: None,
            },
            |config: &mut Config| &mut config.cache.max_caches,
            "Pairs of tenant and cache in use. About 400 bytes each",
        ),
        Field::new(
            limit("tags_per_tenant"),
            Count {
                most: 16_777_216,
                auto: None,
            },
            |config: &mut Config| &mut config.cache.tags_per_tenant,
            "Tags a tenant has over its caches; beyond it the oldest goes with its entries. About 150 bytes each",
        ),
    ];
    fields.push(Field::new(
        limit("unknown_tenants"),
        Count {
            most: 16_777_216,
            auto: None,
        },
        |config: &mut Config| &mut config.max_unknown_tenants,
        "Tenants that nobody named and that have buckets of their own, where `unknown_tenants` is a tier; beyond it new ones share one. About 160 bytes each",
    ));
    fields.extend(said_and_sent());
    fields
}

fn said_and_sent() -> [Field<Config>; 6] {
    let wait = || Time {
        least: SHORTEST_WAIT,
        most: HOUR,
    };
    [
        Field::new(
            ("limits", "patience"),
            wait(),
            |config: &mut Config| &mut config.patience,
            "How long a peer may take to begin to speak, to send a message whole, to take a reply, to answer a ping",
        ),
        Field::new(
            ("limits", "ping_every"),
            wait(),
            |config: &mut Config| &mut config.ping_every,
            "How long a peer may be silent before it is asked whether it still lives",
        ),
        Field::new(
            ("log", "format"),
            Word {
                words: &[("text", log::Format::Text), ("json", log::Format::Json)],
                not: &[],
            },
            |config: &mut Config| &mut config.log.format,
            "How a line looks",
        ),
        Field::new(
            ("log", "filter"),
            Filter,
            |config: &mut Config| &mut config.log.filter,
            "What is logged",
        )
        .called("log"),
        Field::new(
            ("tracing", "endpoint"),
            Endpoint,
            |config: &mut Config| &mut config.tracing.endpoint,
            "The collector",
        ),
        Field::new(
            ("tracing", "sample"),
            Ratio {
                most: 1.0,
                included: true,
            },
            |config: &mut Config| &mut config.tracing.sample,
            "The share of traces that begin here and are sent. Traces that callers began follow their callers",
        ),
    ]
}

fn policy() -> Vec<Field<Policy>> {
    let time = || Time {
        least: Duration::ZERO,
        most: Policy::MAX_TIME,
    };
    let field = |name| ("", name);
    vec![
        Field::new(
            field("fresh"),
            time(),
            |policy: &mut Policy| &mut policy.fresh,
            "How long a value is answered without a thought",
        ),
        Field::new(
            field("stale"),
            time(),
            |policy: &mut Policy| &mut policy.stale,
            "How long after that it is answered while one caller refreshes it",
        ),
        Field::new(
            field("stale_if_error"),
            time(),
            |policy: &mut Policy| &mut policy.stale_if_error,
            "How long after that it is answered when loading fails",
        ),
        Field::new(
            field("negative"),
            time(),
            |policy: &mut Policy| &mut policy.negative,
            "How long \"there is no such thing\" is remembered",
        ),
        Field::new(
            field("jitter"),
            Ratio {
                most: 1.0,
                included: false,
            },
            |policy: &mut Policy| &mut policy.jitter,
            "The largest share of `fresh` taken off at random, so that what was stored together does not expire together",
        ),
        Field::new(
            field("early_refresh"),
            Ratio {
                most: 100.0,
                included: true,
            },
            |policy: &mut Policy| &mut policy.early_refresh,
            "Above 0: refresh before expiry, the more likely the nearer it is and the longer loads take (XFetch's β; 1 is its paper's choice)",
        ),
        Field::new(
            field("max_value"),
            Size {
                least: 0,
                most: LARGEST_VALUE,
            },
            |policy: &mut Policy| &mut policy.max_value,
            "The largest value that is kept. A larger one is handed to those who wait for it and not stored",
        ),
        Field::new(
            field("lease"),
            Time {
                least: SHORTEST_LEASE,
                most: Policy::MAX_TIME,
            },
            |policy: &mut Policy| &mut policy.lease,
            "How long one caller loads a key alone",
        ),
        Field::new(
            field("max_load"),
            Time {
                least: SHORTEST_LEASE,
                most: Policy::MAX_TIME,
            },
            |policy: &mut Policy| &mut policy.max_load,
            "How long after its beginning a load may still be stored; at least `lease`",
        ),
        Field::new(
            field("mode"),
            Word {
                words: &[
                    ("on", Mode::On),
                    ("observe", Mode::Observe),
                    ("bypass", Mode::Bypass),
                ],
                not: &[
                    ("off", "and what switches a cache off is called bypass"),
                    ("false", "and what switches a cache off is called bypass"),
                ],
            },
            |policy: &mut Policy| &mut policy.mode,
            "What reads do. `observe`: everybody loads, and what would have been served is compared. `bypass`: nothing is answered, writes and invalidations still hold",
        ),
    ]
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What a pod's grace period is unless it is said: draining must end inside it.
pub(crate) const USUAL_GRACE: Duration = SECOND.saturating_mul(30);
