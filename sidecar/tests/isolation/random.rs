//! Thousands of operations of both, interleaved by chance, each answered as where its tenant is alone.
//!
//! Seeds are fixed: what fails prints the operation and its number, and fails again.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::invalidate_request::Target;
use millpond_proto::v1::{self, TenantState};

use crate::envoy::hits;
use crate::state::{acquire, charge, failed, fill, get, put, set, tenant, void};
use crate::worlds::{Side, Twin, Who, Worlds};

const OPERATIONS: usize = 3_000;
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const TAGS: [&str; 3] = ["red", "green", "blue"];

/// What a tenant was handed.
#[derive(Default)]
struct Book {
    leases: Vec<(&'static str, Twin<v1::Lease>)>,
    versions: HashMap<&'static str, Twin<Bytes>>,
    reservations: Vec<Twin<v1::Reservation>>,
}

struct Run<'a> {
    worlds: &'a Worlds,
    rng: Rng,
    books: HashMap<Who, Book>,
    /// Leases and reservations that were used by who does not have them.
    stolen: usize,
}

fn other(who: Who) -> Who {
    match who {
        Who::A => Who::B,
        Who::B => Who::A,
    }
}

impl Who {
    const BOTH: [Self; 2] = [Self::A, Self::B];
}

impl Run<'_> {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.usize(..all.len())]
    }

    fn book(&mut self, who: Who) -> &mut Book {
        self.books.get_mut(&who).expect("both have one")
    }

    async fn step(&mut self) {
        let who = self.one_of(&Who::BOTH);
        match self.rng.u32(..100) {
            0..30 => self.reads(who).await,
            30..36 => self.reads_many(who).await,
            36..46 => self.sets(who).await,
            46..62 => self.fills(who).await,
            62..66 => self.renews(who).await,
            66..72 => self.invalidates(who).await,
            72..86 => self.spends(who).await,
            86..92 => self.settles(who).await,
            92..94 => drop(self.worlds.ask(who, hits(who, 1)).await),
            94..97 => {
                let time = self.rng.u64(1..4_000);
                self.worlds.pass(Duration::from_millis(time));
            }
            _ => self.operates(who).await,
        }
    }

    async fn reads(&mut self, who: Who) {
        let key = self.one_of(&KEYS);
        let mut asked = get(who, key);
        if self.rng.bool() {
            asked.load = v1::Load::Never.into();
        }
        asked.fresh_only = self.rng.u8(..8) == 0;
        let version = self.book(who).versions.get(key).cloned();
        let version = version.filter(|_| self.rng.u8(..4) == 0);
        let asks = |side: Side| v1::GetRequest {
            min_version: version
                .as_ref()
                .map_or_else(Bytes::new, |version| version.at(side).clone()),
            ..asked.clone()
        };
        let reply = self.worlds.by(who, asks).await;
        let Twin {
            together: Ok(together),
            alone: Ok(alone),
        } = reply
        else {
            return;
        };
        if let (Some(together), Some(alone)) = (together.lease, alone.lease) {
            self.book(who).leases.push((key, Twin { together, alone }));
        }
    }

    async fn reads_many(&mut self, who: Who) {
        let load = self.one_of(&[v1::Load::Never, v1::Load::Caller]);
        let keys = KEYS.iter().map(|key| v1::KeyRequest {
            key: Bytes::from_static(key.as_bytes()),
            min_version: Bytes::new(),
        });
        let many = v1::GetManyRequest {
            tenant: tenant(who),
            cache: "users".to_owned(),
            keys: keys.collect(),
            load: load.into(),
            wait_ms: Some(0),
            ..v1::GetManyRequest::default()
        };
        let reply = self.worlds.ask(who, many).await;
        if let (Ok(together), Ok(alone)) = (reply.together, reply.alone) {
            for (at, key) in KEYS.into_iter().enumerate() {
                let leases = (together.entries[at].lease, alone.entries[at].lease);
                if let (Some(together), Some(alone)) = leases {
                    self.book(who).leases.push((key, Twin { together, alone }));
                }
            }
        }
    }

    async fn sets(&mut self, who: Who) {
        let key = self.one_of(&KEYS);
        let mut asked = set(who, key, &format!("{who:?} {}", self.rng.u32(..)));
        asked.tags = vec![self.one_of(&TAGS).to_owned()];
        if self.rng.bool() {
            asked.times = Some(v1::Times {
                fresh_ms: Some(self.one_of(&[0, 2_000, 20_000])),
                stale_ms: Some(self.one_of(&[0, 5_000])),
                stale_if_error_ms: None,
            });
        }
        let over = self.book(who).versions.get(key).cloned();
        let over = over.filter(|_| self.rng.u8(..4) == 0);
        let asks = |side: Side| v1::SetRequest {
            if_version: over.as_ref().map(|version| version.at(side).clone()),
            ..asked.clone()
        };
        let reply = self.worlds.by(who, asks).await;
        if let (Ok(together), Ok(alone)) = (reply.together, reply.alone)
            && together.stored
        {
            let version = Twin {
                together: together.version,
                alone: alone.version,
            };
            self.book(who).versions.insert(key, version);
        }
    }

    /// A lease of one's own, now and then one of the other's.
    fn lease(&mut self, who: Who) -> Option<(&'static str, Twin<v1::Lease>)> {
        let stolen = self.rng.u8(..5) == 0;
        let from = if stolen { other(who) } else { who };
        let held = self.book(from).leases.len();
        if held == 0 {
            return None;
        }
        let at = self.rng.usize(..held);
        let (key, mut lease) = self.book(from).leases[at].clone();
        if stolen {
            lease.alone = void(self.worlds, who, Side::Alone);
            self.stolen += 1;
        } else if self.rng.bool() {
            self.book(who).leases.swap_remove(at);
        }
        Some((key, lease))
    }

    async fn fills(&mut self, who: Who) {
        let Some((key, lease)) = self.lease(who) else {
            return;
        };
        let settlement = match self.rng.u8(..8) {
            0 => Settlement::Absent(true),
            1 => Settlement::NotModified(true),
            2 => failed(&format!("{who:?} failed")),
            3 => Settlement::GivenUp(true),
            _ => Settlement::Value(Bytes::from(format!("{who:?} {}", self.rng.u32(..)))),
        };
        let fills = |side: Side| fill(who, key, *lease.at(side), settlement.clone());
        drop(self.worlds.by(who, fills).await);
    }

    async fn renews(&mut self, who: Who) {
        let Some((key, lease)) = self.lease(who) else {
            return;
        };
        let renews = |side: Side| v1::RenewRequest {
            tenant: tenant(who),
            cache: "users".to_owned(),
            key: Bytes::from_static(key.as_bytes()),
            lease: Some(*lease.at(side)),
            lease_ms: Some(3_000),
        };
        drop(self.worlds.by(who, renews).await);
    }

    async fn invalidates(&mut self, who: Who) {
        let target = match self.rng.u8(..8) {
            0 => Target::WholeCache(true),
            1..4 => Target::Tags(v1::Tags {
                tags: vec![self.one_of(&TAGS).to_owned()],
            }),
            _ => Target::Keys(v1::Keys {
                keys: vec![Bytes::from_static(self.one_of(&KEYS).as_bytes())],
            }),
        };
        let asked = v1::InvalidateRequest {
            tenant: tenant(who),
            cache: "users".to_owned(),
            target: Some(target),
            settle_ms: self.one_of(&[None, Some(500)]),
            soft: self.rng.bool(),
        };
        drop(self.worlds.ask(who, asked).await);
    }

    async fn spends(&mut self, who: Who) {
        let limit = self.one_of(&["", "sms", "fax"]);
        let key = self.one_of(&["user", "other"]);
        let cost = self.rng.u64(..4);
        if self.rng.u8(..4) == 0 {
            let peek = v1::PeekRequest {
                tenant: tenant(who),
                charges: vec![charge(limit, key, cost)],
            };
            return drop(self.worlds.ask(who, peek).await);
        }
        let mut asked = acquire(who, vec![charge(limit, key, cost)]);
        if self.rng.u8(..3) == 0 {
            asked.request_id = Bytes::from_static(self.one_of(&[b"1", b"2", b"3"]));
        } else if self.rng.bool() {
            // Longer than a run: what ended is given back by a sweep, at its own time.
            asked.hold_ms = Some(600_000);
        }
        let reply = self.worlds.ask(who, asked).await;
        if let (Ok(together), Ok(alone)) = (reply.together, reply.alone)
            && let (Some(together), Some(alone)) = (together.reservation, alone.reservation)
        {
            let held = Twin { together, alone };
            self.book(who).reservations.push(held);
        }
    }

    async fn settles(&mut self, who: Who) {
        let stolen = self.rng.u8(..5) == 0;
        let from = if stolen { other(who) } else { who };
        let held = self.book(from).reservations.len();
        if held == 0 {
            return;
        }
        let at = self.rng.usize(..held);
        let mut held = self.book(from).reservations[at].clone();
        if stolen {
            self.stolen += 1;
            held.alone = v1::Reservation {
                boot: void_boot(self.worlds, who),
                token: 1 << 40,
                expires_in_ms: 1,
            };
        }
        let cost = self.rng.u64(..5);
        if self.rng.bool() {
            let commits = |side: Side| v1::CommitRequest {
                tenant: tenant(who),
                reservation: Some(*held.at(side)),
                costs: vec![cost],
            };
            drop(self.worlds.by(who, commits).await);
        } else {
            let releases = |side: Side| v1::ReleaseRequest {
                tenant: tenant(who),
                reservation: Some(*held.at(side)),
            };
            drop(self.worlds.by(who, releases).await);
        }
    }

    /// What an operator does, now and then.
    async fn operates(&mut self, who: Who) {
        let state = |state: TenantState| v1::SetTenantStateRequest {
            tenant: tenant(who),
            state: state.into(),
            actor: "ada".to_owned(),
            why: "a test".to_owned(),
        };
        match self.rng.u8(..12) {
            0..4 => {
                let mut asked = put(who);
                let rate = self.one_of(&["60/min", "30/min", "1/s"]);
                asked.settings.insert("rate".to_owned(), rate.to_owned());
                drop(self.worlds.ask(who, asked).await);
            }
            4..7 => {
                let all = v1::InvalidateTenantRequest {
                    tenant: tenant(who),
                    why: "a test".to_owned(),
                };
                drop(self.worlds.ask(who, all).await);
            }
            7 => drop(self.worlds.ask(who, state(TenantState::Suspended)).await),
            8 => drop(self.worlds.ask(who, state(TenantState::Maintenance)).await),
            9..11 => drop(self.worlds.ask(who, state(TenantState::Active)).await),
            _ => {
                let purge = || v1::PurgeTenantRequest {
                    tenant: tenant(who),
                    force: true,
                    actor: "ada".to_owned(),
                    why: "a test".to_owned(),
                };
                // The receipt counts what had expired too, unless the sweep was first.
                for side in [Side::Together, Side::Alone] {
                    let world = self.worlds.at(who, side);
                    world.call(purge()).await.expect("it is answered");
                }
            }
        }
        // Most of the time both are served.
        if self.rng.bool() {
            drop(self.worlds.ask(who, put(who)).await);
            drop(self.worlds.ask(who, state(TenantState::Active)).await);
        }
    }
}

fn void_boot(worlds: &Worlds, who: Who) -> u64 {
    let running = &worlds.at(who, Side::Alone).pod.running;
    running.limiter().boot().to_bits()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_both_do_each_is_answered_as_if_it_were_alone() {
    for seed in [1, 2, 3] {
        let worlds = Worlds::start().await;
        let mut run = Run {
            worlds: &worlds,
            rng: Rng::with_seed(seed),
            books: Who::BOTH.map(|who| (who, Book::default())).into(),
            stolen: 0,
        };
        for who in Who::BOTH {
            worlds.ask(who, put(who)).await.ok();
        }
        for number in 0..OPERATIONS {
            *worlds.moment.lock() = format!("seed {seed}, operation {number}:");
            run.step().await;
        }
        // Else little would have been compared.
        assert!(worlds.answered() > OPERATIONS / 2, "{}", worlds.answered());
        assert!(run.stolen > OPERATIONS / 50, "{}", run.stolen);
    }
}
