use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::limit::room::Room;

fn ms(count: u64) -> Ticks {
    Ticks::of(Duration::from_millis(count))
}

fn quota(burst: u64) -> Quota {
    Quota::per_second(1, burst).expect("valid")
}

type Total = (Word, Quota, Dues);

fn total(burst: u64) -> Total {
    (Word::full(), quota(burst), Dues::new())
}

/// A tenant with one limit of keys.
struct Tenant {
    own: Total,
    total: Total,
    keys: KeyTable,
}

impl Tenant {
    fn new(own: u64, total: u64, key: u64) -> Self {
        Self {
            own: self::total(own),
            total: self::total(total),
            keys: KeyTable::new(quota(key), 10, Arc::new(Room::new(10))),
        }
    }

    fn levels<'a>(&'a self, firm: bool, charges: &[(u64, u64)]) -> Levels<'a> {
        let mut levels = Levels::new();
        for &(key, cost) in charges {
            let (table, tag) = (&self.keys, Tag(key));
            levels.add(LevelId::Key(0, tag), Bucket::Key { table, tag }, cost, firm);
        }
        let bucket = |(word, quota, dues): &'a Total| Bucket::Word { word, quota, dues };
        let cost = charges.iter().map(|(_, cost)| cost).sum();
        levels.add(LevelId::Total(0), bucket(&self.total), cost, true);
        levels.add(LevelId::Own, bucket(&self.own), 1, true);
        levels
    }

    fn call(&self, charges: &[(u64, u64)]) -> Outcome {
        self.levels(true, charges)
            .charge(ms(0), Ticks::ZERO, &mut Payments::new())
    }

    /// Whole tokens left, own, total, and of key 1.
    fn left(&self) -> [u64; 3] {
        let word = |(word, quota, _): &Total| {
            let tat = word.read().expect("not sealed");
            crate::limit::gcra::remaining(tat, ms(0), quota)
        };
        let key = self.keys.standing(Tag(1), ms(0)).remaining;
        [word(&self.own), word(&self.total), key]
    }
}

const ADMITTED: Outcome = Outcome::Admitted {
    wait: Ticks::ZERO,
    lenient: None,
};

#[test]
fn a_call_spends_on_every_level_or_on_none() {
    let tenant = Tenant::new(10, 6, 4);
    assert_eq!(tenant.call(&[(1, 3)]), ADMITTED);
    assert_eq!(tenant.left(), [9, 3, 1]);
    let key = LevelId::Key(0, Tag(1));
    assert_eq!(
        tenant.call(&[(1, 2)]),
        Outcome::Later {
            after: ms(1_000),
            by: key
        }
    );
    assert_eq!(tenant.left(), [9, 3, 1]);
    assert_eq!(
        tenant.call(&[(2, 4)]),
        Outcome::Later {
            after: ms(1_000),
            by: LevelId::Total(0)
        }
    );
    assert_eq!(tenant.call(&[(1, 5)]), Outcome::Never { by: key });
    assert_eq!(tenant.left(), [9, 3, 1]);
}

#[test]
fn the_longest_wait_counts_and_never_counts_more() {
    let tenant = Tenant::new(1, 10, 4);
    assert_eq!(tenant.call(&[(1, 4)]), ADMITTED);
    assert_eq!(
        tenant.call(&[(1, 3)]),
        Outcome::Later {
            after: ms(3_000),
            by: LevelId::Key(0, Tag(1))
        }
    );
    assert_eq!(
        tenant.call(&[(1, 3), (2, 5)]),
        Outcome::Never {
            by: LevelId::Key(0, Tag(2))
        }
    );
    let standing = |id| tenant.levels(true, &[(1, 1)]).standing(id, ms(0));
    let (tightest, standing_of_it) = standing(None).expect("three levels");
    assert_eq!(
        (tightest, standing_of_it.remaining),
        (LevelId::Key(0, Tag(1)), 0)
    );
    let (_, total) = standing(Some(LevelId::Total(0))).expect("it is one");
    assert_eq!((total.capacity, total.remaining), (10, 6));
    assert_eq!(total.reset_after, Duration::from_secs(4));
}

#[test]
fn a_level_that_is_not_firm_denies_nothing_and_says_so() {
    let tenant = Tenant::new(10, 6, 2);
    let lenient = |cost| {
        tenant
            .levels(false, &[(1, cost)])
            .charge(ms(0), ms(60_000), &mut Payments::new())
    };
    assert_eq!(lenient(2), ADMITTED);
    let would_deny = Outcome::Admitted {
        wait: Ticks::ZERO,
        lenient: Some(LevelId::Key(0, Tag(1))),
    };
    assert_eq!(lenient(1), would_deny, "nobody waits for it either");
    assert_eq!(lenient(3), would_deny, "not even for what it never admits");
    assert_eq!(tenant.left(), [7, 0, 0]);
}

#[test]
fn a_sealed_bucket_ends_the_call() {
    let tenant = Tenant::new(10, 6, 4);
    let _tat = tenant.own.0.seal();
    assert_eq!(tenant.call(&[(1, 1)]), Outcome::Sealed);
    assert_eq!(tenant.keys.len(), 0, "seen before anything was charged");
}
