//! Two tenants that nobody else is, and what a leak between tenants would show them.
//!
//! A round goes by the public wire, as any service would: what is checked is what is served, sockets
//! and all. A writes values that begin with its own mark; B asks for the same names, settles what is
//! A's and removes what is its own. B reading A's mark is a leak, and so is A's loss by B's word.
//!
//! | outcome | when |
//! |---|---|
//! | passed | B was answered as if A were not there, and A kept what it had |
//! | leak | it was not, twice more in a row where the cause might be an eviction |
//! | skipped | nothing can be told: its tenants are refused, the cache keeps nothing, nothing limits them |
//!
//! Invariants: a round leaves no lease, no reservation and at most four entries of some dozen bytes. Two
//! rounds at once under the same names do not take each other for a leak: a mark is a tenant's, not
//! a round's. Of a tenant's own bucket a round spends what is left, and gives all of it back.
//!
//! Cost: about forty calls a round.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Status};

mod entries;
mod loads;
mod tokens;
pub(crate) mod watch;

/// Who the canary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The tenant that has something.
    pub a: String,
    /// The tenant that must not be told.
    pub b: String,
    /// The cache of both.
    pub cache: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            a: "millpond-canary-a".to_owned(),
            b: "millpond-canary-b".to_owned(),
            cache: "millpond-canary".to_owned(),
        }
    }
}

/// What a round looks at. Its place in [`Self::ALL`] is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// B reads keys of A's.
    Keys,
    /// B invalidates by a tag that A's entries carry.
    Tags,
    /// B invalidates its whole cache.
    Cache,
    /// B asks for a key that A loads.
    Loads,
    /// B settles a load of A's with A's lease.
    Fills,
    /// B settles a reservation of A's.
    Reservations,
    /// A spends all that its own bucket has.
    Buckets,
}

impl Check {
    /// Each, in the order they are made.
    pub const ALL: [Self; 7] = [
        Self::Keys,
        Self::Tags,
        Self::Cache,
        Self::Loads,
        Self::Fills,
        Self::Reservations,
        Self::Buckets,
    ];

    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Tags => "tags",
            Self::Cache => "cache",
            Self::Loads => "loads",
            Self::Fills => "fills",
            Self::Reservations => "reservations",
            Self::Buckets => "buckets",
        }
    }
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing leaks here.
    Passed,
    /// One tenant saw or changed what is another's: how.
    Leak(String),
    /// Nothing can be told: why.
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Leak(how) => write!(f, "LEAK: {how}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Why a check says nothing of leaks.
enum Untold {
    Skipped(String),
    /// The sidecar was not reached, or failed.
    Away(Status),
}

impl From<Status> for Untold {
    fn from(status: Status) -> Self {
        use tonic::Code::{FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted};
        let reason = status.metadata().get("millpond-reason");
        match reason.and_then(|reason| reason.to_str().ok()) {
            Some("tenant_unknown") => Self::Skipped("tenants are not known".to_owned()),
            Some(reason) => Self::Skipped(reason.to_owned()),
            None => match status.code() {
                // Of the limits no reason is said beside the message.
                NotFound => Self::Skipped("tenants are not known".to_owned()),
                FailedPrecondition | PermissionDenied | ResourceExhausted => {
                    Self::Skipped(status.message().to_owned())
                }
                _ => Self::Away(status),
            },
        }
    }
}

type Told = Result<Outcome, Untold>;

fn skipped(why: &str) -> Told {
    Ok(Outcome::Skipped(why.to_owned()))
}

fn leak(how: &str) -> Told {
    Ok(Outcome::Leak(how.to_owned()))
}

/// A's loss may be an eviction, which nobody promised against: so often it is not.
const TRIES: usize = 3;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    A,
    B,
}

impl Who {
    /// What its values begin with.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::A => b"canary-a:",
            Self::B => b"canary-b:",
        }
    }

    fn secret(self) -> Bytes {
        [self.mark(), &fastrand::u64(..).to_be_bytes()]
            .concat()
            .into()
    }
}

fn leaks(told: &[(Check, Outcome)]) -> bool {
    told.iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Leak(_)))
}

/// A canary at one sidecar.
#[derive(Clone, Debug)]
pub struct Canary {
    names: Names,
    cache: CacheServiceClient<Channel>,
    limits: LimitServiceClient<Channel>,
    /// How long a call may take.
    patience: Duration,
}

impl Canary {
    /// One that asks over `channel`; a call may take as long as `patience`.
    #[must_use]
    pub fn new(channel: Channel, names: Names, patience: Duration) -> Self {
        Self {
            names,
            cache: CacheServiceClient::new(channel.clone()),
            limits: LimitServiceClient::new(channel),
            patience,
        }
    }

    /// Makes every check once.
    ///
    /// # Errors
    /// What the sidecar said when it could not be reached, or failed; but a leak that was
    /// found before is told.
    pub async fn round(&mut self) -> Result<Vec<(Check, Outcome)>, Status> {
        let mut told = Vec::with_capacity(Check::ALL.len());
        for check in Check::ALL {
            let outcome = match check {
                Check::Keys => self.keys().await,
                Check::Tags => self.invalidations(entries::by_tag()).await,
                Check::Cache => self.invalidations(entries::whole_cache()).await,
                Check::Loads => self.loads().await,
                Check::Fills => self.fills().await,
                Check::Reservations => self.reservations().await,
                Check::Buckets => self.buckets().await,
            };
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(Untold::Skipped(why)) => Outcome::Skipped(why),
                // A leak is told whatever came after it.
                Err(Untold::Away(_)) if leaks(&told) => return Ok(told),
                Err(Untold::Away(status)) => return Err(status),
            };
            told.push((check, outcome));
        }
        Ok(told)
    }

    fn tenant(&self, who: Who) -> String {
        match who {
            Who::A => self.names.a.clone(),
            Who::B => self.names.b.clone(),
        }
    }

    fn patiently<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.patience);
        request
    }
}
