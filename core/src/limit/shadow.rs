//! What a limit would have to be: found by observing it while it does not deny.
//!
//! For each of a few rates a bucket without a bottom is kept: what stands in it falls at
//! that rate, and each call adds its tokens. How high it stands after a call is the
//! burst that this call needs at that rate. A real bucket never stands higher, because
//! what it denies it does not add; so with a burst that all but a thousandth of the calls
//! stayed below, at most a thousandth would have been denied (the leaky bucket as a
//! meter, ITU-T I.371, turned round).
//!
//! ```text
//!   first minute          then
//!   ├── how much ──┤ ├── four rates, from 1.125 times the busiest minute, each 1.2 times the
//!                        one before; how high each bucket stood, by calls ──►
//! ```
//!
//! When a minute is busier than the lowest rate bears, that rate is dropped and a higher
//! one added, which begins as the highest one stood: too high rather than too low. When
//! it is busier than the highest bears, the rates begin anew, and so does the observation.
//! What is told is the lowest rate that is above the busiest minute, so the burst is what
//! comes within a minute, and not what a busy hour piles up.
//!
//! Time comes as buckets see it, by the coarse clock: calls of one step of it come at
//! once, for this as for them.
//!
//! Cost: about 60 ns a call under a lock of the limit's own, and 4 KiB a limit.

use std::time::Duration;

use super::quota::{TICKS_A_NANO, Ticks};

mod spread;

use spread::Spread;

/// The calls that may be denied, at most.
const DENIED: f64 = 0.001;
/// What is aimed at: the next hour is not the last one.
const AIM: f64 = DENIED / 4.0;
/// Calls, and time, that are observed before anything is told.
const LEAST_CALLS: u64 = 1_000;
const LEAST_TIME: Duration = Duration::from_secs(60);

const RATES: usize = 4;
/// From one rate to the next.
const STEP: f64 = 1.2;
/// The lowest rate at first, in those of the busiest minute.
const BEGINS_AT: f64 = 1.125;
/// The lowest that is told.
const TOLD_FROM: f64 = 1.05;

const WINDOW: Duration = Duration::from_secs(10);
const A_MINUTE: usize = 6;

/// What a limit in shadow is asked for.
#[derive(Debug)]
pub(super) struct Demand {
    began: Ticks,
    last: Ticks,
    calls: u64,
    seconds: Sums<1>,
    /// Tokens of each second.
    by_second: Spread,
    windows: Sums<A_MINUTE>,
    /// Tokens a second of the busiest minute.
    busiest: f64,
    /// Since when buckets stand, and the calls since.
    standing: Option<Ticks>,
    stood: u64,
    buckets: [Bottomless; RATES],
}

const _: () = assert!(size_of::<Demand>() <= 4_096, "as the header says");

/// The last few spans of time, and what came in each.
#[derive(Debug)]
struct Sums<const N: usize> {
    /// Those that are over, the latest at `over % N`.
    sums: [f64; N],
    over: u64,
    open: f64,
}

impl<const N: usize> Sums<N> {
    const fn none() -> Self {
        Self {
            sums: [0.0; N],
            over: 0,
            open: 0.0,
        }
    }

    /// Until so many are over; `each` is called with the sum of every one that ends, and
    /// how often, whenever something changes by it.
    fn turn_to(&mut self, over: u64, mut each: impl FnMut(&Self, f64, u64)) {
        while self.over < over {
            let ended = std::mem::take(&mut self.open);
            // After N empty ones nothing changes but their number.
            let empty = N as u64 + 1;
            let left = over - self.over;
            let skipped = if ended == 0.0 && self.sums == [0.0; N] && left > empty {
                left - empty
            } else {
                1
            };
            self.over += skipped;
            let at = usize::try_from(self.over % N as u64).unwrap_or(0);
            self.sums[at] = ended;
            each(self, ended, skipped);
        }
    }

    fn sum(&self) -> f64 {
        self.sums.iter().sum()
    }
}

/// A bucket that denies nothing.
#[derive(Clone, Debug)]
struct Bottomless {
    /// Tokens a second.
    rate: f64,
    /// Tokens that stand in it.
    level: f64,
    highest: f64,
    /// How high it stood after each call.
    levels: Spread,
}

impl Bottomless {
    fn at(rate: f64) -> Self {
        Self {
            rate,
            level: 0.0,
            highest: 0.0,
            levels: Spread::none(),
        }
    }

    fn record(&mut self, elapsed: f64, cost: f64) {
        self.level = (self.level - self.rate * elapsed).max(0.0) + cost;
        self.highest = self.highest.max(self.level);
        self.levels.add(whole(self.level), 1);
    }

    /// What all but a share of the calls stayed below.
    fn burst(&self, share: f64) -> u64 {
        let highest = whole(self.highest);
        let levels = self.levels.quantile(1.0 - share);
        levels.map_or(highest, |level| level.min(highest)).max(1)
    }
}

/// Rounded up.
fn whole(tokens: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative, and as saturates"
    )]
    let whole = tokens.ceil() as u64;
    whole
}

fn seconds(ticks: Ticks) -> f64 {
    ticks.0 as f64 / (TICKS_A_NANO as f64 * 1e9)
}

impl Demand {
    /// How long one that nobody asks is kept.
    pub(super) const KEPT_IDLE: Duration = Duration::from_secs(3_600);

    /// Nothing yet.
    pub(super) fn from(now: Ticks) -> Self {
        Self {
            began: now,
            last: now,
            calls: 0,
            seconds: Sums::none(),
            by_second: Spread::none(),
            windows: Sums::none(),
            busiest: 0.0,
            standing: None,
            stood: 0,
            buckets: [const { 0.0 }; RATES].map(Bottomless::at),
        }
    }

    /// When it was asked last.
    pub(super) fn last(&self) -> Ticks {
        self.last
    }

    /// A call for `cost` tokens, allowed. One that comes with an earlier time than the
    /// last came with it.
    pub(super) fn record(&mut self, now: Ticks, cost: u64) {
        self.turn_to(now);
        let elapsed = seconds(now.minus(self.last));
        self.last = self.last.max(now);
        self.calls += 1;
        let cost = cost as f64;
        self.seconds.open += cost;
        self.windows.open += cost;
        if self.standing.is_some() {
            self.stood += 1;
            for bucket in &mut self.buckets {
                bucket.record(elapsed, cost);
            }
        }
    }

    fn turn_to(&mut self, now: Ticks) {
        let since = now.minus(self.began).to_duration();
        let by_second = &mut self.by_second;
        self.seconds.turn_to(since.as_secs(), |_, sum, times| {
            by_second.add(whole(sum), u32::try_from(times).unwrap_or(u32::MAX));
        });
        let busiest = &mut self.busiest;
        let minute = WINDOW.as_secs_f64() * A_MINUTE as f64;
        let before = self.windows.over;
        let over = since.as_secs() / WINDOW.as_secs();
        self.windows.turn_to(over, |windows, _, _| {
            if windows.over >= A_MINUTE as u64 {
                *busiest = busiest.max(windows.sum() / minute);
            }
        });
        if self.windows.over > before && self.busiest > 0.0 {
            self.stand(now);
        }
    }

    /// Sees to it that the buckets' rates are above the busiest minute.
    fn stand(&mut self, now: Ticks) {
        let least = self.busiest * TOLD_FROM;
        if self.standing.is_none() || self.buckets[RATES - 1].rate < least {
            let mut rate = self.busiest * BEGINS_AT;
            for bucket in &mut self.buckets {
                *bucket = Bottomless::at(rate);
                rate *= STEP;
            }
            (self.standing, self.stood) = (Some(now), 0);
        }
        while self.buckets[0].rate < least {
            self.buckets.rotate_left(1);
            let [.., highest, new] = &mut self.buckets;
            new.clone_from(highest);
            new.rate *= STEP;
        }
    }

    /// What was observed until now, and what follows.
    pub(super) fn advice(&mut self, now: Ticks) -> Advice {
        self.turn_to(now);
        let observed = now.minus(self.began).to_duration();
        let per_second = [0.5, 0.9, 0.99, 1.0].map(|q| self.by_second.quantile(q).unwrap_or(0));
        let stood = self.standing.map(|from| now.minus(from).to_duration());
        let enough = self.stood >= LEAST_CALLS && stood.is_some_and(|stood| stood >= LEAST_TIME);
        Advice {
            observed,
            calls: self.calls,
            per_second,
            recommended: enough.then(|| Recommended::of(&self.buckets[0])),
        }
    }
}

/// What was observed of a limit in shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// For how long.
    pub observed: Duration,
    /// Calls that were allowed meanwhile.
    pub calls: u64,
    /// Tokens of a second that half, nine tenths, 99 % and all of the seconds did not
    /// exceed: overstated by an eighth at most.
    pub per_second: [u64; 4],
    /// What would have denied at most a thousandth of the calls. `None`: it is to be
    /// observed for longer.
    pub recommended: Option<Recommended>,
}

/// A rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommended {
    /// Tokens that come back in each `period`.
    pub rate: u64,
    /// A second, a minute or an hour.
    pub period: Duration,
    /// Tokens that are kept.
    pub burst: u64,
}

impl Recommended {
    fn of(bucket: &Bottomless) -> Self {
        /// Tokens a period, so that rounding up matters little.
        const ENOUGH: f64 = 20.0;
        let per = |seconds: u32| bucket.rate * f64::from(seconds);
        let periods = [1, 60, 3_600];
        let fits = periods.into_iter().find(|seconds| per(*seconds) >= ENOUGH);
        let period = fits.unwrap_or(3_600);
        Self {
            rate: whole(per(period)).max(1),
            period: Duration::from_secs(period.into()),
            burst: bucket.burst(AIM),
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
