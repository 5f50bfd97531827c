use std::time::Duration;

use super::*;

const SECOND: Ticks = Ticks(16_000_000_000);

fn ms(count: u64) -> Ticks {
    Ticks::of(Duration::from_millis(count))
}

fn five() -> Quota {
    Quota::per_second(1, 5).expect("valid")
}

/// A bucket with its clock in hand.
struct Bucket {
    quota: Quota,
    tat: Ticks,
    refunded: Ticks,
}

impl Bucket {
    fn new(quota: Quota) -> Self {
        Self {
            quota,
            tat: Ticks::ZERO,
            refunded: Ticks::ZERO,
        }
    }

    /// `Ok` when admitted, else the wait in milliseconds, `None` for never.
    fn spend(&mut self, now: Ticks, cost: u64) -> Result<(), Option<u64>> {
        match decide(self.tat, now, &self.quota, cost, Ticks::ZERO) {
            Decision::Admit { tat, wait } => {
                assert_eq!(wait, Ticks::ZERO, "nobody had patience");
                self.tat = tat;
                Ok(())
            }
            Decision::Later { after } => {
                let nanos = after.to_duration().as_nanos().div_ceil(1_000_000);
                Err(Some(u64::try_from(nanos).expect("small")))
            }
            Decision::Never => Err(None),
        }
    }

    fn held(&self, now: Ticks, cost: u64) -> Receipt {
        Receipt {
            at: now,
            after: self.tat,
            cost,
            interval: self.quota.interval(),
            refunded: self.refunded,
        }
    }

    fn give_back(&mut self, receipt: &Receipt, tokens: u64, now: Ticks) {
        let since = if receipt.interval == self.quota.interval() {
            Since::Same {
                refunded: self.refunded,
            }
        } else {
            let fastest = receipt.interval.min(self.quota.interval());
            Since::Rerated { fastest }
        };
        let back = refund(receipt, tokens, now, since, &self.quota);
        self.refunded = self.refunded.plus(back);
        self.tat = self.tat.minus(back);
    }

    /// Spends single tokens until one is denied.
    fn drain(&mut self, now: Ticks) -> u64 {
        (0..).take_while(|_| self.spend(now, 1).is_ok()).count() as u64
    }
}

#[test]
fn a_burst_of_five_at_one_a_second_is_exact_to_the_millisecond() {
    let mut bucket = Bucket::new(five());
    for _ in 0..5 {
        assert_eq!(bucket.spend(ms(0), 1), Ok(()));
    }
    assert_eq!(bucket.spend(ms(0), 1), Err(Some(1_000)));
    assert_eq!(bucket.spend(ms(1_000), 1), Ok(()));
    assert_eq!(bucket.spend(ms(1_999), 1), Err(Some(1)));
    for hour in 1..100 {
        assert_eq!(bucket.spend(ms(hour * 3_600_000), 6), Err(None), "never");
        assert_eq!(bucket.drain(ms(hour * 3_600_000)), 5, "an hour idle");
    }
}

#[test]
fn peeks_change_nothing() {
    let mut bucket = Bucket::new(five());
    for now in [0, 1, 500, 999, 1_000, 7_000] {
        let before = bucket.tat;
        for _ in 0..10 {
            assert_eq!(
                bucket.spend(ms(now), 0).is_ok(),
                before.minus(ms(now)) <= ms(5_000)
            );
        }
        assert_eq!(
            remaining(before, ms(now), &bucket.quota),
            bucket.drain(ms(now))
        );
    }
}

#[test]
fn a_patient_caller_is_charged_at_once_and_those_after_it_wait_behind_it() {
    let quota = five();
    let mut tat = Ticks::ZERO;
    let mut waits = Vec::new();
    for _ in 0..8 {
        match decide(tat, ms(0), &quota, 1, ms(3_000)) {
            Decision::Admit { tat: new, wait } => {
                tat = new;
                waits.push(wait.to_duration().as_millis());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [0, 0, 0, 0, 0, 1_000, 2_000, 3_000]);
    assert_eq!(
        decide(tat, ms(0), &quota, 1, ms(3_000)),
        Decision::Later { after: ms(4_000) },
        "its turn comes after its patience"
    );
}

#[test]
fn a_refund_gives_back_what_refill_has_not() {
    // Held at 0, given back at each moment: the bucket is full, never fuller.
    for at in [0, 1, 999, 1_000, 2_500, 4_999, 5_000, 60_000] {
        let mut bucket = Bucket::new(five());
        assert_eq!(bucket.spend(ms(0), 5), Ok(()));
        let held = bucket.held(ms(0), 5);
        bucket.give_back(&held, 5, ms(at));
        assert_eq!(bucket.drain(ms(at)), 5, "after {at} ms");
    }
    // Others spent what refill gave: that is not given a second time.
    let mut bucket = Bucket::new(five());
    assert_eq!(bucket.spend(ms(0), 5), Ok(()));
    let held = bucket.held(ms(0), 5);
    assert_eq!(bucket.drain(ms(3_000)), 3);
    bucket.give_back(&held, 5, ms(3_000));
    assert_eq!(
        bucket.drain(ms(3_000)),
        2,
        "5 + 3 s · 1/s, of which 3 are spent"
    );
}

#[test]
fn of_two_that_are_held_and_handed_back_neither_mints_what_the_other_had() {
    for first in [true, false] {
        let mut bucket = Bucket::new(five());
        assert_eq!(bucket.spend(ms(0), 2), Ok(()));
        let ahead = bucket.held(ms(0), 2);
        assert_eq!(bucket.spend(ms(0), 3), Ok(()));
        let behind = bucket.held(ms(0), 3);
        let (one, other) = if first {
            (ahead, behind)
        } else {
            (behind, ahead)
        };
        bucket.give_back(&one, one.cost, ms(0));
        // Refill gives back what is still held, and somebody spends all there is.
        let spent = bucket.drain(ms(3_000));
        assert_eq!(spent, 5);
        bucket.give_back(&other, other.cost, ms(3_000));
        assert_eq!(bucket.drain(ms(3_000)), 0, "it was full without it");
    }
}

#[test]
fn what_was_spent_stays_spent_through_any_change_of_rate() {
    let free = Quota::new(100, Duration::from_secs(60), 100).expect("valid");
    let pro = Quota::new(5_000, Duration::from_secs(60), 5_000).expect("valid");
    let now = SECOND;
    let mut bucket = Bucket::new(free);
    assert_eq!(bucket.drain(now), 100);
    let mut admitted = 100;
    for quota in [pro, free, pro, free, pro] {
        bucket.tat = rerate(bucket.tat, now, &bucket.quota, &quota);
        bucket.quota = quota;
        admitted += bucket.drain(now);
        assert!(
            admitted <= 5_000,
            "{admitted} at once, the largest burst is 5 000"
        );
    }
    assert_eq!(admitted, 5_000);
}

#[test]
fn a_refund_across_a_faster_rate_gives_no_more_than_that_rate_left() {
    let slow = five();
    let fast = Quota::per_second(100, 5).expect("valid");
    let mut bucket = Bucket::new(slow);
    assert_eq!(bucket.spend(ms(0), 5), Ok(()));
    let held = bucket.held(ms(0), 5);
    bucket.tat = rerate(bucket.tat, ms(0), &slow, &fast);
    bucket.quota = fast;
    // 20 ms at 100 a second: two are back.
    assert_eq!(bucket.drain(ms(20)), 2);
    bucket.give_back(&held, 5, ms(20));
    assert_eq!(bucket.drain(ms(20)), 3, "5 + 2, of which 2 are spent");
}

#[test]
fn nothing_overflows_at_the_ends_of_time() {
    let day = Duration::from_secs(86_400);
    let quota = Quota::new(1, day, 366).expect("valid");
    for (tat, now) in [
        (Ticks::END, Ticks::ZERO),
        (Ticks::ZERO, Ticks::END),
        (Ticks::END, Ticks::END),
    ] {
        for cost in [0, 1, 366, 367, u64::MAX] {
            for patience in [Ticks::ZERO, Ticks::END] {
                if let Decision::Admit { tat, .. } = decide(tat, now, &quota, cost, patience) {
                    assert!(tat <= Ticks::END);
                }
            }
            assert!(debit(tat, now, &quota, cost) <= Ticks::END);
        }
    }
}

#[test]
fn a_clock_that_goes_backwards_admits_less() {
    let mut bucket = Bucket::new(five());
    assert_eq!(bucket.drain(ms(60_000)), 5);
    assert_eq!(bucket.drain(ms(0)), 0);
    assert_eq!(bucket.spend(ms(59_000), 1), Err(Some(2_000)));
}
