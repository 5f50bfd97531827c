#![expect(
    clippy::cast_possible_truncation,
    reason = "traffic is made of small numbers"
)]

use super::*;
use crate::limit::Quota;
use crate::limit::word::{Dues, Word};

/// xorshift64*, so that every run sees the same traffic.
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Time to the next of arrivals that come at random, so many a second.
    fn gap(&mut self, rate: f64) -> f64 {
        -self.uniform().ln() / rate
    }
}

type Traffic = fn(&mut Draw, f64) -> Vec<(f64, u64)>;

fn at_rate(draw: &mut Draw, seconds: f64, rate: impl Fn(f64) -> f64, most: f64) -> Vec<(f64, u64)> {
    let mut calls = Vec::new();
    let mut at = 0.0;
    loop {
        at += draw.gap(most);
        if at > seconds {
            return calls;
        }
        if draw.uniform() * most < rate(at) {
            calls.push((at, 1));
        }
    }
}

fn poisson(draw: &mut Draw, seconds: f64) -> Vec<(f64, u64)> {
    at_rate(draw, seconds, |_| 100.0, 100.0)
}

fn rare(draw: &mut Draw, seconds: f64) -> Vec<(f64, u64)> {
    at_rate(draw, seconds, |_| 2.0, 2.0)
}

/// Batches of 20 to 99 calls at once, about one a second, over a trickle.
fn bursty(draw: &mut Draw, seconds: f64) -> Vec<(f64, u64)> {
    let mut calls = at_rate(draw, seconds, |_| 5.0, 5.0);
    let mut at = 0.0;
    loop {
        at += draw.gap(1.0);
        if at > seconds {
            break;
        }
        let batch = 20 + (draw.uniform() * 80.0) as usize;
        calls.extend(std::iter::repeat_n((at, 1), batch));
    }
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    calls
}

/// Ten times as much at noon as at night, twice in the time.
fn diurnal(draw: &mut Draw, seconds: f64) -> Vec<(f64, u64)> {
    let turn = std::f64::consts::TAU * 2.0 / seconds;
    at_rate(draw, seconds, |at| 55.0 - 45.0 * (at * turn).cos(), 100.0)
}

/// Costs of 1 to 200 tokens, like those of a language model.
fn costly(draw: &mut Draw, seconds: f64) -> Vec<(f64, u64)> {
    let mut calls = at_rate(draw, seconds, |_| 20.0, 20.0);
    for (_, cost) in &mut calls {
        *cost = 1 + (draw.uniform().powi(3) * 200.0) as u64;
    }
    calls
}

fn ticks(seconds: f64) -> Ticks {
    Ticks::of(Duration::from_secs_f64(seconds))
}

fn observed(calls: &[(f64, u64)], seconds: f64) -> Advice {
    let mut demand = Demand::from(Ticks::ZERO);
    for (at, cost) in calls {
        demand.record(ticks(*at), *cost);
    }
    demand.advice(ticks(seconds))
}

fn denied(calls: &[(f64, u64)], recommended: Recommended) -> f64 {
    let Recommended {
        rate,
        period,
        burst,
    } = recommended;
    let quota = Quota::new(rate, period, burst).expect("it makes a bucket");
    let (word, dues) = (Word::full(), Dues::new());
    let denied = calls.iter().filter(|(at, cost)| {
        word.charge(&quota, ticks(*at), *cost, Ticks::ZERO, &dues)
            .is_err()
    });
    denied.count() as f64 / calls.len() as f64
}

fn busiest_minute(calls: &[(f64, u64)], seconds: f64) -> f64 {
    let mut minutes = vec![0; (seconds / 60.0) as usize + 1];
    for (at, cost) in calls {
        minutes[(at / 60.0) as usize] += cost;
    }
    minutes.into_iter().max().unwrap_or(0) as f64 / 60.0
}

#[test]
fn what_is_recommended_denies_a_thousandth_of_such_calls_at_most_and_is_not_generous() {
    let kinds: [(&str, Traffic); 5] = [
        ("poisson", poisson),
        ("rare", rare),
        ("bursty", bursty),
        ("diurnal", diurnal),
        ("costly", costly),
    ];
    let seconds = 4.0 * 3_600.0;
    for (name, traffic) in kinds {
        for seed in 1..=3 {
            let calls = traffic(&mut Draw(seed), seconds);
            let advice = observed(&calls, seconds);
            let recommended = advice.recommended.expect("it was observed for hours");
            let busiest = busiest_minute(&calls, seconds);
            let rate = recommended.rate as f64 / recommended.period.as_secs_f64();
            let share = denied(&calls, recommended);
            assert!(
                share <= DENIED,
                "{name} {seed}: {share} of what was observed"
            );
            for other in 1..=5 {
                let calls = traffic(&mut Draw(1_000 * seed + other), seconds);
                let share = denied(&calls, recommended);
                println!("{name} {seed} {other}: {recommended:?} denies {share:.5}");
                assert!(
                    share <= DENIED,
                    "{name} {seed} {other}: {share}, {recommended:?}"
                );
            }
            assert!(rate <= 1.5 * busiest, "{name}: {rate} of {busiest}");
            let minute = rate * 60.0;
            assert!(
                (recommended.burst as f64) < minute,
                "{name}: {recommended:?}"
            );
        }
    }
}

#[test]
fn less_than_a_minute_or_a_thousand_calls_after_the_first_minute_recommend_nothing() {
    let every = |millis: u64, seconds: u64| {
        let calls = (1..=seconds * 1_000 / millis).map(|n| ((n * millis) as f64 / 1e3, 1));
        observed(&calls.collect::<Vec<_>>(), seconds as f64)
    };
    assert_eq!(every(10, 115).recommended, None);
    assert!(every(10, 125).recommended.is_some());
    assert_eq!(every(1_000, 1_000).recommended, None);
    assert!(every(1_000, 1_100).recommended.is_some());
    assert_eq!(every(10, 125).calls, 12_500);
}

#[test]
fn calls_at_an_even_pace_need_hardly_any_burst() {
    let calls: Vec<_> = (0..30_000).map(|n| (f64::from(n) / 100.0, 1)).collect();
    let advice = observed(&calls, 300.0);
    assert_eq!(
        advice.recommended,
        Some(Recommended {
            rate: 113,
            period: Duration::from_secs(1),
            burst: 1,
        })
    );
    // As told by eighths.
    assert_eq!(advice.per_second, [104; 4]);
}

#[test]
fn the_rates_follow_a_demand_that_grows_and_begin_anew_when_it_leaps() {
    let mut demand = Demand::from(Ticks::ZERO);
    let minute = |demand: &mut Demand, from: f64, rate: u32| {
        for n in 0..60 * rate {
            demand.record(ticks(from + f64::from(n) / f64::from(rate)), 1);
        }
    };
    let rate_after = |demand: &mut Demand, at: f64| {
        let advice = demand.advice(ticks(at)).recommended;
        advice.map(|told| told.rate as f64 / told.period.as_secs_f64())
    };
    for (number, rate) in (0..15).map(|number| (number, 50 + 10 * number)) {
        minute(&mut demand, f64::from(number) * 60.0, rate);
        if number > 1 {
            let told = rate_after(&mut demand, f64::from(number + 1) * 60.0).expect("long enough");
            let rate = f64::from(rate);
            assert!(
                (1.04 * rate..1.3 * rate).contains(&told),
                "{number}: {told}"
            );
        }
    }
    minute(&mut demand, 900.0, 5_000);
    assert_eq!(rate_after(&mut demand, 960.0), None, "observed anew");
    minute(&mut demand, 960.0, 5_000);
    minute(&mut demand, 1_020.0, 5_000);
    let told = rate_after(&mut demand, 1_081.0).expect("for a minute");
    assert!((5_200.0..6_600.0).contains(&told), "{told}");
}

#[test]
fn quiet_time_counts_as_seconds_without_a_call() {
    let mut demand = Demand::from(Ticks::ZERO);
    for second in 0..60 {
        demand.record(ticks(f64::from(second)), 8);
    }
    let advice = demand.advice(ticks(6_000.0));
    assert_eq!(advice.per_second[..2], [1, 1], "nothing is counted as one");
    assert_eq!(advice.per_second[3], 8);
    assert_eq!(advice.observed, Duration::from_secs(6_000));
    let far = demand.advice(Ticks::END);
    assert_eq!(far.calls, 60, "and years pass in no time");
}
