//! What no field can know by itself: what fields say together, and what is allowed
//! but probably not meant.

use std::collections::HashSet;
use std::net::SocketAddr;

use millpond_core::cache::{Policy, PolicyError};

use super::CONNECTION;
use super::form::shown;
use super::mistake::{DOCUMENT, Mistake, Place, inside};
use super::reading::Reading;
use super::table::{CACHES, UNDECLARED, USUAL_GRACE};
use crate::memory::{self, Allowed, ByteSize};
use crate::rpc::limits::MAX_MESSAGE_BYTES;

mod tenancy;

pub(crate) fn check(reading: &mut Reading) {
    // A field that is wrong still has the value from before: what that says together
    // with others helps nobody.
    let wrong: HashSet<String> = reading
        .mistakes
        .iter()
        .map(|mistake| mistake.path.clone())
        .collect();
    policies(reading, &wrong);
    if !["listen", "socket", "probe", "admin"]
        .iter()
        .any(|path| wrong.contains(*path))
    {
        listeners(reading);
    }
    exposed(reading);
    tenancy::check(reading, &wrong);
    memory(reading);
    if reading.config.drain > USUAL_GRACE {
        warn(
            reading,
            "drain",
            "is more than the 30s that a pod is given".to_owned(),
            "terminationGracePeriodSeconds to be raised beyond it",
        );
    }
}

fn policies(reading: &mut Reading, wrong: &HashSet<String>) {
    let declared = reading.config.cache.declared.iter();
    let mut policies: Vec<(String, Policy)> = declared
        .map(|(name, policy)| (inside(CACHES, name.as_str()), *policy))
        .chain([(UNDECLARED.to_owned(), reading.config.cache.undeclared)])
        .collect();
    policies.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (path, policy) in policies {
        for PolicyError { field, expected } in policy.check().err().unwrap_or_default() {
            let [field_path, lease_path] = [field, "lease"].map(|field| inside(&path, field));
            if wrong.contains(&field_path) || wrong.contains(&lease_path) {
                continue;
            }
            let (place, problem) = match (field, reading.place(&field_path)) {
                ("max_load", Place::Default) => {
                    let default = shown(policy.max_load);
                    let problem = format!("is {default} unless said, which is less than lease");
                    (reading.place(&lease_path), problem)
                }
                ("max_load", place) => {
                    let problem =
                        format!("found {}, which is less than lease", shown(policy.max_load));
                    (place, problem)
                }
                (_, place) => (place, "makes no sense".to_owned()),
            };
            let expected = match field {
                "max_load" => format!("at least lease, {}", shown(policy.lease)),
                _ => expected.to_owned(),
            };
            reading.wrong(place, &field_path, problem, &expected);
        }
        let path = inside(&path, "max_value");
        let said = reading.place(&path) != Place::Default;
        if said && policy.max_value as u64 > reading.config.cache.budget {
            warn(
                reading,
                &path,
                "is more than memory, so the largest values are never kept".to_owned(),
                "at most memory",
            );
        }
        if said && policy.max_value >= MAX_MESSAGE_BYTES {
            warn(
                reading,
                &path,
                "is more than a message carries, so no larger value ever comes".to_owned(),
                "less than 4MiB",
            );
        }
    }
}

fn listeners(reading: &mut Reading) {
    let config = &reading.config;
    if config.listen.is_none() && config.socket.is_none() {
        let place = [reading.place("socket"), reading.place("listen")]
            .into_iter()
            .find(|place| *place != Place::Default)
            .unwrap_or(Place::Default);
        let problem = "listen and socket are both off: nobody could call the cache".to_owned();
        reading.wrong(place, DOCUMENT, problem, "one of them");
    }
    let config = &reading.config;
    let listening: Vec<(&str, SocketAddr)> = [
        ("listen", config.listen),
        ("probe", config.probe),
        ("admin", config.admin),
    ]
    .into_iter()
    .filter_map(|(path, address)| Some((path, address?)))
    .collect();
    for (at, (path, address)) in listening.iter().enumerate() {
        let taken = listening[..at]
            .iter()
            .find(|(_, other)| collide(*other, *address));
        let Some((first, taken)) = taken else {
            continue;
        };
        let place = match reading.place(path) {
            Place::Default => reading.place(first),
            place => place,
        };
        let problem = format!("{address} collides with {first}, {taken}");
        reading.wrong(place, path, problem, "another port");
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

fn exposed(reading: &mut Reading) {
    let beyond = |address: Option<SocketAddr>| address.is_some_and(|at| !at.ip().is_loopback());
    if beyond(reading.config.admin) {
        let problem =
            "is reachable from outside the pod, and whoever reaches it operates the sidecar";
        warn(reading, "admin", problem.to_owned(), "a loopback address");
    }
    if beyond(reading.config.listen) {
        let problem = "is reachable from outside the pod, and nobody is asked who they are";
        warn(reading, "listen", problem.to_owned(), "a loopback address");
    }
}

fn memory(reading: &mut Reading) {
    let Some((allowed, by)) = memory::allowed() else {
        return;
    };
    let of = match by {
        Allowed::Limit => "the limit here",
        Allowed::Machine => "what the machine has",
    };
    let config = &reading.config;
    let connections = CONNECTION.saturating_mul(config.max_connections as u64);
    let (budget, in_flight) = (config.cache.budget, config.in_flight);
    let together = budget.saturating_add(in_flight);
    if together.saturating_add(connections) <= allowed {
        return;
    }
    let problem = format!(
        "memory {:#}, in_flight {:#} and what {} connections may take, {:#}, are more than {of}, {:#}",
        ByteSize(budget),
        ByteSize(in_flight),
        config.max_connections,
        ByteSize(connections),
        ByteSize(allowed)
    );
    warn(reading, "memory", problem, "them to fit");
}

fn warn(reading: &mut Reading, path: &str, problem: String, expected: &str) {
    let place = reading.place(path);
    reading.warnings.push(Mistake {
        place,
        path: path.to_owned(),
        problem,
        expected: expected.to_owned(),
    });
}
