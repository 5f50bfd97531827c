//! The harness itself: it must see an old read where there is one, and none where
//! there cannot be any.

use std::{collections::HashMap, sync::Arc};

use millpond_gauntlet::{
    race::{Outcome, Race, handover::Loss, herd, stale::Reader},
    subject::{Change, Failed, Key, Load, Subject, Value},
};
use parking_lot::Mutex;

const ROUNDS: u64 = 20;
const CHANGES: [Change; 5] = [
    Change::Key,
    Change::Set,
    Change::Tag,
    Change::Cache,
    Change::Tenant,
];

/// A map: load, then insert whatever happened meanwhile. What most services begin with.
#[derive(Default)]
struct Naive(Mutex<HashMap<Key, Value>>);

impl Subject for Naive {
    const NAME: &'static str = "naive";
    const PACKAGE: &'static str = "none";

    fn with_room(_: usize) -> Self {
        Self::default()
    }

    fn call_for(_: Change) -> Option<&'static str> {
        Some("the map's own")
    }

    async fn apply(&self, change: Change, key: Key, value: Value) {
        change_map(&mut self.0.lock(), change, key, value);
    }

    async fn read(&self, key: Key, load: Load) -> Result<Value, Failed> {
        let held = self.0.lock().get(&key).copied();
        if let Some(value) = held {
            return Ok(value);
        }
        let value = load.await.map_err(|_| Failed::Origin)?;
        self.0.lock().insert(key, value);
        Ok(value)
    }
}

/// The same map under a lock held over every load: changes wait, nothing is ever old.
#[derive(Default)]
struct Serialised(Arc<tokio::sync::Mutex<HashMap<Key, Value>>>);

impl Subject for Serialised {
    const NAME: &'static str = "serialised";
    const PACKAGE: &'static str = "none";
    const OURS: bool = true;

    fn with_room(_: usize) -> Self {
        Self::default()
    }

    fn call_for(_: Change) -> Option<&'static str> {
        Some("the map's own, after the load")
    }

    async fn apply(&self, change: Change, key: Key, value: Value) {
        change_map(&mut *self.0.lock().await, change, key, value);
    }

    async fn read(&self, key: Key, load: Load) -> Result<Value, Failed> {
        let mut map = self.0.lock().await;
        if let Some(value) = map.get(&key) {
            return Ok(*value);
        }
        let value = load.await.map_err(|_| Failed::Origin)?;
        map.insert(key, value);
        Ok(value)
    }
}

/// Never answers.
struct Stuck;

impl Subject for Stuck {
    const NAME: &'static str = "stuck";
    const PACKAGE: &'static str = "none";
    const OURS: bool = true;

    fn with_room(_: usize) -> Self {
        Self
    }

    fn call_for(change: Change) -> Option<&'static str> {
        (change == Change::Key).then_some("nothing")
    }

    async fn apply(&self, _: Change, _: Key, _: Value) {}

    async fn read(&self, _: Key, _: Load) -> Result<Value, Failed> {
        std::future::pending().await
    }
}

fn change_map(map: &mut HashMap<Key, Value>, change: Change, key: Key, value: Value) {
    match change {
        Change::Key => {
            map.remove(&key);
        }
        Change::Set => {
            map.insert(key, value);
        }
        Change::Tag => map.retain(|_, held| held.tag != value.tag),
        Change::Cache => map.clear(),
        Change::Tenant => map.retain(|held, _| held.tenant != key.tenant),
    }
}

#[test]
fn a_cache_that_stores_whatever_it_loaded_reads_old_in_every_round() {
    for change in CHANGES {
        let race = Race::Stale(change, Reader::AfterLoad);
        let Outcome::Stale(tally) = race.run::<Naive>(ROUNDS).unwrap() else {
            panic!("{change:?}: a race of another kind");
        };
        assert_eq!((tally.rounds, tally.old), (ROUNDS, ROUNDS), "{change:?}");
        assert!(!Outcome::Stale(tally).is_clean());
    }
}

#[test]
fn a_cache_whose_changes_wait_for_the_load_never_reads_old() {
    for change in CHANGES {
        for reader in [Reader::AfterLoad, Reader::DuringLoad] {
            let outcome = Race::Stale(change, reader)
                .run::<Serialised>(ROUNDS)
                .unwrap();
            assert!(outcome.is_clean(), "{change:?} {reader:?}: {outcome}");
            let Outcome::Stale(tally) = outcome else {
                panic!("{change:?}: a race of another kind");
            };
            assert_eq!(
                (tally.rounds, tally.change_waited),
                (ROUNDS, ROUNDS),
                "{change:?}"
            );
        }
    }
}

#[test]
fn a_herd_is_counted_where_nothing_coalesces_and_is_one_load_where_all_wait() {
    let loads = |outcome| match outcome {
        Outcome::Herd(tally) => (tally.served, tally.loads),
        other => panic!("a race of another kind: {other}"),
    };
    let callers = ROUNDS * u64::from(herd::CALLERS);
    let naive = Race::Herd.run::<Naive>(ROUNDS).unwrap();
    assert_eq!(loads(naive), (callers, callers));
    let serialised = Race::Herd.run::<Serialised>(ROUNDS).unwrap();
    assert_eq!(loads(serialised), (callers, ROUNDS));
}

#[test]
fn followers_of_a_lost_leader_are_counted() {
    for loss in [Loss::Cancelled, Loss::Panicked] {
        let outcome = Race::Handover(loss).run::<Serialised>(ROUNDS).unwrap();
        let Outcome::Handover(tally) = outcome else {
            panic!("{loss:?}: a race of another kind");
        };
        // The lost leader's load, and one for those who waited.
        assert_eq!(
            (tally.served, tally.errors),
            (tally.followers, 0),
            "{loss:?}"
        );
        assert_eq!(tally.loads, 2 * ROUNDS, "{loss:?}");
    }
}

#[test]
fn errors_are_counted_as_loads_of_a_sick_origin() {
    let Outcome::Error(tally) = Race::Error.run::<Serialised>(ROUNDS).unwrap() else {
        panic!("a race of another kind");
    };
    assert_eq!((tally.told, tally.loads), (tally.callers, tally.callers));
    assert_eq!(tally.cached, 0);
}

#[test]
fn a_hung_round_ends_is_counted_and_is_not_clean() {
    let outcome = Race::Herd.run::<Stuck>(1).unwrap();
    assert!(!outcome.is_clean(), "{outcome}");
    let Outcome::Herd(tally) = outcome else {
        panic!("a race of another kind");
    };
    assert_eq!((tally.rounds, tally.hung), (1, 1));
}

#[test]
fn what_a_library_does_not_have_is_not_counted_against_it() {
    let race = Race::Stale(Change::Tag, Reader::AfterLoad);
    assert_eq!(race.run::<Stuck>(1).unwrap(), Outcome::NoSuchThing);
}
