use std::time::Duration;

use super::*;

fn ms(count: u64) -> Ticks {
    Ticks::of(Duration::from_millis(count))
}

fn quota() -> Quota {
    Quota::per_second(1, 5).expect("valid")
}

fn table(max_keys: usize) -> KeyTable {
    KeyTable::new(quota(), max_keys, Arc::new(Room::new(1 << 20)))
}

fn spend(table: &KeyTable, key: u64, now: Ticks) -> bool {
    table.charge(Tag(key), now, 1, Ticks::ZERO).is_ok()
}

fn drain(table: &KeyTable, key: u64, now: Ticks) -> usize {
    (0..).take_while(|_| spend(table, key, now)).count()
}

/// Checks admissions against the bound of one bucket, at each of them.
#[derive(Default)]
struct Bound {
    /// The tat of a bucket that admitted exactly what was admitted.
    tat: Ticks,
}

impl Bound {
    fn admitted(&mut self, now: Ticks) {
        let decision = gcra::decide(self.tat, now, &quota(), 1, Ticks::ZERO);
        let Decision::Admit { tat, .. } = decision else {
            panic!("admitted beyond burst + rate · time: {decision:?}")
        };
        self.tat = tat;
    }
}

#[test]
fn no_rotation_of_keys_spends_more_than_each_keys_limit() {
    let mut random = fastrand::Rng::with_seed(7);
    for max_keys in [1, 2, 8, 100] {
        let table = table(max_keys);
        let mut bounds: Vec<Bound> = (0..300).map(|_| Bound::default()).collect();
        let mut now = 0;
        let mut admitted = 0;
        for _ in 0..100_000 {
            // Bursts at one moment, pauses, and long idling that fills every bucket.
            now += match random.u32(0..1_000) {
                0 => 20_000,
                1..50 => random.u64(0..2_000),
                _ => 0,
            };
            let key = if random.bool() {
                random.usize(0..300)
            } else {
                random.usize(0..4)
            };
            if spend(&table, key as u64, ms(now)) {
                bounds[key].admitted(ms(now));
                admitted += 1;
            }
            if random.u32(0..5_000) == 0 {
                table.sweep(ms(now));
            }
            assert!(table.len() <= max_keys);
        }
        assert!(admitted > 5_000, "the rules were put to use: {admitted}");
    }
}

#[test]
fn a_resident_key_is_exact_while_others_pass_by_the_million() {
    let table = table(1_000);
    let mut alone = Ticks::ZERO;
    let mut attacker = 1;
    for step in 0..1_000 {
        let now = ms(step * 100);
        let expected = gcra::decide(alone, now, &quota(), 1, Ticks::ZERO);
        if let Decision::Admit { tat, .. } = expected {
            alone = tat;
        }
        assert_eq!(
            spend(&table, 0, now),
            matches!(expected, Decision::Admit { .. }),
            "at step {step}"
        );
        for _ in 0..1_000 {
            attacker += 1;
            let _ = spend(&table, attacker, now);
        }
    }
    assert!(table.len() <= 1_000);
}

#[test]
fn keys_without_room_share_one_keys_quota_and_take_it_along() {
    let table = table(1);
    assert_eq!(drain(&table, 1, ms(0)), 5);
    assert_eq!(drain(&table, 2, ms(0)), 5, "the tail");
    assert_eq!(drain(&table, 3, ms(0)), 0, "which 2 has spent");
    assert!(table.shares(Tag(3), ms(0)));
    // 1 is full again after 5 s, and so is the tail. 3 takes the slot of 1.
    assert!(spend(&table, 2, ms(4_000)), "of the four that came back");
    assert_eq!(
        drain(&table, 3, ms(5_000)),
        4,
        "it starts where the tail is"
    );
    assert_eq!(table.len(), 1);
}

#[test]
fn a_refund_finds_the_key_in_the_tail_and_out_of_it() {
    let table = table(1);
    assert_eq!(drain(&table, 1, ms(0)), 5);
    let (_, paid) = table.charge(Tag(2), ms(0), 5, Ticks::ZERO).expect("tail");
    assert_eq!(drain(&table, 3, ms(0)), 0);
    table.refund(Tag(2), ms(0), &paid, 5);
    assert_eq!(drain(&table, 3, ms(0)), 5, "the tail has it back");
    table.refund(Tag(1), ms(0), &paid, 0);
    assert_eq!(drain(&table, 1, ms(0)), 0, "nothing is given to others");
}

#[test]
fn a_change_of_rate_keeps_what_each_key_and_the_tail_spent() {
    let table = table(1);
    assert_eq!(drain(&table, 1, ms(0)), 5);
    assert_eq!(drain(&table, 2, ms(0)), 5);
    let (fast, slow) = (Quota::per_second(100, 8), quota());
    table.rerate(ms(0), &fast.expect("valid"), 1);
    assert_eq!(drain(&table, 1, ms(0)), 3);
    assert_eq!(drain(&table, 2, ms(0)), 3);
    table.rerate(ms(0), &slow, 1);
    assert_eq!(
        drain(&table, 1, ms(3_999)),
        0,
        "8 are spent, 5 kept: 3 are owed"
    );
    assert_eq!(drain(&table, 1, ms(4_000)), 1);
}

#[test]
fn room_is_shared_and_comes_back() {
    let room = Arc::new(Room::new(100));
    let tables: Vec<KeyTable> = (0..3)
        .map(|_| KeyTable::new(quota(), 1_000, Arc::clone(&room)))
        .collect();
    for table in &tables {
        for key in 0..500 {
            let _ = spend(table, key, ms(0));
        }
    }
    let lens: Vec<usize> = tables.iter().map(KeyTable::len).collect();
    assert_eq!(
        lens,
        [164, 64, 64],
        "64 are granted, 100 go to who came first"
    );
    assert_eq!(room.taken(), 100);
    tables[0].sweep(ms(10_000));
    assert_eq!((tables[0].len(), room.taken()), (0, 0));
    for key in 0..500 {
        let _ = spend(&tables[1], key, ms(10_000));
    }
    assert_eq!(room.taken(), 100);
    drop(tables);
    assert_eq!(room.taken(), 0);
}

#[test]
fn peeks_make_no_bucket_and_spend_nothing() {
    let table = table(10);
    for key in 0..100 {
        assert_eq!(table.peek(Tag(key), ms(0), 5, Ticks::ZERO), Ok(Ticks::ZERO));
        assert_eq!(
            table.peek(Tag(key), ms(0), 6, Ticks::ZERO),
            Err(Refused::Never)
        );
        assert_eq!(table.standing(Tag(key), ms(0)).remaining, 5);
    }
    assert_eq!(table.len(), 0);
}
